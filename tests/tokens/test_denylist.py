"""The stores fail: what was revoked stays revoked, unknown is never 401, and all is well again without a restart."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import QueuePool

from auth_service import main
from auth_service.core.tokens.denylist import BUCKETS, Denylist, generation_key, redis_key
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import EmbeddedServer
from auth_service.jobs import jobs_of
from tests.conftest import Fresh
from tests.support.api import V1, Account, Api, Tokens, error_of, tokens_of
from tests.support.redis_topologies import flush
from tests.support.tcp_gate import Gate, gate_to, gated

REFUSED = (401, "not_authenticated")
INVALID = (401, "invalid_refresh_token")
UNAVAILABLE = (503, "temporarily_unavailable")
# Each check asks Redis: with a cache it asks Postgres alone.
AS_SHIPPED = {"check_cache_bytes": 0, "redis_timeout_ms": 150, "database_timeout_seconds": 2}
# What a client with its retries would take is a minute; this only tells the two apart on a busy machine.
PATIENCE = 15


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """Nobody else's, so that it may be stopped; it forgets everything when it is."""
    server = start_redis(tmp_path / "redis", durable=False)
    yield server
    if server.is_running():
        os.kill(server.pid, signal.SIGCONT)
    server.stop()


@pytest.fixture
async def redis_gate(own_redis: EmbeddedServer) -> AsyncIterator[Gate]:
    """One address for a Redis that comes back on another port."""
    async with gate_to(own_redis.url) as gate:
        yield gate


async def calls(api: Api, account: Account, tokens: Tokens) -> list[httpx.Response]:
    """One of each kind that needs Redis."""
    return [
        await api.me(tokens),
        await api.http.post(f"{V1}/permissions/check", json={"permission": "films:watch"}, headers=tokens.bearer),
        await api.refresh(tokens.refresh),
        await api.http.post(f"{V1}/auth/login", json={"login": account.login, "password": account.password}),
        await api.http.post(f"{V1}/auth/logout-others", headers=tokens.bearer),
    ]


async def assert_unavailable(api: Api, account: Account, tokens: Tokens) -> None:
    async with asyncio.timeout(PATIENCE):
        answers = await calls(api, account, tokens)
    for answer in answers:
        assert error_of(answer) == UNAVAILABLE, answer.request.url
        assert int(answer.headers["retry-after"]) >= 1


async def redis_denies(api: Api, account: Account, tokens: Tokens) -> bool:
    """Redis itself: a worker also knows by its own memory of what Postgres has."""
    key = redis_key(f"auth:{{{account.id}}}:sid:{tokens.session_id}")
    return bool(await api.resources.redis.get(key) == "1")


async def until_well(api: Api, tokens: Tokens) -> None:
    async with asyncio.timeout(PATIENCE):
        while (answer := await api.me(tokens)).status_code == 503:  # noqa: ASYNC110  the answer is what we wait for
            await asyncio.sleep(0.05)
    assert answer.status_code == 200, answer.text


async def test_rel_2_flushed_denylist_is_rebuilt_before_anyone_gets_in(fresh: Fresh) -> None:
    settings = await fresh.settings()
    replicas = [await fresh.on(settings) for _ in range(2)]
    account, live = await replicas[0].as_role()
    ended = [await replicas[0].log_in(account) for _ in range(3)]
    _, by_epoch = await replicas[0].as_role()
    _, admin = await replicas[0].as_role("admin")
    service = await replicas[0].service_token(*await replicas[0].create_service(admin))
    for tokens in ended:
        await replicas[0].http.post(f"{V1}/auth/logout", headers=tokens.bearer)
    await replicas[0].http.post(f"{V1}/auth/logout-all", headers=by_epoch.bearer)
    await replicas[0].http.post(f"{V1}/auth/logout", headers=service)
    for _ in range(3):
        flush(settings.redis_url.get_secret_value())
        revoked = [tokens.bearer for tokens in (*ended, by_epoch)] + [service]
        answers = await asyncio.gather(
            *(
                replica.http.get(f"{V1}/users/me", headers=headers)
                for _ in range(4)
                for replica in replicas
                for headers in revoked
            )
        )
        assert {error_of(answer) for answer in answers} == {REFUSED}
        for replica in replicas:
            assert (await replica.me(live)).status_code == 200
        assert all([await redis_denies(replicas[0], account, tokens) for tokens in ended])


async def test_rel_2_redis_emptied_again_while_it_is_rebuilt_revives_nothing(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that crashes in a loop: what was published before the second loss is gone and must not count."""
    settings = await fresh.settings()
    api = await fresh.on(settings)
    account, ended = await api.as_role()
    await api.http.post(f"{V1}/auth/logout", headers=ended.bearer)
    redis_url = settings.redis_url.get_secret_value()
    publish, losses = Denylist._publish_rows, 1

    async def publish_and_lose(self: Denylist, rows: Any) -> None:
        nonlocal losses
        await publish(self, rows)
        if losses:
            losses -= 1
            flush(redis_url)

    monkeypatch.setattr(Denylist, "_publish_rows", publish_and_lose)
    flush(redis_url)
    assert error_of(await api.me(ended)) in {UNAVAILABLE, REFUSED}
    assert error_of(await api.me(ended)) == REFUSED
    assert await redis_denies(api, account, ended)


async def test_rel_2_generation_of_another_deployment_is_not_trusted(fresh: Fresh) -> None:
    """A Redis that was exchanged for someone else's: it remembers, but not our revocations."""
    settings = await fresh.settings()
    api = await fresh.on(settings)
    account, ended = await api.as_role()
    await api.http.post(f"{V1}/auth/logout", headers=ended.bearer)
    flush(settings.redis_url.get_secret_value())
    for bucket in range(BUCKETS):
        await api.resources.redis.set(generation_key(bucket), "another")
    assert error_of(await api.me(ended)) == REFUSED
    assert await redis_denies(api, account, ended)


async def test_rel_2_redis_down_is_503_and_recovers_empty_without_restart(
    fresh: Fresh, own_redis: EmbeddedServer, redis_gate: Gate, tmp_path: Path
) -> None:
    api = await fresh.on(await fresh.settings(redis_url=redis_gate.url, **AS_SHIPPED))
    account, live = await api.as_role()
    ended = await api.log_in(account)
    await api.http.post(f"{V1}/auth/logout", headers=ended.bearer)

    await redis_gate.shut()
    own_redis.stop()
    await assert_unavailable(api, account, live)
    await assert_unavailable(api, account, ended)
    assert (await api.http.get("/health/live")).status_code == 200
    ready = await api.http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["postgres"] == "ok"
    assert ready.json()["redis"] != "ok"
    for path in ("/.well-known/jwks.json", "/auth/openapi.json"):
        assert (await api.http.get(path)).status_code == 200

    other = start_redis(tmp_path / "redis-again", durable=False)
    try:
        redis_gate.lead_to(other.url)
        await redis_gate.open()
        await until_well(api, live)
        assert error_of(await api.me(ended)) == REFUSED
        assert error_of(await api.refresh(ended.refresh)) == INVALID
        assert (await api.refresh(live.refresh)).status_code == 200
        assert (await api.http.get("/health/ready")).status_code == 200
    finally:
        other.stop()


async def test_rel_2_frozen_redis_is_503_soon_and_no_refresh_becomes_theft(
    fresh: Fresh, own_redis: EmbeddedServer
) -> None:
    """With the client's retries one honest refresh came back as reuse and ended the session."""
    api = await fresh.on(await fresh.settings(redis_url=own_redis.url, **AS_SHIPPED))
    account, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        await assert_unavailable(api, account, tokens)
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(api.refresh(tokens.refresh) for _ in range(5)))
        assert {error_of(answer) for answer in answers} == {UNAVAILABLE}
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    await until_well(api, tokens)
    second = tokens_of(await api.refresh(tokens.refresh))
    assert (await api.me(second)).status_code == 200
    assert (await api.refresh(second.refresh)).status_code == 200


async def test_rel_2_login_that_failed_leaves_no_session_and_ends_none(fresh: Fresh, own_redis: EmbeddedServer) -> None:
    """A client that tries again and again must not push its user's other devices out."""
    api = await fresh.on(await fresh.settings(redis_url=own_redis.url, session_limit=2, **AS_SHIPPED))
    account, first = await api.as_role()
    second = await api.log_in(account)
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            answer = await api.http.post(
                f"{V1}/auth/login", json={"login": account.login, "password": account.password}
            )
            assert error_of(answer) == UNAVAILABLE
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    await until_well(api, first)
    for tokens in (first, second):
        assert (await api.refresh(tokens.refresh)).status_code == 200
    assert await api.resources.hot.fetchval("SELECT count(*) FROM sessions") == 2
    assert await api.resources.hot.fetchval("SELECT count(*) FROM login_history WHERE succeeded") == 2


async def test_rel_2_each_call_tries_redis_once(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted and not timed: a retry would be a second connection. The jobs that connect too stand still."""
    monkeypatch.setattr(main, "jobs_of", lambda resources: [job for job in jobs_of(resources) if job.name == "pools"])
    settings = await fresh.settings(check_cache_bytes=0)
    async with gate_to(settings.redis_url.get_secret_value()) as gate:
        api = await fresh.on(settings.model_copy(update={"redis_timeout_ms": 150, "redis_url": SecretStr(gate.url)}))
        _, tokens = await api.as_role()
        gate.freeze()
        await api.resources.redis.connection_pool.disconnect(inuse_connections=False)
        before = gate.accepted
        assert error_of(await api.me(tokens)) == UNAVAILABLE
        assert gate.accepted - before <= 1
        assert error_of(await api.refresh(tokens.refresh)) == UNAVAILABLE
        assert gate.accepted - before <= 2


async def test_rel_2_logout_that_could_not_be_published_says_so_and_holds(
    fresh: Fresh, own_redis: EmbeddedServer
) -> None:
    """503, so that the client knows it is not over everywhere yet; the record makes it so once Redis is back."""
    api = await fresh.on(await fresh.settings(redis_url=own_redis.url, **AS_SHIPPED))
    _, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        answer = await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)
        assert error_of(answer) == UNAVAILABLE
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    await api.resources.denylist.catch_up()  # as every few seconds
    assert error_of(await api.me(tokens)) == REFUSED
    assert error_of(await api.refresh(tokens.refresh)) == INVALID


@pytest.mark.parametrize("failure", ["shut", pytest.param("frozen", marks=pytest.mark.long)])
async def test_rel_3_postgres_that_fails_is_503_and_never_401(fresh: Fresh, failure: str) -> None:
    settings = await fresh.settings(database_timeout_seconds=0.5)
    async with gated(settings) as (gate, behind):
        api = await fresh.on(behind)
        account, tokens = await api.as_role()
        ended = await api.log_in(account)
        await api.http.post(f"{V1}/auth/logout", headers=ended.bearer)
        assert (await api.me(tokens)).status_code == 200

        if failure == "shut":
            await gate.shut()
        else:
            gate.freeze()
        async with asyncio.timeout(2 * PATIENCE):
            for answer in (
                *await calls(api, account, tokens),
                await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer),
                await api.http.post(f"{V1}/auth/logout", json={"refresh_token": tokens.refresh}),
            ):
                assert error_of(answer) == UNAVAILABLE, answer.request.url
                assert int(answer.headers["retry-after"]) >= 1
            # A token is judged without Postgres: signature and Redis.
            assert error_of(await api.me(ended)) == REFUSED
            ready = await api.http.get("/health/ready")
        assert (ready.status_code, ready.json()["redis"]) == (503, "ok")
        assert ready.json()["postgres"] != "ok"
        assert (await api.http.get("/health/live")).status_code == 200

        await gate.open()
        await until_well(api, tokens)
        assert (await api.refresh(tokens.refresh)).status_code == 200
        assert (await api.log_in(account)).access


async def test_rel_3_a_server_that_takes_no_more_writes_is_503_and_left(fresh: Fresh) -> None:
    """As after a planned change of places: pooled connections to the former primary are not used again."""
    api = await fresh.api()
    if api.resources.settings.pooled:
        pytest.skip("which connections a pooler keeps to a server is its own matter: its RECONNECT leaves them")
    account, tokens = await api.as_role()
    name = await api.resources.hot.fetchval("SELECT current_database()")
    await api.resources.hot.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await api.resources.hot.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    await api.resources.hot.expire_connections()
    for answer in (await api.refresh(tokens.refresh), await api.log_in_as(account.login, account.password)):
        assert error_of(answer) == UNAVAILABLE
        assert int(answer.headers["retry-after"]) >= 1
    # What was opened while it was so would stay read-only for ever, were it not replaced.
    connection = await api.resources.primary.connect(server_settings={"default_transaction_read_only": "off"})
    await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await connection.close()
    assert (await api.refresh(tokens.refresh)).status_code == 200
    assert (await api.log_in(account)).access


async def test_rel_3_wrong_guesses_are_not_free_while_postgres_is_down(fresh: Fresh) -> None:
    """No try that cannot be counted is evaluated."""
    settings = await fresh.settings(database_timeout_seconds=0.5)
    async with gated(settings) as (gate, behind):
        api = await fresh.on(behind)
        account = await api.create_user()
        await gate.shut()
        for password in ("wrong password", account.password):
            answer = await api.http.post(f"{V1}/auth/login", json={"login": account.login, "password": password})
            assert error_of(answer) == UNAVAILABLE


async def test_rel_3_connections_cut_by_the_server_are_replaced(fresh: Fresh) -> None:
    api = await fresh.api()
    account, tokens = await api.as_role()
    await api.resources.hot.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    assert (await api.me(tokens)).status_code == 200
    async with asyncio.timeout(PATIENCE):
        while (answer := await api.refresh(tokens.refresh)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert answer.status_code == 200
    assert (await api.log_in(account)).access


async def test_rel_9_aborted_requests_leak_nothing(fresh: Fresh) -> None:
    """300 calls given up at random moments: every connection is free again, no transaction is left open."""
    settings = await fresh.settings(hash_queue=1000)
    api = await fresh.on(settings)
    account, tokens = await api.as_role()
    wrong = {"login": account.login, "password": "wrong"}
    chance = random.Random(9)
    started = 0
    for _ in range(10):
        tasks = []
        for number in range(30):
            call = (
                api.me(tokens),
                api.refresh(tokens.refresh),
                api.http.post(f"{V1}/auth/login", json=wrong | {"login": f"nobody{started}"}),
            )
            tasks.append(asyncio.create_task(call[number % 3]))
            for unused in call:
                if unused is not call[number % 3]:
                    unused.close()
            started += 1
        await asyncio.sleep(chance.random() / 20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    engine_pool, hot = cast(QueuePool, api.resources.engine.pool), api.resources.hot
    async with asyncio.timeout(PATIENCE):
        while engine_pool.checkedout() or hot.get_idle_size() < hot.get_size():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert api.resources.hasher.inside == 0
    open_transactions = await api.resources.hot.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second'"
    )
    assert open_transactions == 0
    answers = await asyncio.gather(*(api.me(tokens) for _ in range(50)))
    assert {answer.json()["id"] for answer in answers} == {str(account.id)}
    assert (await api.log_in(account)).access
