"""A client's promise in short: three clients, whose way is cut and frozen while rights change. The long trials are in
tests/operations/test_local_client.py.
"""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from auth_service_client import AuthClient

from tests.conftest import Fresh, running_app
from tests.support.local_clients.cast import Cast, Seen, ask, cast, change
from tests.support.local_clients.client import BOUND, boot_seconds
from tests.support.local_clients.ways import Way

CLIENTS, SECONDS = 3, 3.0
PAUSE = 0.003


async def keep_asking(client: AuthClient, people: Cast, seen: Seen, until: float) -> None:
    async with asyncio.TaskGroup() as group:
        while boot_seconds() < until:
            group.create_task(ask(client, people, seen, BOUND))
            await asyncio.sleep(PAUSE)


async def disturb(way: Way, until: float) -> None:
    while boot_seconds() < until:
        await asyncio.sleep(random.uniform(0.1, 0.5))
        if random.random() < 0.5:
            await way.shut()
        else:
            way.freeze()
        await asyncio.sleep(random.uniform(0, 0.8))
        await way.open()


@pytest.mark.long
async def test_no_answer_is_older_than_the_bound(fresh: Fresh) -> None:
    settings, seen = await fresh.settings(), Seen()
    async with running_app(settings) as api:
        people = await cast(api, users=6)
    service = await fresh.service(settings)
    async with AsyncExitStack() as stack:
        clients, ways = [], []
        for _ in range(CLIENTS):
            ways.append(way := Way([service]))
            await way.open()
            stack.push_async_callback(way.shut)
            client = AuthClient(way.url, **people.account, issuer=settings.issuer, local=True)
            clients.append(await stack.enter_async_context(client))
        await asyncio.gather(*(client.ready(30) for client in clients))
        changing = asyncio.create_task(change(service.base_url, people, seen, pause=0.02))
        until = boot_seconds() + SECONDS
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(keep_asking(client, people, seen, until))
            group.create_task(disturb(ways[0], until))
            group.create_task(disturb(ways[1], until))
        assert not changing.done()
        changing.cancel()
    print(seen)
    assert seen.wrong == []
    assert {error.partition("(")[0] for error in seen.errors} <= {"Unavailable"}
    assert seen.answers > 100
    assert seen.changes > 3
