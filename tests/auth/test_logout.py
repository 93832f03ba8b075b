"""Logout: when it has answered, the session is over on every worker, and nobody else's is."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from auth_service.core.tokens.denylist import redis_key
from auth_service.sessions.service import end_all_sessions
from tests.conftest import Fresh
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.forgery import REMOVED, claims_of, forged

REFUSED = (401, "not_authenticated")
INVALID = (401, "invalid_refresh_token")


async def log_out(api: Api, tokens: Tokens) -> None:
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204


async def test_out_1_no_replica_accepts_a_token_after_the_answer(fresh: Fresh) -> None:
    settings = await fresh.settings()
    replicas = [await fresh.on(settings) for _ in range(3)]
    account = await replicas[0].create_user()
    for number in range(10):
        tokens = await replicas[number % 3].log_in(account)
        stop = asyncio.Event()
        seen: list[tuple[bool, int]] = []

        async def poll(
            replica: Api, tokens: Tokens = tokens, stop: asyncio.Event = stop, seen: list[tuple[bool, int]] = seen
        ) -> None:
            after = False
            while not after:
                after = stop.is_set()  # before the request is sent
                seen.append((after, (await replica.me(tokens)).status_code))

        assert {(await replica.me(tokens)).status_code for replica in replicas} == {200}
        pollers = [asyncio.create_task(poll(replica)) for replica in replicas]
        await asyncio.sleep(0.01)
        await log_out(replicas[(number + 1) % 3], tokens)
        stop.set()
        await asyncio.gather(*pollers)
        assert {status for after, status in seen if after} == {401}


async def test_out_1_the_refresh_token_alone_ends_its_access_tokens(api: Api) -> None:
    _, tokens = await api.as_role()
    second = tokens_of(await api.refresh(tokens.refresh))
    answer = await api.http.post(f"{V1}/auth/logout", json={"refresh_token": tokens.refresh})
    assert answer.status_code == 204
    for one in (tokens, second):
        assert error_of(await api.me(one)) == REFUSED
        assert error_of(await api.refresh(one.refresh)) == INVALID


async def test_out_1_both_tokens_end_both_sessions(api: Api) -> None:
    account, one = await api.as_role()
    two = await api.log_in(account)
    answer = await api.http.post(f"{V1}/auth/logout", headers=one.bearer, json={"refresh_token": two.refresh})
    assert answer.status_code == 204
    for tokens in (one, two):
        assert error_of(await api.me(tokens)) == REFUSED


async def test_out_2_entries_live_as_long_as_the_tokens_they_deny(api: Api) -> None:
    account, tokens = await api.as_role()
    other = await api.log_in(account)
    _, admin = await api.as_role("admin")
    client_id, client_secret = await api.create_service(admin)
    service = await api.service_token(client_id, client_secret)
    await log_out(api, tokens)
    await api.http.post(f"{V1}/auth/logout", headers=service)
    await api.http.post(f"{V1}/auth/logout-all", headers=other.bearer)
    service_jti = claims_of(service["Authorization"].removeprefix("Bearer "))["jti"]
    leeway = api.resources.settings.clock_leeway_seconds
    for key in (
        f"auth:{{{account.id}}}:sid:{tokens.session_id}",
        f"auth:{{{client_id}}}:jti:{service_jti}",
        f"auth:{{{account.id}}}:epoch",
    ):
        milliseconds = await api.resources.redis.pttl(redis_key(key))
        assert 900 + leeway < milliseconds / 1000 <= 900 + 2 * leeway
        expires_at = await api.resources.hot.fetchval("SELECT expires_at FROM denials WHERE key = $1", key)
        seconds = (expires_at - api.resources.clock()).total_seconds()
        assert abs(seconds - milliseconds / 1000) < 2, "the record and Redis agree"


async def test_out_2_expired_denials_are_forgotten(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, tokens = await api.as_role()
    await log_out(api, tokens)
    await api.resources.denylist.catch_up()
    assert await api.resources.hot.fetchval("SELECT count(*) FROM denials") == 1
    clock.forward(seconds=2000)
    await api.resources.denylist.catch_up()
    assert await api.resources.hot.fetchval("SELECT count(*) FROM denials") == 0


async def test_out_2_late_publisher_neither_lowers_an_epoch_nor_shortens_a_life(api: Api) -> None:
    account = await api.create_user()
    denylist, redis = api.resources.denylist, api.resources.redis
    newer, older = denylist.older_epochs(account.id, 7), denylist.older_epochs(account.id, 3)
    short = type(older)(older.key, older.value, older.expires_at - timedelta(seconds=600))
    await denylist.publish([newer])
    await denylist.publish([older, short])
    assert await redis.get(redis_key(newer.key)) == "7"
    assert await redis.pttl(redis_key(newer.key)) > 800_000


async def test_out_3_epoch_is_right_within_one_moment(fresh: Fresh) -> None:
    """Log in, log out everywhere and log in again while the clock stands still."""
    settings = await fresh.settings()
    clock = StoppedClock()
    one, two = await fresh.on(settings, clock), await fresh.on(settings, clock)
    account = await one.create_user()
    for _ in range(3):
        before = [await api.log_in(account) for api in (one, two, one)]
        answer = await two.http.post(f"{V1}/auth/logout-all", headers=before[0].bearer)
        assert answer.status_code == 204
        after = await one.log_in(account)
        for api in (one, two):
            for tokens in before:
                assert error_of(await api.me(tokens)) == REFUSED
                assert error_of(await api.refresh(tokens.refresh)) == INVALID
            assert (await api.me(after)).status_code == 200


async def test_out_3_logout_all_is_one_entry_however_many_sessions(fresh: Fresh) -> None:
    api = await fresh.api(session_limit=1000)
    account, tokens = await api.as_role()
    await api.resources.hot.execute(
        "INSERT INTO sessions (id, user_id, generation, expires_at)"
        " SELECT gen_random_uuid(), $1, 0, now() + interval '1 day' FROM generate_series(1, 500)",
        account.id,
    )
    await end_all_sessions(api.resources, account.id, "logout_all")
    assert await api.resources.hot.fetchval("SELECT count(*) FROM denials") == 1
    assert await api.resources.hot.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0
    assert error_of(await api.me(tokens)) == REFUSED


async def test_out_3_login_that_overlaps_a_logout_all_is_refused_dead_or_after_it(fresh: Fresh) -> None:
    """No session may live on with tokens of the old epoch; a login that began before it is refused."""
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    account = await one.create_user()
    for _ in range(10):
        first = await one.log_in(account)
        body = {"login": account.login, "password": account.password}
        logins = asyncio.gather(*(app.http.post(f"{V1}/auth/login", json=body) for app in (one, two)))
        racing, _ = await asyncio.gather(logins, two.http.post(f"{V1}/auth/logout-all", headers=first.bearer))
        for answer in racing:
            if answer.status_code != 200:
                assert error_of(answer) == (401, "invalid_credentials")
                continue
            tokens = tokens_of(answer)
            accepted = (await one.me(tokens)).status_code == 200
            renewed = (await two.refresh(tokens.refresh)).status_code == 200
            assert accepted == renewed


JUNK = ["", "Bearer", "Bearer ", "Bearer junk", "Bearer a.b.c", "Basic dTpw", "Bearer \xff", "junk"]


@pytest.mark.parametrize("header", JUNK)
async def test_out_4_junk_answers_as_success(api: Api, header: str) -> None:
    raw = {b"authorization": header.encode("latin-1")}
    bodies: list[dict[str, Any]] = [{}, {"json": {}}]
    bodies += [{"json": {"refresh_token": token}} for token in ("junk", None)]
    for given in bodies:
        answer = await api.http.post(f"{V1}/auth/logout", headers=raw, **given)
        assert (answer.status_code, answer.content) == (204, b"")


async def test_out_4_logout_is_repeatable_and_its_answers_are_equal(api: Api) -> None:
    _, tokens = await api.as_role()
    answers = [await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer) for _ in range(3)]
    answers.append(await api.http.post(f"{V1}/auth/logout"))
    shown = [(a.status_code, a.content, {k: v for k, v in a.headers.items() if k != "x-request-id"}) for a in answers]
    assert all(one == shown[0] for one in shown)


async def test_out_4_expired_access_token_still_ends_its_session(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, tokens = await api.as_role()
    clock.forward(seconds=3600)
    assert error_of(await api.me(tokens)) == REFUSED
    await log_out(api, tokens)
    assert error_of(await api.refresh(tokens.refresh)) == INVALID


@pytest.mark.parametrize("change", [{"aud": "other"}, {"iss": "other"}, {"jti": REMOVED}, {"kind": "service"}])
async def test_out_4_tokens_that_are_not_ours_end_nothing(api: Api, change: dict[str, Any]) -> None:
    _, tokens = await api.as_role()
    foreign = forged(api, tokens, **change)
    answer = await api.http.post(f"{V1}/auth/logout", headers={"Authorization": f"Bearer {foreign}"})
    assert answer.status_code == 204
    assert (await api.me(tokens)).status_code == 200


async def test_out_4_forged_signature_ends_nothing(api: Api) -> None:
    """Else anyone who has seen a session id could log its owner out."""
    _, tokens = await api.as_role()
    text, _, signature = tokens.access.rpartition(".")
    swapped = f"{text}.{signature[43:]}{signature[:43]}"
    await api.http.post(f"{V1}/auth/logout", headers={"Authorization": f"Bearer {swapped}"})
    sid, generation, secret = tokens.refresh.split(".")
    await api.http.post(f"{V1}/auth/logout", json={"refresh_token": f"{sid}.{generation}.{secret[::-1]}"})
    assert (await api.me(tokens)).status_code == 200
    assert (await api.refresh(tokens.refresh)).status_code == 200


async def test_logout_others_keeps_this_session_and_other_users(api: Api) -> None:
    account, here = await api.as_role()
    others = [await api.log_in(account) for _ in range(3)]
    _, stranger = await api.as_role()
    assert (await api.http.post(f"{V1}/auth/logout-others", headers=here.bearer)).status_code == 204
    for tokens in others:
        assert error_of(await api.me(tokens)) == REFUSED
        assert error_of(await api.refresh(tokens.refresh)) == INVALID
    for tokens in (here, stranger):
        assert (await api.me(tokens)).status_code == 200
        assert (await api.refresh(tokens.refresh)).status_code == 200


async def test_logout_all_ends_this_session_too_but_no_other_users(api: Api) -> None:
    account, here = await api.as_role()
    there = await api.log_in(account)
    _, stranger = await api.as_role()
    assert (await api.http.post(f"{V1}/auth/logout-all", headers=here.bearer)).status_code == 204
    for tokens in (here, there):
        assert error_of(await api.me(tokens)) == REFUSED
        assert error_of(await api.refresh(tokens.refresh)) == INVALID
    assert (await api.me(stranger)).status_code == 200
    assert (await api.me(await api.log_in(account))).status_code == 200


async def test_pwd_7_changed_password_ends_the_other_sessions(api: Api) -> None:
    account, here = await api.as_role()
    there = await api.log_in(account)
    body = {"current_password": account.password, "new_password": "a new and long passphrase"}
    assert (await api.http.post(f"{V1}/users/me/password", json=body, headers=here.bearer)).status_code == 204
    assert (await api.me(here)).status_code == 200
    assert error_of(await api.me(there)) == REFUSED
    assert error_of(await api.refresh(there.refresh)) == INVALID


async def test_logout_of_a_service_ends_that_one_token(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin)
    ended, kept = await api.service_token(*client), await api.service_token(*client)
    body = {"checks": [{"permission": "films:watch", "user_id": client[0]}]}
    assert (await api.http.post(f"{V1}/auth/logout", headers=ended)).status_code == 204
    for headers, status in ((ended, 401), (kept, 200), (await api.service_token(*client), 200)):
        answer = await api.http.post(f"{V1}/permissions/check/batch", json=body, headers=headers)
        assert answer.status_code == status


async def test_deleted_service_is_refused_at_once(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin)
    headers = await api.service_token(*client)
    body = {"checks": [{"permission": "films:watch", "user_id": client[0]}]}
    assert (await api.http.delete(f"{V1}/services/{client[0]}", headers=admin.bearer)).status_code == 204
    answer = await api.http.post(f"{V1}/permissions/check/batch", json=body, headers=headers)
    assert error_of(answer) == REFUSED


async def test_catch_up_publishes_what_was_only_recorded(fresh: Fresh) -> None:
    """A worker that died between its commit and its publication; another one makes it good."""
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    account, tokens = await one.as_role()
    assert (await two.me(tokens)).status_code == 200
    denial = one.resources.denylist.session(account.id, UUID(tokens.session_id))
    async with one.resources.db.begin() as session:
        await one.resources.denylist.record(session, [denial])
    await two.resources.denylist.catch_up()
    assert error_of(await two.me(tokens)) == REFUSED
    assert error_of(await one.me(tokens)) == REFUSED


async def test_session_limit_ends_the_session_used_longest_ago(fresh: Fresh) -> None:
    api = await fresh.api(session_limit=2)
    account, first = await api.as_role()
    second = await api.log_in(account)
    first = tokens_of(await api.refresh(first.refresh))
    third = await api.log_in(account)
    assert error_of(await api.me(second)) == REFUSED
    assert error_of(await api.refresh(second.refresh)) == INVALID
    for tokens in (first, third):
        assert (await api.me(tokens)).status_code == 200
