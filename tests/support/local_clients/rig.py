"""Three clients in processes of their own, each with its own way to two replicas of two workers."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.support.coherence.rig import Rig, rig
from tests.support.coherence.wire import request
from tests.support.local_clients.client import LocalClient, running_client
from tests.support.local_clients.ways import Way

CLIENTS = 3
SCOPES = ["permissions:check", "changes:read"]


@dataclass
class LocalRig:
    """`ways` in the order of `clients`."""

    inner: Rig
    clients: list[LocalClient]
    ways: list[Way]


async def client_settings(made: Rig, url: str) -> dict[str, object]:
    """Of a new service account, which lasts."""
    body = {"name": f"local-{secrets.token_hex(4)}", "scopes": SCOPES}
    answer = await made.fleet.workers[0].ask(request("POST", "/services", made.people.admin, body))
    assert answer.status == 201, answer.body
    account = orjson.loads(answer.body)
    settings = made.settings
    return {
        "url": url,
        "client_id": account["client_id"],
        "client_secret": account["client_secret"],
        "issuer": settings.issuer,
        "audience": settings.audience,
    }


@asynccontextmanager
async def local_rig(folder: Path, **stores: bool) -> AsyncIterator[LocalRig]:
    async with rig(folder, **stores) as made, AsyncExitStack() as stack:
        clients, ways = [], []
        for number in range(CLIENTS):
            way = Way(made.services)
            await way.open()
            stack.push_async_callback(way.shut)
            settings = await client_settings(made, way.url)
            clients.append(await stack.enter_async_context(running_client(f"client-{number}", **settings)))
            ways.append(way)
        yield LocalRig(made, clients, ways)
