"""Refresh tokens: single use with a grace for honest doubles, and the end of the session for stolen ones."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from auth_service.config import Settings
from auth_service.core.secrets import Secrets
from auth_service.core.tokens.denylist import redis_key
from auth_service.sessions import repository, rotation
from auth_service.sessions.refresh_families import Verdict
from auth_service.sessions.refresh_token import write_refresh_token
from auth_service.sessions.repository import SessionRecord
from auth_service.sessions.rotation import Ruling, rule
from auth_service.sessions.service import families
from auth_service.users.service import delete_user, set_active
from tests.conftest import Fresh, running_app
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.forgery import claims_of
from tests.support.redis_topologies import flush

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDLE, GRACE = timedelta(days=7), timedelta(seconds=10)
INVALID = (401, "invalid_refresh_token")


def record(**changes: Any) -> SessionRecord:
    """Rotated five minutes ago; generation 5 is the newest."""
    moment = NOW - timedelta(minutes=5)
    plain = SessionRecord(
        user_id=UUID(int=1),
        epoch=0,
        user_active=True,
        generation=5,
        rotated_at=moment,
        last_seen_at=moment,
        expires_at=NOW + timedelta(days=20),
        revoked_at=None,
    )
    return replace(plain, **changes)


JUST_NOW = {"rotated_at": NOW - timedelta(seconds=1)}


@pytest.mark.parametrize(
    ("changes", "presented", "verdict", "ruling"),
    [
        # the parent of the newest generation
        (JUST_NOW, 4, Verdict.REPEATED, Ruling.SAME_SUCCESSOR),
        (JUST_NOW, 4, Verdict.ADVANCED, Ruling.SAME_SUCCESSOR),
        (JUST_NOW, 4, Verdict.OLD, Ruling.SAME_SUCCESSOR),
        ({}, 4, Verdict.REPEATED, Ruling.SAME_SUCCESSOR),
        ({}, 4, Verdict.OLD, Ruling.REUSE),
        ({}, 4, Verdict.ADVANCED, Ruling.REUSE),
        ({"rotated_at": NOW - GRACE}, 4, Verdict.OLD, Ruling.SAME_SUCCESSOR),
        ({"rotated_at": NOW - GRACE - timedelta(microseconds=1)}, 4, Verdict.OLD, Ruling.REUSE),
        # older ones, however recently anything was rotated
        (JUST_NOW, 3, Verdict.OLD, Ruling.REUSE),
        (JUST_NOW, 3, Verdict.REPEATED, Ruling.REUSE),
        (JUST_NOW, 0, Verdict.ADVANCED, Ruling.REUSE),
        # sessions that are over are refused without another word
        ({"revoked_at": NOW - timedelta(days=1)}, 4, Verdict.REPEATED, Ruling.REFUSE),
        ({"revoked_at": NOW - timedelta(days=1)}, 0, Verdict.OLD, Ruling.REFUSE),
        ({"user_active": False}, 4, Verdict.REPEATED, Ruling.REFUSE),
        ({"expires_at": NOW}, 4, Verdict.REPEATED, Ruling.REFUSE),
        ({"last_seen_at": NOW - IDLE}, 4, Verdict.REPEATED, Ruling.REFUSE),
    ],
)
def test_ref_4_rule(changes: dict[str, Any], presented: int, verdict: Verdict, ruling: Ruling) -> None:
    assert rule(record(**changes), presented, verdict, NOW, idle=IDLE, grace=GRACE) is ruling


def test_ref_4_rule_for_a_session_that_is_gone() -> None:
    assert rule(None, 0, Verdict.ADVANCED, NOW, idle=IDLE, grace=GRACE) is Ruling.REFUSE


async def rotated(api: Api, tokens: Tokens, times: int = 1) -> list[Tokens]:
    """`tokens` and its successors, in order."""
    chain = [tokens]
    for _ in range(times):
        chain.append(tokens_of(await api.refresh(chain[-1].refresh)))
    return chain


async def assert_session_is_dead(api: Api, *tokens: Tokens) -> None:
    for one in tokens:
        assert error_of(await api.me(one)) == (401, "not_authenticated")
        assert error_of(await api.refresh(one.refresh)) == INVALID


async def reasons(api: Api, tokens: Tokens) -> str | None:
    reason: str | None = await api.resources.hot.fetchval(
        "SELECT revoked_reason FROM sessions WHERE id = $1", UUID(tokens.session_id)
    )
    return reason


@pytest.fixture(scope="module")
async def strict(shared_settings: Settings) -> AsyncIterator[Api]:
    """No grace: a second use is reuse at once."""
    async with running_app(shared_settings.model_copy(update={"refresh_grace_seconds": 0})) as api:
        yield api


async def test_refresh_gives_the_next_pair_of_the_same_session(api: Api) -> None:
    account, first = await api.as_role()
    second = tokens_of(await api.refresh(first.refresh))
    assert second.session_id == first.session_id
    assert second.refresh != first.refresh
    assert claims_of(second.access)["sub"] == str(account.id)
    assert claims_of(second.access)["jti"] != claims_of(first.access)["jti"]
    assert (await api.me(second)).status_code == 200
    assert (await api.me(first)).status_code == 200, "the older access token lives until it expires"


async def test_ref_1_issued_tokens_are_stored_nowhere(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    _, tokens = await api.as_role()
    issued = [text for pair in await rotated(api, tokens, 2) for text in (pair.access, pair.refresh)]
    secrets = [text.rpartition(".")[2] for text in issued]
    assert all(len(base64.urlsafe_b64decode(text.rpartition(".")[2] + "=")) == 32 for text in issued[1::2]), "256 bits"

    dump = await dump_of(api)
    assert tokens.session_id.encode() in dump, "the dump sees what is stored"
    for secret in secrets:
        raw = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
        for spelling in (secret.encode(), raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")):
            assert spelling not in dump


async def dump_of(api: Api) -> bytes:
    """All of this deployment's Postgres rows and Redis keys, as they are and without bytea's hex."""
    parts: list[bytes] = []
    tables = await api.resources.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        for row in await api.resources.hot.fetch(f'SELECT * FROM "{table["tablename"]}"'):  # noqa: S608
            for value in row.values():
                parts.append(value if isinstance(value, bytes) else str(value).encode())
    async for key in api.resources.redis.scan_iter(count=1000):
        parts.append(key.encode())
        kind = await api.resources.redis.type(key)
        value = await (api.resources.redis.hgetall(key) if kind == "hash" else api.resources.redis.get(key))
        parts.append(str(value).encode())
    return b"\n".join(parts)


async def test_ref_2_doubles_get_one_successor(fresh: Fresh) -> None:
    """Fifty racers over two replicas; over TCP it is tried in sessions/test_rotation_race.py."""
    settings = await fresh.settings()
    replicas = await fresh.on(settings), await fresh.on(settings)
    _, tokens = await replicas[0].as_role()
    for _ in range(5):
        answers = await asyncio.gather(*(replicas[number % 2].refresh(tokens.refresh) for number in range(50)))
        successors = {tokens_of(answer).refresh for answer in answers}
        assert len(successors) == 1
        tokens = tokens_of(answers[0])
    assert (await replicas[1].me(tokens)).status_code == 200


async def test_ref_2_referee_knows_four_kinds_of_token(api: Api) -> None:
    """Redis alone: what it calls advanced it calls so once, and it never goes back."""
    referee, session_id = families(api.resources), uuid4()
    assert await referee.rotate(session_id, 0) is Verdict.UNKNOWN
    await referee.restore(session_id, 3, 60)
    assert await referee.rotate(session_id, 4) is Verdict.UNKNOWN, "newer than it knows"
    assert await referee.rotate(session_id, 2) is Verdict.OLD, "the parent, but its grace was over"
    assert await referee.rotate(session_id, 3) is Verdict.ADVANCED
    assert await referee.rotate(session_id, 3) is Verdict.REPEATED
    assert await referee.rotate(session_id, 2) is Verdict.OLD
    await referee.restore(session_id, 1, 0)
    assert await referee.rotate(session_id, 1) is Verdict.OLD, "a slow worker sets nothing back"
    racers = await asyncio.gather(*(referee.rotate(session_id, 4) for _ in range(50)))
    assert sorted(racers) == [Verdict.ADVANCED] + [Verdict.REPEATED] * 49
    life = await api.resources.redis.pttl(f"auth:{{{session_id}}}:family")
    assert 0 < life <= api.resources.settings.session_idle_seconds * 1000
    await referee.forget([session_id])
    assert await referee.rotate(session_id, 5) is Verdict.UNKNOWN


async def test_ref_3_replay_by_the_thief_ends_the_session(strict: Api) -> None:
    _, stolen = await strict.as_role()
    owner = (await rotated(strict, stolen, 2))[-1]
    other_session = await strict.as_role()
    assert error_of(await strict.refresh(stolen.refresh)) == INVALID
    await assert_session_is_dead(strict, stolen, owner)
    assert await reasons(strict, owner) == "refresh_reuse"
    assert (await strict.me(other_session[1])).status_code == 200


async def test_ref_3_replay_by_the_owner_ends_the_thiefs_session(strict: Api) -> None:
    account, tokens = await strict.as_role()
    (_, thief) = await rotated(strict, tokens)
    assert error_of(await strict.refresh(tokens.refresh)) == INVALID
    await assert_session_is_dead(strict, tokens, thief)
    assert (await strict.me(await strict.log_in(account))).status_code == 200, "and the owner logs in again"


async def test_ref_3_many_replays_are_one_event(strict: Api, capsys: pytest.CaptureFixture[str]) -> None:
    _, tokens = await strict.as_role()
    await rotated(strict, tokens, 3)
    capsys.readouterr()
    answers = await asyncio.gather(*(strict.refresh(tokens.refresh) for _ in range(20)))
    assert {error_of(answer) for answer in answers} == {INVALID}
    assert capsys.readouterr().out.count("refresh_token_reused") == 1


async def test_ref_3_parent_is_refused_after_a_grace_of_real_time(fresh: Fresh) -> None:
    api = await fresh.api(refresh_grace_seconds=1)
    _, tokens = await api.as_role()
    (_, second) = await rotated(api, tokens)
    assert tokens_of(await api.refresh(tokens.refresh)).refresh == second.refresh
    await asyncio.sleep(1.1)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID
    await assert_session_is_dead(api, second)


async def test_ref_4_grace_gives_the_same_successor(api: Api) -> None:
    _, tokens = await api.as_role()
    answers = [tokens_of(await api.refresh(tokens.refresh)) for _ in range(4)]
    assert len({answer.refresh for answer in answers}) == 1
    assert (await api.refresh(answers[0].refresh)).status_code == 200


async def test_ref_4_grace_is_for_the_immediate_parent_only(api: Api) -> None:
    _, tokens = await api.as_role()
    last = (await rotated(api, tokens, 2))[-1]
    assert error_of(await api.refresh(tokens.refresh)) == INVALID
    await assert_session_is_dead(api, last)


async def test_ref_4_doubles_do_not_lengthen_the_grace(fresh: Fresh) -> None:
    api = await fresh.api(refresh_grace_seconds=1)
    _, tokens = await api.as_role()
    await rotated(api, tokens)
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.2
    while loop.time() < end:
        await api.refresh(tokens.refresh)
        await asyncio.sleep(0.1)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID


async def test_ref_4_logout_ends_the_grace(api: Api) -> None:
    _, tokens = await api.as_role()
    (_, second) = await rotated(api, tokens)
    assert (await api.http.post(f"{V1}/auth/logout", headers=second.bearer)).status_code == 204
    await assert_session_is_dead(api, tokens, second)


@pytest.mark.long
async def test_ref_5_logout_beats_an_overlapping_refresh(fresh: Fresh) -> None:
    """Nothing that a refresh mints while a logout is on its way survives it."""
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    account = await one.create_user()
    chance = random.Random(5)
    overlapped = 0
    for number in range(40):
        tokens = await one.log_in(account)
        by_refresh_token = number % 2 == 0

        refreshes = [asyncio.create_task(one.refresh(tokens.refresh)) for _ in range(3)]

        if number:
            moment = asyncio.ensure_future(asyncio.sleep(chance.random() / 200))
        else:  # one logout at least comes when something was minted
            moment = asyncio.ensure_future(asyncio.wait(refreshes, return_when=asyncio.FIRST_COMPLETED))

        async def log_out(
            moment: asyncio.Future[Any] = moment, tokens: Tokens = tokens, by_refresh_token: bool = by_refresh_token
        ) -> None:
            await moment
            given: dict[str, Any] = (
                {"json": {"refresh_token": tokens.refresh}} if by_refresh_token else {"headers": tokens.bearer}
            )
            assert (await two.http.post(f"{V1}/auth/logout", **given)).status_code == 204

        *answers, _ = await asyncio.gather(*refreshes, log_out())
        minted = [tokens_of(answer) for answer in answers if answer.status_code == 200]
        overlapped += bool(minted)
        await assert_session_is_dead(one, tokens, *minted)
        await assert_session_is_dead(two, *minted)
    assert overlapped, "the race happened"


async def test_ref_5_refresh_delayed_after_the_referee_mints_nothing_after_logout(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held between Redis' decision and the record, released after the logout was answered."""
    _, tokens = await api.as_role()
    reached, go_on = asyncio.Event(), asyncio.Event()
    advance = repository.advance

    async def held(*args: Any, **kwargs: Any) -> Any:
        reached.set()
        await go_on.wait()
        return await advance(*args, **kwargs)

    monkeypatch.setattr(repository, "advance", held)
    refresh = asyncio.create_task(api.refresh(tokens.refresh))
    await reached.wait()
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    go_on.set()
    assert error_of(await refresh) == INVALID
    await assert_session_is_dead(api, tokens)


async def test_ref_5_token_minted_late_dies_with_the_session(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held between the record and the minting, released after the logout was answered."""
    _, tokens = await api.as_role()
    reached, go_on = asyncio.Event(), asyncio.Event()
    advance = repository.advance

    async def held(*args: Any, **kwargs: Any) -> Any:
        recorded = await advance(*args, **kwargs)
        reached.set()
        await go_on.wait()
        return recorded

    monkeypatch.setattr(repository, "advance", held)
    refresh = asyncio.create_task(api.refresh(tokens.refresh))
    await reached.wait()
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    go_on.set()
    answer = await refresh
    monkeypatch.undo()
    if answer.status_code == 200:
        await assert_session_is_dead(api, tokens_of(answer))


async def test_ref_5_denial_outlives_every_token_of_the_session(fresh: Fresh) -> None:
    """Also a token minted by a worker whose clock is ahead, or a moment after the denial."""
    settings = await fresh.settings()
    clock, ahead = StoppedClock(), StoppedClock()
    ahead.now = clock.now + timedelta(seconds=29)
    one, two = await fresh.on(settings, clock), await fresh.on(settings, ahead)
    tokens = await two.log_in(await one.create_user())
    await one.http.post(f"{V1}/auth/logout", headers=tokens.bearer)
    denied = redis_key(f"auth:{{{claims_of(tokens.access)['sub']}}}:sid:{tokens.session_id}")
    life = await one.resources.redis.pttl(denied)
    dead_at = claims_of(tokens.access)["exp"] + settings.clock_leeway_seconds
    assert clock.now.timestamp() + life / 1000 >= dead_at - 1, "a second for the test itself"


async def test_ref_6_reuse_is_found_by_generation_and_not_by_seconds(fresh: Fresh) -> None:
    """Five rotations at one moment of the clock, then generation 0, on a replica that was just started."""
    settings = await fresh.settings()
    clock = StoppedClock()
    api = await fresh.on(settings, clock)
    _, tokens = await api.as_role()
    last = (await rotated(api, tokens, 5))[-1]
    restarted = await fresh.on(settings, clock)
    assert error_of(await restarted.refresh(tokens.refresh)) == INVALID
    await assert_session_is_dead(restarted, last)
    await assert_session_is_dead(api, last)


@pytest.mark.parametrize("replayed", [0, 1, 3])
async def test_ref_6_reuse_is_found_after_redis_was_flushed(fresh: Fresh, replayed: int) -> None:
    settings = await fresh.settings(refresh_grace_seconds=0)
    api = await fresh.on(settings)
    _, tokens = await api.as_role()
    chain = await rotated(api, tokens, 4)
    flush(settings.redis_url.get_secret_value())
    assert error_of(await api.refresh(chain[replayed].refresh)) == INVALID
    await assert_session_is_dead(api, chain[-1])
    assert await reasons(api, tokens) == "refresh_reuse"


async def test_ref_6_flushed_redis_logs_nobody_out(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    _, tokens = await api.as_role()
    (_, second) = await rotated(api, tokens)
    flush(settings.redis_url.get_secret_value())
    third = tokens_of(await api.refresh(second.refresh))
    flush(settings.redis_url.get_secret_value())
    assert tokens_of(await api.refresh(second.refresh)).refresh == third.refresh, "an honest double, over the flush"
    assert (await api.me(third)).status_code == 200


async def test_ref_6_redis_that_is_behind_revives_no_old_token(fresh: Fresh) -> None:
    """After a failover Redis may have forgotten the last rotations."""
    settings = await fresh.settings(refresh_grace_seconds=0)
    api = await fresh.on(settings)
    _, tokens = await api.as_role()
    key = f"auth:{{{tokens.session_id}}}:family"
    old: dict[Any, Any] = await api.resources.redis.hgetall(key)
    chain = await rotated(api, tokens, 3)
    await api.resources.redis.hset(key, mapping=old)
    fourth = tokens_of(await api.refresh(chain[-1].refresh))
    assert (await api.me(fourth)).status_code == 200, "the honest client goes on"
    await api.resources.redis.hset(key, mapping=old)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID
    await assert_session_is_dead(api, fourth)


async def test_ref_7_worker_that_died_before_the_record_logs_nobody_out(fresh: Fresh) -> None:
    """Redis has rotated, Postgres has not, and the client comes back long after the grace."""
    api = await fresh.api(refresh_grace_seconds=0)
    _, tokens = await api.as_role()
    await families(api.resources).rotate(UUID(tokens.session_id), 0)
    second = tokens_of(await api.refresh(tokens.refresh))
    third = tokens_of(await api.refresh(second.refresh))
    assert (await api.me(third)).status_code == 200


async def test_ref_7_answer_that_was_lost_is_given_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client goes away after the record was made; its retry within the grace gets the successor."""
    _, tokens = await api.as_role()
    reached = asyncio.Event()
    advance = repository.advance

    async def then_hang(*args: Any, **kwargs: Any) -> Any:
        await advance(*args, **kwargs)
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(repository, "advance", then_hang)
    lost = asyncio.create_task(api.refresh(tokens.refresh))
    await reached.wait()
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    monkeypatch.undo()
    second = tokens_of(await api.refresh(tokens.refresh))
    assert (await api.refresh(second.refresh)).status_code == 200


async def test_ref_7_record_that_is_behind_catches_up(api: Api) -> None:
    """A Postgres restored from a backup: the token itself proves that its generation was issued."""
    _, tokens = await api.as_role()
    chain = await rotated(api, tokens, 3)
    await api.resources.hot.execute("UPDATE sessions SET generation = 0 WHERE id = $1", UUID(tokens.session_id))
    fourth = tokens_of(await api.refresh(chain[-1].refresh))
    assert (await api.refresh(fourth.refresh)).status_code == 200


@pytest.mark.parametrize(
    ("days", "alive"), [([6.9], True), ([7], False), ([7.1], False), ([6] * 4, True), ([6, 6, 6, 6, 5.9], True)]
)
async def test_ref_8_idle_life_is_counted_from_the_last_refresh(fresh: Fresh, days: list[float], alive: bool) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, tokens = await api.as_role()
    for step in days:
        clock.forward(days=step)
        answer = await api.refresh(tokens.refresh)
        if answer.status_code == 200:
            tokens = tokens_of(answer)
    assert (answer.status_code == 200) is alive


async def test_ref_8_absolute_life_ends_whatever_redis_says(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, tokens = await api.as_role()
    for _ in range(5):
        clock.forward(days=5.99)
        tokens = tokens_of(await api.refresh(tokens.refresh))
    await api.resources.redis.persist(f"auth:{{{tokens.session_id}}}:family")
    clock.forward(days=0.1)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID
    assert (await api.me(await api.log_in(account))).status_code == 200


async def test_ref_8_stored_times_alone_end_a_session(api: Api) -> None:
    _, tokens = await api.as_role()
    await api.resources.hot.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", UUID(tokens.session_id))
    assert error_of(await api.refresh(tokens.refresh)) == INVALID


async def test_ref_8_disabled_user_is_refused(api: Api) -> None:
    account, tokens = await api.as_role()
    await set_active(api.resources, account.id, False)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID
    await set_active(api.resources, account.id, True)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID, "enabling again revives nothing"


async def test_ref_8_user_disabled_in_the_database_alone_is_refused(api: Api) -> None:
    """Each refresh reads the user's state anew."""
    account, tokens = await api.as_role()
    await api.resources.hot.execute("UPDATE users SET is_active = false WHERE id = $1", account.id)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID


async def test_ref_8_deleted_user_is_refused(api: Api) -> None:
    account, tokens = await api.as_role()
    await delete_user(api.resources, account.id)
    await assert_session_is_dead(api, tokens)


async def test_refresh_carries_the_epoch_of_now(api: Api) -> None:
    account, tokens = await api.as_role()
    await api.resources.hot.execute("UPDATE users SET epoch = 7 WHERE id = $1", account.id)
    assert claims_of(tokens_of(await api.refresh(tokens.refresh)).access)["epoch"] == 7


def spoiled(tokens: Tokens) -> list[str]:
    sid, generation, secret = tokens.refresh.split(".")
    other = "B" if secret[0] != "B" else "C"
    return [
        "x",
        ".",
        "..",
        f"{sid}.{generation}",
        f"{sid}.{generation}.",
        f"{sid}.{generation}.{other}{secret[1:]}",
        f"{sid}.{generation}.{secret[:-1]}",
        f"{sid}.{generation}.{secret}A",
        f"{sid}.{generation}.{secret}=",
        f"{sid}.{generation}.{'A' * 43}",
        f"{sid}.{int(generation) + 1}.{secret}",
        f"{sid}.00.{secret}",
        f"{sid}.-0.{secret}",
        f"{sid}.+0.{secret}",
        f"{sid}.٠.{secret}",  # an Arabic zero
        f"{sid}.99999999999999999999.{secret}",
        f"{sid.upper()}.{generation}.{secret}",
        f"{tokens.session_id}.{generation}.{secret}",
        f"{uuid4().hex}.{generation}.{secret}",
        f" {tokens.refresh}",
        f"{tokens.refresh} ",
        f"{tokens.refresh}.{secret}",
        tokens.access,
        "A" * 8192,
        "é" * 100,
    ]


async def test_garbage_refresh_tokens_are_refused_and_harm_nobody(api: Api) -> None:
    _, tokens = await api.as_role()
    for text in spoiled(tokens):
        assert error_of(await api.refresh(text)) == INVALID, text[:60]
    last = tokens.refresh[-1]
    for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".replace(last, ""):
        assert error_of(await api.refresh(tokens.refresh[:-1] + char)) == INVALID
    assert (await api.refresh(tokens.refresh)).status_code == 200


async def test_garbage_refresh_tokens_reach_no_store(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def referee(*_args: Any) -> None:
        raise AssertionError("asked Redis")

    _, tokens = await api.as_role()
    monkeypatch.setattr(rotation, "_referee", referee)
    for text in spoiled(tokens)[:10]:
        assert error_of(await api.refresh(text)) == INVALID


async def test_refresh_token_of_another_secret_key_is_refused(api: Api) -> None:
    _, tokens = await api.as_role()
    others = api.resources.settings.model_copy(update={"secret_key": SecretStr("x" * 32)})
    token = write_refresh_token(Secrets(others), UUID(tokens.session_id), 0)
    assert error_of(await api.refresh(token)) == INVALID
    assert (await api.refresh(tokens.refresh)).status_code == 200


async def test_genuine_token_of_a_session_that_never_was_is_refused(api: Api) -> None:
    """Signed with our key, as after a restore of an older backup: refused, and Redis keeps no trace."""
    session_id = uuid4()
    assert error_of(await api.refresh(write_refresh_token(api.resources.secrets, session_id, 3))) == INVALID
    assert await api.resources.redis.exists(f"auth:{{{session_id}}}:family") == 0


@pytest.mark.parametrize(
    "body", [{}, {"refresh_token": None}, {"refresh_token": 1}, {"refresh_token": ""}, {"refresh_token": ["x"]}]
)
async def test_refresh_body_of_another_shape_is_422(api: Api, body: dict[str, Any]) -> None:
    answer = await api.http.post(f"{V1}/auth/refresh", json=body)
    assert error_of(answer) == (422, "validation_error")


async def test_refresh_notes_where_it_came_from(api: Api) -> None:
    _, tokens = await api.as_role()
    answer = await api.http.post(
        f"{V1}/auth/refresh", json={"refresh_token": tokens.refresh}, headers={"User-Agent": "a tv\x01"}
    )
    assert answer.status_code == 200
    row = await api.resources.hot.fetchrow(
        "SELECT generation, user_agent, host(ip) AS ip, last_seen_at >= created_at AS seen FROM sessions WHERE id = $1",
        UUID(tokens.session_id),
    )
    assert row is not None
    assert dict(row) == {"generation": 1, "user_agent": "a tv?", "ip": "127.0.0.1", "seen": True}


async def test_account_of_the_refresh_is_the_sessions_own(api: Api) -> None:
    accounts: list[tuple[Account, Tokens]] = [await api.as_role() for _ in range(3)]
    answers = await asyncio.gather(*(api.refresh(tokens.refresh) for _, tokens in accounts))
    for (account, tokens), answer in zip(accounts, answers, strict=True):
        claims = claims_of(tokens_of(answer).access)
        assert (claims["sub"], claims["sid"]) == (str(account.id), tokens.session_id)
