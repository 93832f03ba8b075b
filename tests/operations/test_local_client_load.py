"""A client at a thousand checks a second while three replicas restart one by one behind nginx: each answer is right."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from auth_service_client import AuthClient

from auth_service.config import Settings
from tests.conftest import Fresh, running_app
from tests.operations.replicas import FAIL_SECONDS, Nginx, Replica, needs_nginx, say
from tests.support.local_clients.cast import Seen, ask, cast, change
from tests.support.local_clients.client import BOUND, boot_seconds

PER_SECOND = int(os.environ.get("CHECKS_PER_SECOND", "1000"))
SECONDS = float(os.environ.get("LOAD_SECONDS", "60"))
TICK = 0.01
MOST_AT_ONCE = 100  # as a service has so many requests in hand; who would be one more does not come


@asynccontextmanager
async def replicas_behind_nginx(settings: Settings, folder: Path) -> AsyncIterator[tuple[Nginx, list[Replica]]]:
    replicas = [Replica(f"replica-{number}", settings, folder) for number in range(3)]
    nginx = Nginx(folder, replicas)
    async with AsyncExitStack() as stack:
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        await asyncio.gather(*(replica.start() for replica in replicas))
        await stack.enter_async_context(nginx.running())
        yield nginx, replicas


async def restart_in_turn(replicas: list[Replica]) -> None:
    while True:
        for replica in replicas:
            assert await replica.stop() == 0
            await replica.start()
            say(f"{replica.name} is back")
            await asyncio.sleep(2 * FAIL_SECONDS)


@needs_nginx
@pytest.mark.parametrize("local", [False, True], ids=["asks", "local"])
async def test_a_rolling_restart_gives_a_client_no_wrong_answer_and_no_error(
    local: bool, fresh: Fresh, tmp_path: Path
) -> None:
    settings = await fresh.settings(drain_seconds=5, allowed_hosts=("localhost", "127.0.0.1"))
    async with running_app(settings) as api:
        people, seen = await cast(api), Seen()
    bound = BOUND if local else 0.0
    async with replicas_behind_nginx(settings, tmp_path) as (nginx, replicas):
        async with AuthClient(nginx.url, **people.account, issuer=settings.issuer, local=local) as client:
            if local:
                await client.ready(30)
            beside = [
                asyncio.create_task(restart_in_turn(replicas)),
                asyncio.create_task(change(nginx.url, people, seen)),
            ]
            begun = boot_seconds()
            asking: set[asyncio.Task[None]] = set()
            sent, most = 0, 0
            while (passed := boot_seconds() - begun) < SECONDS:
                due = int(passed * PER_SECOND) - sent
                sent += due
                for _ in range(min(due, MOST_AT_ONCE - len(asking))):
                    task = asyncio.create_task(ask(client, people, seen, bound))
                    asking.add(task)
                    task.add_done_callback(asking.discard)
                most = max(most, len(asking))
                for task in beside:
                    assert not task.done(), task.exception()
                await asyncio.sleep(TICK)
            await asyncio.gather(*asking)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        say(f"local={local}: {seen}; {len(seen.seconds) / SECONDS:.0f} a second, at most {most} at once")
        assert seen.wrong == []
        assert seen.errors == {}, nginx.errors()
        assert seen.changes > SECONDS / 4
