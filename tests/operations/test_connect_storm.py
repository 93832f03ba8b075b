"""Many clients that begin, or lose their worker, at once: the service gets no more at once than it can take."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import httpx2
from auth_service_client import AuthClient
from auth_service_client.loads import MOST_BATCHES
from auth_service_client.stream import PATH as STREAM

from auth_service.config import Settings
from auth_service.models import new_id
from tests.conftest import Fresh, running_app
from tests.operations.replicas import say
from tests.support.api import V1
from tests.support.local_clients.ways import Way
from tests.support.service_process import running_service

CLIENTS, SUBJECTS = 20, int(os.environ.get("STORM_SUBJECTS", "2000"))
STREAMS = int(os.environ.get("STORM_STREAMS", "200"))
SCOPES = ["permissions:check", "changes:read"]


class Counted(httpx2.AsyncHTTPTransport):
    """How many requests are under way, streams apart, and how many there were."""

    now = most = all = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == STREAM:
            return await super().handle_async_request(request)
        Counted.all += 1
        Counted.now += 1
        Counted.most = max(Counted.most, Counted.now)
        try:
            return await super().handle_async_request(request)
        finally:
            Counted.now -= 1


async def account(settings: Settings) -> dict[str, str]:
    async with running_app(settings) as api:
        _, root = await api.as_role("superuser")
        body = {"name": "storm", "scopes": SCOPES}
        made = (await api.http.post(f"{V1}/services", json=body, headers=root.bearer)).json()
        return {name: made[name] for name in ("client_id", "client_secret")}


@asynccontextmanager
async def clients(
    count: int, url: str, settings: Settings, credentials: dict[str, str]
) -> AsyncIterator[list[AuthClient]]:
    async with AsyncExitStack() as stack:
        made = [
            AuthClient(
                url,
                **credentials,
                issuer=settings.issuer,
                local=True,
                max_subjects=2 * SUBJECTS,
                timeout=60,
                http=Counted(verify=False),
            )
            for _ in range(count)
        ]
        for client in made:
            await stack.enter_async_context(client)
        await asyncio.gather(*(client.ready(60) for client in made))
        yield made


class Watch:
    """Asks whether the service is ready, from a thread of its own: the clients keep this one's loop busy."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._stopped = threading.Event()
        self.statuses: set[int] = set()
        self.seconds: list[float] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"ready {len(self.seconds)} times, the slowest after {max(self.seconds):.2f} s"

    def _run(self) -> None:
        with httpx.Client(base_url=self._base_url, timeout=60, trust_env=False) as http:
            while not self._stopped.wait(0.1):
                begun = time.monotonic()
                try:
                    self.statuses.add(http.get("/health/ready").status_code)
                except httpx.TransportError:
                    self.statuses.add(0)
                self.seconds.append(time.monotonic() - begun)


async def test_thousands_of_subjects_at_once_wait_for_each_other(fresh: Fresh) -> None:
    settings = await fresh.settings()
    credentials = await account(settings)
    service = await fresh.service(settings, workers=2)
    subjects = [str(new_id()) for _ in range(SUBJECTS)]
    watch = Watch(service.base_url)
    async with clients(CLIENTS, service.base_url, settings, credentials) as made:
        Counted.most = Counted.all = 0
        with watch:
            begun = time.monotonic()
            questions = [(subject, "films:watch") for subject in subjects]
            found = await asyncio.gather(*(client.check_many(questions) for client in made))
            took = time.monotonic() - begun
        say(
            f"{CLIENTS} clients asked about {SUBJECTS:,} subjects each at once: {took:.1f} s, {Counted.all:,} requests,"
            f" at most {Counted.most} at once; {watch}; load of the machine {os.getloadavg()[0]:.1f}"
        )
        assert all(len(one) == SUBJECTS for one in found)
        assert Counted.most <= CLIENTS * MOST_BATCHES
        assert watch.statuses == {200}


async def test_streams_that_lose_their_worker_at_once_go_on_at_another(fresh: Fresh) -> None:
    settings = await fresh.settings()
    credentials = await account(settings)
    async with running_service(settings, 1, {}) as one, running_service(settings, 1, {}) as other:
        way = Way([one, other])
        way.turn_to(0)
        await way.open()
        async with clients(STREAMS, way.url, settings, credentials) as made:
            for client in made:
                assert await client.check(new_id(), "films:watch") is not None
            kept = sum(len(client._memory) for client in made)
            way.turn_to(1)
            with Watch(other.base_url) as watch:
                os.kill(one.pid, signal.SIGKILL)
                begun = time.monotonic()
                well, good = 0.0, []
                while well == 0.0:
                    passed = time.monotonic() - begun
                    good.append(sum(client._memory.good for client in made))
                    if all(client.staleness < passed for client in made):
                        well = passed
                    assert passed < 30, "some stream did not come back"
                    await asyncio.sleep(0.01)
            say(
                f"{STREAMS} streams lost their worker: all followed another one {well:.2f} s later; at the worst moment"
                f" {min(good)} of {STREAMS} could answer from memory; the other worker was {watch}; load of the machine"
                f" {os.getloadavg()[0]:.1f}"
            )
            assert sum(len(client._memory) for client in made) == kept, "they did not go on where they were"
            assert watch.statuses == {200}
        await way.shut()
