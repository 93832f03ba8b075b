"""Real stores and two replicas of two workers on them, for trials and for what is done to them meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from auth_service.config import Settings
from auth_service.core.connections import open_resources
from tests.conftest import test_settings
from tests.support.coherence.changes import LIMIT
from tests.support.coherence.fleet import WORKERS, Fleet
from tests.support.coherence.people import People
from tests.support.command import Command
from tests.support.postgres_pair import Pair, Server, made_server, running_pair
from tests.support.redis_topologies import Node, single
from tests.support.service_process import ServiceProcess, running_service
from tests.support.tcp_gate import Gate, gate_to

REPLICAS = 2


@dataclass
class Rig:
    """`gate` stands between the replicas and Postgres where one was asked for; `pair` likewise."""

    settings: Settings
    postgres: Server
    redis: Node
    services: list[ServiceProcess]
    people: People
    fleet: Fleet
    gate: Gate | None = None
    pair: Pair | None = None

    def log(self) -> str:
        return "".join(service.log() for service in self.services)


@asynccontextmanager
async def rig(folder: Path, *, gated: bool = False, paired: bool = False, **options: object) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(single(folder / "redis"))
        pair = None
        if paired:
            pair = stack.enter_context(running_pair(folder))
            await pair.be_synchronous()
            postgres, url = pair.primary, pair.url
        else:
            postgres = await asyncio.to_thread(made_server, folder / "postgres")
            stack.callback(postgres.stop)
            await asyncio.to_thread(postgres.start)
            url = postgres.url
        await _without_waiting_for_the_disk(postgres)
        settings = test_settings(
            database_url=url,
            redis_url=redis.url,
            database_timeout_seconds=5,
            redis_timeout_ms=1000,
            database_pool_size=5,
            session_limit=LIMIT,
            log_level="WARNING",
            **options,
        )
        await Command(settings).does("migrate")
        gate = await stack.enter_async_context(gate_to(url)) if gated else None
        seen = settings if gate is None else settings.model_copy(update={"database_url": SecretStr(gate.url)})
        services = [await stack.enter_async_context(running_service(seen, WORKERS, {})) for _ in range(REPLICAS)]
        people = People(await stack.enter_async_context(open_resources(settings)))
        await people.open()
        fleet = await stack.enter_async_context(Fleet(services).connected())
        yield Rig(settings, postgres, redis.nodes[0], services, people, fleet, gate, pair)


async def _without_waiting_for_the_disk(postgres: Server) -> None:
    """Processes are killed here, not machines: what was written to a file is there."""
    await postgres.ask("ALTER SYSTEM SET fsync = off")
    await postgres.ask("SELECT pg_reload_conf()")
