"""Redis with Sentinels and as a cluster: a session's whole life on each, and what only they can do to it."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ClusterCrossSlotError, RedisClusterException, RedisError

from auth_service.core.errors import is_store_failure
from auth_service.core.stores.redis_client import Script
from auth_service.core.tokens.denylist import (
    BUCKETS,
    LEARN_SECONDS,
    Denylist,
    bucket_of_record,
    generation_key,
    redis_key,
)
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import EmbeddedServer
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, tokens_of, unique
from tests.support.redis_topologies import SERVICE, Node, Topology

REFUSED = (401, "not_authenticated")
INVALID = (401, "invalid_refresh_token")
UNAVAILABLE = (503, "temporarily_unavailable")
PATIENCE = 30


@pytest.fixture(params=["cluster", "sentinel"])
def several(request: pytest.FixtureRequest) -> Topology:
    name = {"cluster": "redis_cluster", "sentinel": "redis_sentinels"}[request.param]
    topology: Topology = request.getfixturevalue(name)
    return topology


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = start_redis(tmp_path / "redis", durable=False)
    yield server
    if server.is_running():
        os.kill(server.pid, signal.SIGCONT)
    server.stop()


async def log_out(api: Api, tokens: Tokens) -> None:
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204


async def until_well(api: Api, tokens: Tokens) -> None:
    async with asyncio.timeout(PATIENCE):
        while (answer := await api.me(tokens)).status_code == 503:  # noqa: ASYNC110  the answer is what we wait for
            await asyncio.sleep(0.05)
    assert answer.status_code == 200, answer.text


def denial_of(account: Account, tokens: Tokens) -> str:
    return f"auth:{{{account.id}}}:sid:{tokens.session_id}"


async def test_rel_2_a_session_lives_and_ends_on_each_topology(fresh: Fresh, several: Topology) -> None:
    settings = await fresh.settings(redis_url=several.url)
    api, other = await fresh.on(settings), await fresh.on(settings)
    login = unique("viewer")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 201
    first = tokens_of(await api.log_in_as(login, PASSWORD))
    assert (await api.check(first, "films:watch"))["reason"] in {"granted", "no_grant", "unknown_permission"}

    second = tokens_of(await other.refresh(first.refresh))
    racers = await asyncio.gather(*((api, other)[number % 2].refresh(second.refresh) for number in range(20)))
    third = {tokens_of(answer).refresh for answer in racers}
    assert len(third) == 1
    fourth = tokens_of(await api.refresh(third.pop()))
    assert error_of(await other.refresh(first.refresh)) == INVALID, "reuse"
    for replica in (api, other):
        assert error_of(await replica.me(fourth)) == REFUSED

    one, two, three = [tokens_of(await api.log_in_as(login, PASSWORD)) for _ in range(3)]
    await log_out(api, one)
    assert error_of(await other.me(one)) == REFUSED
    assert (await other.me(two)).status_code == 200
    assert (await other.http.post(f"{V1}/auth/logout-all", headers=two.bearer)).status_code == 204
    for tokens in (two, three):
        assert error_of(await api.me(tokens)) == REFUSED
        assert error_of(await api.refresh(tokens.refresh)) == INVALID
    assert (await api.me(tokens_of(await other.log_in_as(login, PASSWORD)))).status_code == 200
    await api.resources.denylist.catch_up()
    assert (await api.http.get("/health/ready")).json()["redis"] == "ok"


async def test_rel_2_every_key_has_a_hash_tag_and_no_command_crosses_slots(
    fresh: Fresh, redis_cluster: Topology
) -> None:
    """The cluster itself is the judge, in all tests here; first it is shown that no such command passes."""
    api = await fresh.api(redis_url=redis_cluster.url)
    with pytest.raises((RedisClusterException, ClusterCrossSlotError), match="slot"):
        await api.resources.redis.mget([generation_key(0), generation_key(1)])
    for _ in range(10):  # users of many buckets, whose denials are published in one call
        account, tokens = await api.as_role()
        assert (await api.me(tokens)).status_code == 200  # the first one finds a Redis that knows nothing, and fills it
        await api.refresh(tokens.refresh)
        await log_out(api, tokens)
        await log_out(api, await api.log_in(account))
    await api.resources.denylist.catch_up()
    keys = [key async for key in api.resources.redis.scan_iter(count=1000)]
    assert len(keys) > BUCKETS
    assert {key for key in keys if not re.match(r"auth:\{(b\d+|[0-9a-f-]{36}|once\w+)\}:", key)} == set()
    with_slots = {node.port: node.ask("DBSIZE") for node in redis_cluster.nodes}
    assert all(with_slots.values()), f"each master has its part: {with_slots}"


@pytest.mark.parametrize("number", range(3))
async def test_rel_2_one_master_that_forgot_everything_is_filled_again(
    fresh: Fresh, redis_cluster: Topology, number: int
) -> None:
    api = await fresh.api(redis_url=redis_cluster.url)
    ended = []
    for _ in range(12):
        account, tokens = await api.as_role()
        await log_out(api, tokens)
        ended.append((account, tokens))
    account, live = await api.as_role()
    redis_cluster.nodes[number].ask("FLUSHALL")
    answers = await asyncio.gather(*(api.me(tokens) for _, tokens in ended))
    assert {error_of(answer) for answer in answers} == {REFUSED}
    assert (await api.me(live)).status_code == 200
    assert (await api.refresh(live.refresh)).status_code == 200
    # Not only what this worker knows by itself: Redis is whole again, for all workers.
    for account, tokens in ended:
        key = denial_of(account, tokens)
        assert await api.resources.redis.get(redis_key(key)) == "1", bucket_of_record(key)


async def test_rel_2_denial_that_a_failover_lost_is_known_from_postgres(fresh: Fresh) -> None:
    """F6: a promoted replica that never heard of it, its marker in place, so that nothing looks lost."""
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    account, ended = await one.as_role()
    session = await one.log_in(account)
    _, by_epoch = await one.as_role()
    await log_out(one, ended)
    await one.http.post(f"{V1}/auth/logout-all", headers=by_epoch.bearer)
    for replica in (one, two):
        await replica.resources.denylist.learn()  # as every LEARN_SECONDS
    async for key in one.resources.redis.scan_iter(count=1000):
        if not key.endswith(":generation"):
            await one.resources.redis.delete(key)
    restarted = await fresh.on(settings)
    for replica in (one, two, restarted):
        assert error_of(await replica.me(ended)) == REFUSED
        assert error_of(await replica.me(by_epoch)) == REFUSED
        assert (await replica.me(session)).status_code == 200
    assert LEARN_SECONDS <= 0.5, "I2: one second with the query and a busy loop"


async def test_rel_2_denials_of_others_are_learned_while_the_service_runs(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job itself: committed by a worker that died before it could tell Redis, and nobody publishes it."""

    async def nothing(_denylist: Denylist) -> None:
        return None

    monkeypatch.setattr(Denylist, "catch_up", nothing)
    api = await fresh.api()
    account, tokens = await api.as_role()
    denylist = api.resources.denylist
    assert (await api.me(tokens)).status_code == 200
    async with api.resources.db.begin() as session:
        await denylist.record(session, [denylist.older_epochs(account.id, 1)])
    async with asyncio.timeout(PATIENCE):
        while (answer := await api.me(tokens)).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert error_of(answer) == REFUSED


async def test_ref_7_a_script_runs_once_whatever_happens_to_its_master(fresh: Fresh, several: Topology) -> None:
    """On each topology: frozen in the middle of a call that is given up, and then going on."""
    api = await fresh.api(redis_url=several.url, redis_timeout_ms=200)
    redis = api.resources.redis
    script = Script("return redis.call('INCR', KEYS[1])")
    key = f"auth:{{{unique('once')}}}:counter"
    async with asyncio.timeout(PATIENCE):
        while True:  # with so short a timeout a busy machine may need a second try, on a key that it does not count in
            try:
                await script(redis, [f"{key}-warm"], [])
                break
            except RedisError:
                await asyncio.sleep(0.05)
    frozen: list[Node] = [several.master()] if several.sentinels else several.nodes
    for node in (*frozen, *several.sentinels):  # the Sentinels too: nobody is promoted here
        node.freeze()
    try:
        with pytest.raises(Exception) as failure:  # noqa: PT011  what it is, is asked on the next line
            await script(redis, [key], [])
        assert is_store_failure(failure.value)
    finally:
        for node in (*frozen, *several.sentinels):
            node.thaw()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                counted = await redis.get(key)
                break
            except (RedisError, RedisClusterException):
                await asyncio.sleep(0.05)
    assert counted in {None, "1"}


async def test_rel_2_planned_failover_heals_without_a_restart(fresh: Fresh, redis_sentinels: Topology) -> None:
    api = await fresh.api(redis_url=redis_sentinels.url, redis_timeout_ms=1000)
    account, live = await api.as_role()
    ended = await api.log_in(account)
    await log_out(api, ended)
    before = redis_sentinels.master()
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(_fail_over, redis_sentinels):  # noqa: ASYNC110  one at a time, says Sentinel
            await asyncio.sleep(0.2)
        while redis_sentinels.master() is before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await until_well(api, live)
    assert error_of(await api.me(ended)) == REFUSED
    async with asyncio.timeout(PATIENCE):
        while (answer := await api.refresh(live.refresh)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert answer.status_code == 200
    assert (await api.log_in(account)).access


def _fail_over(topology: Topology) -> bool:
    try:
        return bool(topology.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE))
    except RedisError:
        return False


async def test_rel_2_master_made_a_replica_is_503_and_heals(fresh: Fresh, own_redis: EmbeddedServer) -> None:
    """READONLY, in the words of a script too: the connections are given up, so that the next one finds the master."""
    api = await fresh.api(redis_url=own_redis.url)
    account, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    redis = api.resources.redis
    await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    kept = await redis.client_id()
    body = {"login": account.login, "password": account.password}
    assert error_of(await api.http.post(f"{V1}/auth/login", json=body)) == UNAVAILABLE
    assert error_of(await api.refresh(tokens.refresh)) == UNAVAILABLE
    assert await redis.client_id() != kept
    await redis.execute_command("REPLICAOF", "NO", "ONE")
    assert (await api.refresh(tokens.refresh)).status_code == 200
    assert (await api.log_in(account)).access


async def test_the_memory_of_the_fullest_master_is_a_metric(fresh: Fresh, several: Topology) -> None:
    api = await fresh.on(await fresh.settings(redis_url=several.url))
    shown = (await api.http.get("/metrics")).text
    assert re.search(r"^auth_redis_up 1\.0$", shown, re.M)
    used = re.search(r"^auth_redis_memory_bytes ([\d.e+]+)$", shown, re.M)
    assert used is not None
    assert float(used[1]) > 100_000
