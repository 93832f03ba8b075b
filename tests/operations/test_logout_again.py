"""Logouts while a store dies, hangs, forgets or is cut off, repeated until 204: no worker accepts the token after it.

LOGOUT_AGAIN_ROUNDS=50 tries harder.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from auth_service.config import Settings
from tests.conftest import ROOT, Fresh, running_app, test_settings
from tests.operations.replicas import say
from tests.support.api import PASSWORD, V1, Account, Tokens, tokens_of
from tests.support.postgres_pair import Server, made_server
from tests.support.redis_topologies import Node, single
from tests.support.service_process import environment_of
from tests.support.tcp_gate import Gate, gate_to

WORKERS = 2
ROUNDS = int(os.environ.get("LOGOUT_AGAIN_ROUNDS", "9"))  # of each fault
AT_ONCE = 3  # logouts in a round
POLLERS = 3  # for each token
# Each worker learns from Postgres twice a second, and then refuses whatever Redis says.
POLLED_SECONDS = 0.8
PATIENCE = 60

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """The first logouts are sent between `begin` and `end`."""

    name: str
    begin: Step
    end: Step


@dataclass
class Seen:
    """Statuses of the first logouts and of what was sent after a 204; how many tries came `again`, and were `done`."""

    first: Counter[int] = field(default_factory=Counter)
    after: Counter[int] = field(default_factory=Counter)
    again: int = 0
    done: int = 0


def in_thread(*steps: Callable[[], object]) -> Step:
    async def run() -> None:
        for step in steps:
            await asyncio.to_thread(step)

    return run


def faults(redis: Node, gate: Gate, postgres: Server, kept: Path) -> list[Fault]:
    def forget() -> None:
        for file in redis.folder.glob("appendonly*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()

    def keep() -> None:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(redis.folder, kept)

    def put_back() -> None:
        forget()
        shutil.copytree(kept, redis.folder, dirs_exist_ok=True)

    async def cut_off_and_emptied() -> None:
        await gate.shut()
        await asyncio.to_thread(redis.ask, "FLUSHALL")

    return [
        Fault("redis killed, its file kept", in_thread(redis.kill), in_thread(redis.start)),
        Fault("redis killed, back with an older file", in_thread(keep, redis.kill), in_thread(put_back, redis.start)),
        Fault("redis killed, back empty", in_thread(redis.kill), in_thread(forget, redis.start)),
        Fault("redis frozen", in_thread(redis.freeze), in_thread(redis.thaw)),
        Fault("redis emptied", cut_off_and_emptied, gate.open),
        Fault("network to redis cut", gate.shut, gate.open),
        Fault("postgres killed", in_thread(postgres.kill), in_thread(postgres.start)),
        Fault("postgres frozen", in_thread(postgres.freeze), in_thread(postgres.thaw)),
    ]


async def log_in(http: httpx.AsyncClient, account: Account) -> Tokens:
    """Also just after a fault."""
    body = {"login": account.login, "password": PASSWORD}
    async with asyncio.timeout(PATIENCE):
        while (answer := await http.post(f"{V1}/auth/login", json=body)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return tokens_of(answer)


async def log_out(http: httpx.AsyncClient, tokens: Tokens, by_refresh_token: bool) -> int:
    given = {"json": {"refresh_token": tokens.refresh}} if by_refresh_token else {"headers": tokens.bearer}
    return (await http.post(f"{V1}/auth/logout", **given)).status_code


async def log_out_until_it_is_done(
    http: httpx.AsyncClient, tokens: Tokens, by_refresh_token: bool, answered: asyncio.Event, seen: Seen
) -> None:
    """And then the token is shown to all workers, on a connection each time."""
    status = await log_out(http, tokens, by_refresh_token)
    answered.set()
    seen.first[status] += 1
    async with asyncio.timeout(PATIENCE):
        while status == 503:
            seen.again += 1
            status = await log_out(http, tokens, by_refresh_token)
    assert status == 204
    over = asyncio.get_running_loop().time() + POLLED_SECONDS

    async def poll() -> None:
        while asyncio.get_running_loop().time() < over:
            answer = await http.get(f"{V1}/users/me", headers=tokens.bearer)
            seen.after[answer.status_code] += 1
            await asyncio.sleep(0.01)

    await asyncio.gather(*(poll() for _ in range(POLLERS)))
    seen.done += 1


async def one_round(http: httpx.AsyncClient, accounts: list[Account], fault: Fault, seen: Seen) -> None:
    """The fault ends with the first answer: a moment later every worker would know from Postgres."""
    all_tokens = await asyncio.gather(*(log_in(http, account) for account in accounts))
    answered = asyncio.Event()
    await fault.begin()
    async with asyncio.TaskGroup() as tasks:
        for number, tokens in enumerate(all_tokens):
            tasks.create_task(log_out_until_it_is_done(http, tokens, number % 2 == 1, answered, seen))
        try:
            await asyncio.wait_for(answered.wait(), PATIENCE)
        finally:
            await fault.end()


@asynccontextmanager
async def stores(folder: Path) -> AsyncIterator[tuple[Settings, Node, Gate, Server]]:
    """Own ones, migrated."""
    postgres = made_server(folder / "postgres")
    with single(folder / "redis") as redis:
        postgres.start()
        try:
            async with gate_to(redis.url) as gate:
                settings = test_settings(
                    database_url=postgres.url,
                    redis_url=gate.url,
                    redis_timeout_ms=150,
                    database_timeout_seconds=2,
                    session_limit=1000,
                )
                migrate = [sys.executable, "-m", "auth_service", "migrate"]
                environment = {**os.environ, **environment_of(settings)}
                await asyncio.to_thread(subprocess.run, migrate, cwd=ROOT, env=environment, check=True)
                yield settings, redis.nodes[0], gate, postgres
        finally:
            postgres.stop()


async def test_out_1_logout_again_in_every_fault(fresh: Fresh, tmp_path: Path) -> None:
    total = Counter[str]()
    async with stores(tmp_path) as (settings, redis, gate, postgres):
        patient = {"database_timeout_seconds": 20, "redis_timeout_ms": 5000}
        async with running_app(settings.model_copy(update=patient)) as api:
            accounts = [await api.create_user() for _ in range(AT_ONCE)]
        service = await fresh.service(settings, workers=WORKERS)
        for fault in faults(redis, gate, postgres, tmp_path / "kept"):
            seen = Seen()
            for _ in range(ROUNDS):
                await one_round(service.http, accounts, fault, seen)
            say(
                f"{fault.name}: first {dict(seen.first)}, {seen.again} tries more, {seen.done} times 204, "
                f"after it {dict(seen.after)}"
            )
            total.update(logouts=seen.done, accepted=seen.after[200], unanswered=seen.first[503])
            assert set(seen.after) <= {200, 401, 503}
    say(f"{total['logouts']} logouts, {total['accepted']} acceptances after 204")
    assert total["logouts"] == 8 * ROUNDS * AT_ONCE
    assert total["unanswered"] > total["logouts"] / 2, "else nothing was done again"
    assert total["accepted"] == 0
