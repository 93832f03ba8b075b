"""Floods and failures at the pools of connections: a full one is `busy`, a sick store `temporarily_unavailable`, and
neither is told for the other.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth_service.core.stores.redis_client import slots_of
from auth_service.embedded.postgres import PASSWORD_FILE, start_postgres
from tests.conftest import ROOT, Fresh, Servers
from tests.support.api import V1, Api, Tokens, error_of
from tests.support.postgres_pair import Server
from tests.support.redis_topologies import _DATA, PASSWORD, Node, Topology, _ports
from tests.support.service_process import free_port
from tests.support.tcp_gate import gate_to, gated

UNAVAILABLE, BUSY = (503, "temporarily_unavailable"), (503, "busy")
CHECK = f"{V1}/permissions/check"
PATIENCE = 60
# The deadlines as shipped: they are what is tried. Only the line is as patient as a slow machine.
# Each check asks the stores: what was kept in memory would not wait for them.
AS_SHIPPED = {"redis_timeout_ms": 150, "database_timeout_seconds": 2, "pool_wait_seconds": 60, "check_cache_bytes": 0}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "redis", _ports(1)[0], list(_DATA))
    node.start()
    yield node
    node.kill()


def url_of(node: Node) -> str:
    return f"redis://:{PASSWORD}@127.0.0.1:{node.port}/0"


@pytest.fixture(params=["single", "sentinel", "cluster"])
def topology(request: pytest.FixtureRequest) -> Topology:
    if request.param == "single":
        node: Node = request.getfixturevalue("own_redis")
        return Topology(url_of(node), [node])
    found: Topology = request.getfixturevalue(
        {"sentinel": "redis_sentinels", "cluster": "redis_cluster"}[request.param]
    )
    return found


@asynccontextmanager
async def frozen(topology: Topology) -> AsyncIterator[None]:
    """The Sentinels too: nobody is promoted here."""
    nodes = [*topology.nodes, *topology.sentinels]
    for node in nodes:
        node.freeze()
    try:
        yield
    finally:
        for node in nodes:
            node.thaw()


async def flood(api: Api, tokens: Tokens, count: int) -> Counter[tuple[int, str]]:
    body = {"permission": "films:watch"}
    answers = await asyncio.gather(*(api.http.post(CHECK, json=body, headers=tokens.bearer) for _ in range(count)))
    return Counter((200, "") if answer.status_code == 200 else error_of(answer) for answer in answers)


async def until_well(api: Api, tokens: Tokens) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await flood(api, tokens, 1)).keys() != {(200, "")}:  # noqa: ASYNC110  the answer is what we wait for
            await asyncio.sleep(0.05)


@pytest.mark.long
async def test_rel_2_a_flood_on_a_worker_just_ready_is_answered(fresh: Fresh) -> None:
    """And nobody of it connects: the pools are connected when readiness says so."""
    settings = await fresh.settings(**AS_SHIPPED)
    async with gate_to(settings.redis_url.get_secret_value()) as redis, gate_to(settings.asyncpg_dsn) as postgres:
        behind = {"redis_url": SecretStr(redis.url), "database_url": SecretStr(postgres.url)}
        api = await fresh.on(settings.model_copy(update=behind))
        assert (await api.http.get("/health/ready")).status_code == 200
        assert redis.accepted == settings.redis_pool_size
        _, tokens = await api.as_role()  # opens one for its transaction
        before = redis.accepted, postgres.accepted
        assert await flood(api, tokens, 500) == {(200, ""): 500}
        assert (redis.accepted, postgres.accepted) == before


async def test_rel_2_a_flood_is_answered_on_each_topology(fresh: Fresh, topology: Topology) -> None:
    api = await fresh.api(redis_url=topology.url, **AS_SHIPPED)
    _, tokens = await api.as_role()
    assert await flood(api, tokens, 200) == {(200, ""): 200}


async def test_rel_2_beyond_the_line_it_is_busy(fresh: Fresh, topology: Topology) -> None:
    api = await fresh.api(redis_url=topology.url, **AS_SHIPPED, redis_pool_size=2, pool_queue=10)
    _, tokens = await api.as_role()
    await until_well(api, tokens)
    got = await flood(api, tokens, 200)
    assert got.keys() == {(200, ""), BUSY}
    assert got[200, ""] >= 10, "those in line; the turns may be with jobs at that moment"
    shown = (await api.http.get("/metrics")).text
    assert f'auth_busy_total{{pool="redis"}} {float(got[BUSY])}' in shown
    assert 'auth_pool_limit{pool="redis"} 2.0' in shown
    assert await flood(api, tokens, 12) == {(200, ""): 12}


@pytest.mark.long
async def test_rel_2_behind_a_frozen_redis_nobody_is_busy(fresh: Fresh, topology: Topology) -> None:
    """More than have a turn, so that most of them wait: they too are told that it cannot be asked."""
    api = await fresh.api(redis_url=topology.url, **AS_SHIPPED, redis_pool_size=2, pool_queue=30)
    _, tokens = await api.as_role()
    await until_well(api, tokens)
    async with frozen(topology):
        assert await flood(api, tokens, 30) == {UNAVAILABLE: 30}
        assert await flood(api, tokens, 100) == {UNAVAILABLE: 100}, "also where there is no room"
    await until_well(api, tokens)
    assert await flood(api, tokens, 30) == {(200, ""): 30}
    async with asyncio.timeout(PATIENCE):  # no turn is lost; a job may just have one
        while slots_of(api.resources.redis).free < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.long
async def test_rel_3_postgres_that_is_waited_for_is_busy_and_readiness_goes_first(fresh: Fresh) -> None:
    api = await fresh.api(database_pool_size=1, pool_queue=5, pool_wait_seconds=60, check_cache_bytes=0)
    _, tokens = await api.as_role()
    assert await flood(api, tokens, 5) == {(200, ""): 5}
    async with api.resources.hot.acquire():
        waiting = asyncio.create_task(flood(api, tokens, 30))
        async with asyncio.timeout(PATIENCE):
            while api.resources.hot.slots.waiting < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        ready = asyncio.create_task(api.http.get("/health/ready"))
        await asyncio.sleep(0.05)
        assert not ready.done()
    assert (await ready).status_code == 200
    assert (await waiting).keys() == {(200, ""), BUSY}


async def test_rel_3_transactions_that_are_waited_for_are_busy(fresh: Fresh) -> None:
    api = await fresh.api(database_pool_size=2, pool_queue=3, pool_wait_seconds=60)
    _, tokens = await api.as_role("admin")
    rename = f"{V1}/users/me"
    answers = await asyncio.gather(
        *(api.http.patch(rename, json={"full_name": "Somebody"}, headers=tokens.bearer) for _ in range(60))
    )
    got = Counter((200, "") if answer.status_code == 200 else error_of(answer) for answer in answers)
    assert got.keys() == {(200, ""), BUSY}
    assert (await api.http.patch(rename, json={"full_name": "Else"}, headers=tokens.bearer)).status_code == 200


async def test_rel_3_behind_a_frozen_postgres_nobody_is_busy(fresh: Fresh) -> None:
    settings = await fresh.settings(
        database_pool_size=2, pool_queue=100, database_timeout_seconds=0.5, check_cache_bytes=0
    )
    async with gated(settings) as (gate, behind):
        api = await fresh.on(behind)
        _, tokens = await api.as_role()
        assert await flood(api, tokens, 10) == {(200, ""): 10}
        gate.freeze()
        rename = f"{V1}/users/me"
        renaming = [api.http.patch(rename, json={"full_name": "Somebody"}, headers=tokens.bearer) for _ in range(20)]
        checks, *renamed = await asyncio.gather(flood(api, tokens, 40), *renaming)
        assert checks == {UNAVAILABLE: 40}
        assert {error_of(answer) for answer in renamed} == {UNAVAILABLE}
        await gate.open()
        await until_well(api, tokens)
        assert await flood(api, tokens, 40) == {(200, ""): 40}


@pytest.mark.parametrize("trouble", ["killed", "emptied", "flushed"])
async def test_rel_2_a_redis_that_came_back_is_well_for_everyone(fresh: Fresh, own_redis: Node, trouble: str) -> None:
    """All connections have been in use; none of them costs anybody a 503 once one request got its answer."""
    api = await fresh.api(redis_url=url_of(own_redis), **AS_SHIPPED)
    account, tokens = await api.as_role()
    ended = await api.log_in(account)
    assert (await api.http.post(f"{V1}/auth/logout", headers=ended.bearer)).status_code == 204
    assert await flood(api, tokens, 100) == {(200, ""): 100}
    if trouble == "flushed":
        own_redis.ask("FLUSHALL")
    else:
        own_redis.kill()
        if trouble == "emptied":
            shutil.rmtree(own_redis.folder)
        assert await flood(api, tokens, 50) == {UNAVAILABLE: 50}
        own_redis.start()  # and answers
    await until_well(api, tokens)
    assert await flood(api, tokens, 100) == {(200, ""): 100}
    assert error_of(await api.me(ended)) == (401, "not_authenticated")


async def test_rel_2_idle_connections_that_redis_closed_cost_nobody_anything(fresh: Fresh, own_redis: Node) -> None:
    api = await fresh.api(redis_url=url_of(own_redis), **AS_SHIPPED)
    _, tokens = await api.as_role()
    for _ in range(3):
        assert await flood(api, tokens, 100) == {(200, ""): 100}
        assert own_redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") > 0
        await asyncio.sleep(0.05)  # that the end has arrived; no request has met it


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Server]:
    """Migrated; a test that kills it starts it again."""
    folder = tmp_path_factory.mktemp("own") / "postgres"
    made = start_postgres(folder, durable=False)
    made.stop()
    server = Server(folder, free_port(), (folder / PASSWORD_FILE).read_text().strip())
    server.start()
    environment = {**os.environ, "DATABASE_URL": server.url, "REDIS_URL": servers.redis_db(1)}
    subprocess.run([sys.executable, "-m", "auth_service", "migrate"], cwd=ROOT, env=environment, check=True)
    yield server
    server.stop()


@pytest.mark.long
@pytest.mark.parametrize("trouble", ["killed", "terminated"])
async def test_rel_3_a_postgres_that_came_back_is_well_for_everyone(
    fresh: Fresh, own_postgres: Server, trouble: str
) -> None:
    """Killed with all its children, or its backends ended: the checks' pool, and that of the transactions."""
    settings = await fresh.settings(**AS_SHIPPED, database_url=own_postgres.url)
    api = await fresh.on(settings)
    _, tokens = await api.as_role()

    async def rename_all() -> set[int]:
        body = {"full_name": "Somebody"}
        calls = (api.http.patch(f"{V1}/users/me", json=body, headers=tokens.bearer) for _ in range(30))
        return {answer.status_code for answer in await asyncio.gather(*calls)}

    assert await rename_all() == {200}
    assert await flood(api, tokens, 60) == {(200, ""): 60}
    if trouble == "killed":
        own_postgres.kill()
        assert await flood(api, tokens, 30) == {UNAVAILABLE: 30}
        own_postgres.start()
    else:
        await own_postgres.ask(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'auth-service'"
        )
    await until_well(api, tokens)
    assert await flood(api, tokens, 60) == {(200, ""): 60}
    assert await rename_all() == {200}
