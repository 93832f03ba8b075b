"""Callers that go on calling while a system is stopped, killed or replaced under them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.api import V1

# (method, path, body): a read by POST, a read by GET, and a write that no proxy may send twice.
CALLS = (
    ("POST", "/permissions/check", {"permission": "films:read"}),
    ("GET", "/users/me", None),
    ("PATCH", "/users/me", {"full_name": "Somebody"}),
)


@dataclass(frozen=True)
class Failure:
    moment: float  # of time.monotonic, when it was known
    call: str
    what: str


@dataclass
class Load:
    """What happened so far; a failure is any answer but 2xx, and no answer."""

    seconds: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def told(self) -> str:
        ordered = sorted(self.seconds)
        p99, longest = ordered[int(len(ordered) * 0.99)], ordered[-1]
        text = f"{len(ordered)} answers, {len(self.failures)} failed, p99 {p99 * 1000:.0f} ms, longest {longest:.2f} s"
        kinds = Counter(f"{failure.call}: {failure.what}" for failure in self.failures)
        return "\n    ".join([text, *(f"{number} x {kind}" for kind, number in kinds.most_common(10))])


@asynccontextmanager
async def calling(base_url: str, bearers: list[dict[str, str]]) -> AsyncIterator[Load]:
    """One caller for each Authorization header, each with one request at a time; all end with the block."""
    load, stopped = Load(), asyncio.Event()
    limits = httpx.Limits(max_connections=len(bearers), max_keepalive_connections=len(bearers))
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=60, trust_env=False) as http:
        tasks = [asyncio.create_task(_call_on(http, bearer, load, stopped)) for bearer in bearers]
        try:
            yield load
        finally:
            stopped.set()
            await asyncio.gather(*tasks)


async def _call_on(http: httpx.AsyncClient, bearer: dict[str, str], load: Load, stopped: asyncio.Event) -> None:
    number = 0
    while not stopped.is_set():
        method, path, body = CALLS[number % len(CALLS)]
        number += 1
        started = time.monotonic()
        try:
            answer = await http.request(method, f"{V1}{path}", json=body, headers=bearer)
            problem = None if answer.is_success else f"{answer.status_code} {answer.json()['detail']}"
        except httpx.HTTPError as error:
            problem = type(error).__name__
        load.seconds.append(time.monotonic() - started)
        if problem is not None:
            load.failures.append(Failure(time.monotonic(), f"{method} {path}", problem))
        await asyncio.sleep(0.01)
