"""Redis dies under load, behind Sentinels and in a cluster: nothing that was ended comes back, nobody is logged out."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from auth_service.core.tokens.denylist import redis_key
from tests.conftest import ROOT, Fresh
from tests.operations.ledger import Ended, Ledger, under_load
from tests.support.api import Account
from tests.support.redis_topologies import PASSWORD, Node, cluster, sentinel_set

VIEWERS = 6
BEFORE, AFTER = 4.0, 12.0  # seconds of load
HEALED_WITHIN = 10.0
SUITE = (
    *("auth/test_login", "auth/test_logout", "auth/test_logout_race", "sessions/test_rotation"),
    *("sessions/test_rotation_race", "sessions/test_sessions", "sessions/test_stolen_session", "tokens/test_denylist"),
    *("tokens/test_access_tokens", "permissions/test_check", "permissions/test_step_up"),
    *("service_accounts/test_services", "system/test_whole_life", "stores/test_redis_topologies"),
)


def say(text: str) -> None:
    print(f"    {text}", flush=True)


async def wait_until(is_so: Callable[[], bool], what: str) -> float:
    """The moment it was so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if await asyncio.to_thread(is_so):
            return time.monotonic()
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within 60 s: {what}")


def missing_in(node: Node, ended: list[Ended]) -> int:
    """Of the acknowledged ends, how many this Redis knows nothing of."""
    keys = [redis_key(f"auth:{{{item.account.id}}}:sid:{item.tokens.session_id}") for item in ended]
    return sum(not node.ask("EXISTS", key) for key in keys)


def report(ledger: Ledger, killed: float, promoted: float) -> None:
    say(f"answers: {dict(sorted(ledger.answers.items()))}")
    say(f"promoted {promoted - killed:.1f} s after the kill; last 503 {ledger.healed_after(promoted):.1f} s after that")
    say(f"{len(ledger.ended)} acknowledged logouts; the latest acceptance after one: {ledger.latest_acceptance:.2f} s")
    assert ledger.broken == []
    assert ledger.healed_after(promoted) <= HEALED_WITHIN
    assert len(ledger.ended) > 5


def client(base_url: str) -> httpx.AsyncClient:
    """A new connection for each call, so that both workers are asked."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=base_url, limits=limits, timeout=60, trust_env=False)


async def start(fresh: Fresh, url: str) -> tuple[str, list[Account]]:
    """(base URL, accounts) of the shipped command with two workers."""
    settings = await fresh.settings(redis_url=url, redis_timeout_ms=500, database_timeout_seconds=5, session_limit=1000)
    helper = await fresh.on(settings)
    accounts = [await helper.create_user() for _ in range(VIEWERS)]
    service = await fresh.service(settings, workers=2)
    return service.base_url, accounts


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_the_suite_passes(kind: str) -> None:
    """The tests of logins, refreshes and logouts as they are, on a Redis of this kind."""
    files = [f"tests/{name}.py" for name in SUITE]
    say(f"pytest with TEST_REDIS={kind}: some minutes")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env={**os.environ, "TEST_REDIS": kind},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    say(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-8000:]


async def test_rel_2_sentinel_failover_under_load(fresh: Fresh, tmp_path: Path) -> None:
    """F6: replication is cut a second before the master dies, so what was ended in that second is lost by Redis."""
    with sentinel_set(tmp_path) as redis:
        base, accounts = await start(fresh, redis.url)
        async with client(base) as http, under_load(http, accounts) as ledger:
            await asyncio.sleep(BEFORE)
            master = redis.master()
            replica = next(node for node in redis.nodes if node is not master)
            before_the_cut = len(ledger.ended)
            await asyncio.to_thread(_cut_replication, master, replica)
            await asyncio.sleep(1)
            at_risk = ledger.ended[before_the_cut:]
            say(f"kill -9 of the master; {len(at_risk)} logouts were acknowledged since replication was cut")
            master.kill()
            killed = time.monotonic()
            promoted = await wait_until(lambda: redis.master() is replica, "a promotion")
            lost = await asyncio.to_thread(missing_in, replica, at_risk)
            say(f"the promoted replica knows nothing of {lost} of them")
            replica.ask("CONFIG", "SET", "masterauth", PASSWORD)
            await asyncio.sleep(AFTER / 2)
            say("the old master comes back, and is made a replica")
            master.start()
            await asyncio.sleep(AFTER)
        report(ledger, killed, promoted)
        assert await asyncio.to_thread(missing_in, replica, ledger.ended) == 0, "published again"


async def test_rel_2_cluster_failover_under_load(fresh: Fresh, tmp_path: Path) -> None:
    with cluster(tmp_path, replicas=True) as redis:
        base, accounts = await start(fresh, redis.url)
        async with client(base) as http, under_load(http, accounts) as ledger:
            await asyncio.sleep(BEFORE)
            say("kill -9 of one of three masters")
            redis.nodes[0].kill()
            killed = time.monotonic()
            promoted = await wait_until(lambda: _is_master(redis.nodes[3]), "a promotion")
            await asyncio.sleep(AFTER)
        report(ledger, killed, promoted)


async def test_rel_2_one_master_of_a_cluster_forgets_everything_under_load(fresh: Fresh, tmp_path: Path) -> None:
    """F5: FLUSHALL on one, then another that comes back empty, without a replica that could have taken its place."""
    with cluster(tmp_path) as redis:
        base, accounts = await start(fresh, redis.url)
        async with client(base) as http, under_load(http, accounts) as ledger:
            await asyncio.sleep(BEFORE)
            say("FLUSHALL on one of three masters")
            redis.nodes[1].ask("FLUSHALL")
            await asyncio.sleep(BEFORE)
            say("another is killed, and comes back empty after two seconds")
            killed = time.monotonic()
            redis.nodes[2].kill()
            for file in redis.nodes[2].folder.glob("appendonly*"):
                file.unlink()
            await asyncio.sleep(2)
            await asyncio.to_thread(redis.nodes[2].start)
            back = time.monotonic()
            await asyncio.sleep(AFTER)
        report(ledger, killed, back)
        say(f"keys of each master: {[node.ask('DBSIZE') for node in redis.nodes]}")
        assert all(node.ask("DBSIZE") for node in redis.nodes)


def _cut_replication(master: Node, replica: Node) -> None:
    replica.ask("CONFIG", "SET", "masterauth", "wrong")
    master.ask("CLIENT", "KILL", "TYPE", "REPLICA")


def _is_master(node: Node) -> bool:
    return bool(node.ask("ROLE")[0] == "master")
