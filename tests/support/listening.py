"""Somebody who follows GET /api/v1/changes of a service on a socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from auth_service_client.stream import Event, read_events

from tests.support.api import V1

SECONDS = 20  # a busy machine is no failure


class Listener:
    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.events: list[Event] = []
        self._coming = read_events(answer.aiter_lines())

    async def next(self, kind: str) -> Event:
        """The next of that kind; raises StopAsyncIteration where the stream ends before."""
        async with asyncio.timeout(SECONDS):
            while True:
                self.events.append(await anext(self._coming))
                if self.events[-1].kind == kind:
                    return self.events[-1]

    async def change(self, **expected: Any) -> Event:
        """The next change that says this, whatever it says besides and whatever comes before."""
        while True:
            event = await self.next("change")
            if all(_says(event.data, name, value) for name, value in expected.items()):
                return event

    async def end(self) -> list[Event]:
        """All that came, until the service ended it."""
        async with asyncio.timeout(SECONDS):
            async for event in self._coming:
                self.events.append(event)
        return self.events


def _says(data: Mapping[str, Any], name: str, value: Any) -> bool:
    return value in data.get(name, ()) if name == "subjects" else data.get(name) == value


@asynccontextmanager
async def listening(base_url: str, headers: Mapping[str, str], position: str | None = None) -> AsyncIterator[Listener]:
    """Of a stream that has begun."""
    more = {} if position is None else {"Last-Event-ID": position}
    async with (
        httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=SECONDS) as http,
        http.stream("GET", f"{V1}/changes", headers={**headers, **more}) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Listener(answer)
