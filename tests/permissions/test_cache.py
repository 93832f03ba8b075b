"""What a worker keeps in memory: nobody is answered from before a change that was answered, and it stays small."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from auth_service.core import leases
from auth_service.core.coherence import CHANNEL
from auth_service.permissions.cache import ANSWER_BYTES, SUBJECT_BYTES, CheckCache
from auth_service.permissions.decision import Decision, Reason
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, revoke
from tests.support.api import PASSWORD, V1, Api, Tokens, tokens_of
from tests.support.check_cast import CHECK
from tests.support.command import Command
from tests.support.scrape import read, value
from tests.support.tcp_gate import gate_to, gated

PATIENCE_SECONDS = 30


async def says(api: Api, headers: dict[str, str], code: str, user: UUID | None = None) -> str:
    """The reason; the error's code where there is none."""
    about = {} if user is None else {"user_id": str(user)}
    answer = await api.http.post(f"{V1}{CHECK}", json={"permission": code, **about}, headers=headers)
    body = answer.json()
    return str(body.get("reason", body.get("error")))


class Pair:
    """Two workers of one deployment, a viewer, an admin and a service: `here` changes, `there` is asked."""

    def __init__(self, here: Api, there: Api) -> None:
        self.here, self.there = here, there

    async def prepare(self) -> None:
        _, self.root = await self.here.as_role("superuser")
        self.user, self.tokens = await self.here.as_role()
        self.code = await create_permission(self.here, self.root)
        self.role = await create_role(self.here, self.root, self.code)
        self.service_id, secret = await self.here.create_service(self.root)
        self.service = await self.here.service_token(self.service_id, secret)
        await grant(self.here, self.root, self.user.id, self.role)

    async def own(self) -> str:
        return await says(self.there, self.tokens.bearer, self.code)

    async def about(self) -> str:
        return await says(self.there, self.service, self.code, self.user.id)

    async def both(self) -> tuple[str, str]:
        return await self.own(), await self.about()

    async def changed(self, method: str, path: str, body: Any = None, tokens: Tokens | None = None) -> None:
        headers = (tokens or self.root).bearer
        answer = await self.here.http.request(method, f"{V1}{path}", json=body, headers=headers)
        assert answer.status_code < 300, answer.text


@pytest.fixture
async def pair(fresh: Fresh) -> Pair:
    settings = await fresh.settings()
    pair = Pair(await fresh.on(settings), await fresh.on(settings))
    await pair.prepare()
    return pair


NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "another good one 17"}
Act = Callable[[Pair], Awaitable[None]]
GONE = "not_authenticated"
# What is changed, and what the viewer's own token and a service then get to hear.
CHANGES: dict[str, tuple[Act, tuple[str, str]]] = {
    "logout": (lambda p: p.changed("POST", "/auth/logout", None, p.tokens), (GONE, "granted")),
    "logout from all": (lambda p: p.changed("POST", "/auth/logout-all", None, p.tokens), (GONE, "granted")),
    "by an admin": (lambda p: p.changed("POST", f"/admin/users/{p.user.id}/logout-all"), (GONE, "granted")),
    "disabled": (
        lambda p: p.changed("PATCH", f"/admin/users/{p.user.id}", {"is_active": False, "reason": "a test"}),
        (GONE, "user_inactive"),
    ),
    "deleted": (lambda p: p.changed("DELETE", f"/admin/users/{p.user.id}", {"reason": "a test"}), (GONE, "no_grant")),
    "revoked": (lambda p: p.changed("DELETE", f"/users/{p.user.id}/roles/{p.role}"), ("no_grant", "no_grant")),
    "role edited": (
        lambda p: p.changed("PATCH", f"/roles/{p.role}", {"permissions": []}),
        ("no_grant", "no_grant"),
    ),
    "marked": (
        lambda p: p.changed("PATCH", f"/permissions/{p.code}", {"step_up": True}),
        ("step_up_required", "step_up_required"),
    ),
    "service deleted": (lambda p: p.changed("DELETE", f"/services/{p.service_id}"), ("granted", GONE)),
    "own password": (
        lambda p: p.changed("POST", "/users/me/password", NEW_PASSWORD, p.tokens),
        ("granted", "granted"),
    ),
}


@pytest.mark.parametrize(("act", "then"), CHANGES.values(), ids=CHANGES.keys())
async def test_out_2_a_change_is_seen_by_every_worker_on_its_next_request(
    pair: Pair, found: list[str], act: Act, then: tuple[str, str]
) -> None:
    assert await pair.both() == ("granted", "granted")
    assert await pair.both() == ("granted", "granted")
    assert found == [CHECK] * 2
    await act(pair)
    assert await pair.both() == then


async def test_out_2_again_and_again(pair: Pair, found: list[str]) -> None:
    for _ in range(15):
        assert await pair.both() == ("granted", "granted")
        assert (await revoke(pair.here, pair.root, pair.user.id, pair.role)).status_code == 204
        assert await pair.both() == ("no_grant", "no_grant")
        assert await pair.both() == ("no_grant", "no_grant")
        await grant(pair.here, pair.root, pair.user.id, pair.role)
    assert len(found) >= 25


async def test_out_2_a_change_at_the_command_line_too(pair: Pair) -> None:
    command = Command(pair.here.resources.settings)
    assert await pair.both() == ("granted", "granted")
    await command.does("users", "toggle-active", str(pair.user.id))
    assert await pair.both() == (GONE, "user_inactive")
    await command.does("users", "toggle-active", str(pair.user.id))
    assert await pair.about() == "granted"


async def test_jwt_7_a_retired_key_ends_for_every_worker(pair: Pair) -> None:
    assert await pair.both() == ("granted", "granted")
    assert await pair.both() == ("granted", "granted")
    command = Command(pair.here.resources.settings)
    (key,) = (await command("keys", "list", "--json")).rows
    await command.does("keys", "retire", key["kid"], "--yes")
    assert await pair.both() == (GONE, GONE)
    again = await pair.there.log_in(pair.user)
    assert await says(pair.there, again.bearer, pair.code) == "granted"


def hold_up_the_first_load(api: Api, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """The first event: it has its answer from Postgres. It goes on with that after the second one."""
    read_it, go_on = asyncio.Event(), asyncio.Event()
    fetch = api.resources.hot.fetch

    async def held_up(query: str, *args: Any, **options: Any) -> Any:
        rows = await fetch(query, *args, **options)
        if "FROM lineage" in query and not read_it.is_set():
            read_it.set()
            await go_on.wait()
        return rows

    monkeypatch.setattr(api.resources.hot, "fetch", held_up)
    return read_it, go_on


async def test_what_was_read_before_a_change_is_not_kept(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load has its answer from Postgres, and is held up until the change has been answered."""
    read_it, go_on = hold_up_the_first_load(pair.there, monkeypatch)
    began_before = asyncio.create_task(pair.about())
    await read_it.wait()
    assert (await revoke(pair.here, pair.root, pair.user.id, pair.role)).status_code == 204
    go_on.set()
    assert await began_before == "granted"
    assert await pair.about() == "no_grant"


async def test_who_asks_after_the_change_does_not_join_who_asked_before(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_it, go_on = hold_up_the_first_load(pair.there, monkeypatch)
    before = asyncio.create_task(pair.about())
    await read_it.wait()
    assert (await revoke(pair.here, pair.root, pair.user.id, pair.role)).status_code == 204
    after = [asyncio.create_task(pair.about()) for _ in range(5)]
    await asyncio.sleep(0.05)
    go_on.set()
    assert await before == "granted"
    assert await asyncio.gather(*after) == ["no_grant"] * 5


async def test_nobody_is_kept_who_does_not_exist_yet(pair: Pair, found: list[str]) -> None:
    nobody = uuid4()
    for _ in range(3):
        assert await says(pair.there, pair.service, pair.code, nobody) == "no_grant"
    assert found == []
    cache: CheckCache = pair.there.http._transport.app.state.checks  # type: ignore[attr-defined]
    assert str(nobody) not in cache._subjects


async def test_a_connection_that_is_cut_costs_nobody_an_old_answer(pair: Pair) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'auth-service changes'"
    cut += " AND datname = current_database()"
    for _ in range(5):
        assert await pair.both() == ("granted", "granted")
        await pair.here.resources.hot.execute(cut)
        assert (await revoke(pair.here, pair.root, pair.user.id, pair.role)).status_code == 204
        assert await pair.both() == ("no_grant", "no_grant")
        await grant(pair.here, pair.root, pair.user.id, pair.role)
        assert await pair.both() == ("granted", "granted")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await pair.there.resources.coherence.hearing.wait()


@pytest.mark.long
async def test_a_change_waits_for_a_worker_that_hears_nothing_until_its_lease_ends(fresh: Fresh) -> None:
    settings = await fresh.settings(database_timeout_seconds=1)
    here = await fresh.on(settings)
    async with gated(settings) as (gate, behind):
        there = await fresh.on(behind)
        pair = Pair(here, there)
        await pair.prepare()
        assert await pair.both() == ("granted", "granted")
        await asyncio.sleep(leases.BEAT_SECONDS * 2)
        gate.freeze()
        assert (await revoke(here, pair.root, pair.user.id, pair.role)).status_code == 204
        assert await pair.about() == "temporarily_unavailable"
        await gate.open()


async def test_rel_3_without_postgres_hits_go_on_until_the_lease_ends(fresh: Fresh, found: list[str]) -> None:
    settings = await fresh.settings(database_timeout_seconds=1)
    async with gated(settings) as (gate, behind):
        api = await fresh.on(behind)
        _, tokens = await api.as_role("viewer")
        usual = await says(api, tokens.bearer, "films:watch")
        await gate.shut()
        answers = [usual]
        while answers[-1] == usual:
            answers.append(await says(api, tokens.bearer, "films:watch"))
        assert answers[-1] == "temporarily_unavailable"
        count = len(found)
        assert await says(api, tokens.bearer, "films:watch") == "temporarily_unavailable"
        assert len(found) == count
        await gate.open()


async def test_rel_3_a_grace_lets_them_go_on_while_nothing_can_change(fresh: Fresh, found: list[str]) -> None:
    settings = await fresh.settings(database_timeout_seconds=1, check_grace_seconds=60)
    async with gated(settings) as (gate, behind):
        api = await fresh.on(behind)
        _, root = await api.as_role("superuser")
        user, tokens = await api.as_role("viewer")
        usual = await says(api, tokens.bearer, "films:watch")
        await says(api, tokens.bearer, "films:watch")
        await gate.shut()
        await asyncio.sleep(2 * leases.SIT_OUT_SECONDS)
        assert await says(api, tokens.bearer, "films:watch") == usual
        assert len(found) == 2
        await gate.open()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await api.resources.coherence.hearing.wait()
        answer = await api.http.post(f"{V1}/admin/users/{user.id}/logout-all", headers=root.bearer)
        assert answer.status_code == 204
        assert await says(api, tokens.bearer, "films:watch") == GONE


async def test_rel_2_without_redis_what_is_known_is_answered(fresh: Fresh, found: list[str]) -> None:
    """Nothing can be ended while Redis is away: an act that should answers 503."""
    settings = await fresh.settings(redis_timeout_ms=300)
    async with gate_to(settings.redis_url.get_secret_value()) as gate:
        api = await fresh.on(settings.model_copy(update={"redis_url": SecretStr(gate.url)}))
        _, tokens = await api.as_role("viewer")
        usual = await says(api, tokens.bearer, "films:watch")
        await gate.shut()
        assert await says(api, tokens.bearer, "films:watch") == usual
        ending = await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)
        assert ending.status_code == 503
        # It stands in Postgres, and every worker has heard of it.
        assert await says(api, tokens.bearer, "films:watch") != usual
        await gate.open()
    assert found == [CHECK]


async def test_logins_and_refreshes_that_end_nothing_wait_for_nobody(fresh: Fresh) -> None:
    api = await fresh.api(session_limit=2)
    account = await api.create_user()

    async def waits() -> float:
        return value(await read(api), "auth_change_wait_seconds_count")

    tokens = await api.log_in(account)
    tokens_of(await api.refresh(tokens.refresh))
    await api.log_in(account)
    assert await waits() == 0
    await api.log_in(account)  # ends the first session
    assert await waits() == 1


async def test_switched_off_every_check_asks_the_stores(fresh: Fresh, found: list[str]) -> None:
    api = await fresh.api(check_cache_bytes=0)
    _, tokens = await api.as_role("viewer")
    assert await says(api, tokens.bearer, "films:watch") == await says(api, tokens.bearer, "films:watch")
    assert found == []
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    assert await says(api, tokens.bearer, "films:watch") == GONE
    assert value(await read(api), "auth_change_wait_seconds_count") == 0


def granted(cache: CheckCache, user: UUID, code: str = "films:watch") -> None:
    places = cache.places([user])
    assert places is not None
    cache.keep(places[user], code, None, Decision(True, Reason.GRANTED), of_session=False)


async def test_a_subject_takes_at_most_600_bytes(fresh: Fresh) -> None:
    api = await fresh.api(check_cache_bytes=10**9)
    cache = CheckCache(api.resources)
    users = [uuid4() for _ in range(20_000)]
    granted(cache, uuid4())
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for user in users:
            granted(cache, user)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    each = (after - before) / len(users)
    assert each <= 600
    assert each <= SUBJECT_BYTES + ANSWER_BYTES  # what is reckoned with


async def test_what_is_kept_stays_within_its_bytes(fresh: Fresh) -> None:
    api = await fresh.api(check_cache_bytes=2_000_000)
    cache = CheckCache(api.resources)
    often = uuid4()
    for _ in range(20_000):
        granted(cache, often)
        granted(cache, uuid4())
    subjects = len(cache._subjects) + len(cache._old_subjects)
    assert 1000 < subjects <= 2_000_000 / SUBJECT_BYTES
    assert str(often) in cache._subjects or str(often) in cache._old_subjects


async def test_many_grants_at_once_are_told_as_one_change(pair: Pair) -> None:
    told: list[str] = []
    database = pair.here.resources.hot
    connection = await pair.here.resources.direct.connect()
    try:
        await connection.add_listener(CHANNEL, lambda *said: told.append(str(said[3])))
        rows = await database.fetch(
            "INSERT INTO users (id, login, login_key, email, email_key, password_hash) SELECT gen_random_uuid(),"
            " 'u' || i, 'u' || i, 'u' || i, 'u' || i, '' FROM generate_series(1, 150) i RETURNING id"
        )
        users = [row["id"] for row in rows]
        give = "INSERT INTO user_roles (user_id, role_name) SELECT unnest($1::uuid[]), 'viewer'"
        await database.execute(give, users[:2])
        await database.execute(give, users[2:])
        await connection.execute("SELECT 1")  # what was told before it has come
    finally:
        await connection.close()
    changes = [text for text in told if not text.startswith("w|")]
    assert sorted(changes[:2]) == sorted(f"u:{user}" for user in users[:2])
    assert changes[2:] == ["*"]
