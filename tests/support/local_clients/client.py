"""The other end of tests.support.local_clients.process."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.conftest import ROOT

START_SECONDS = 90
BOUND = 1.5  # of a client with no other setting


def boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer, by `boot_seconds`; `kept`: out of the memory."""

    word: str
    kept: bool
    asked: float
    answered: float


class LocalClient:
    """In a process of its own."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name, self._process = name, process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.answers = self.kept = 0  # in all, and those that came from memory

    async def ask(self, call: Mapping[str, Any]) -> Sample:
        return (await self._samples(self._order(do="ask", call=call)))[0]

    def follow(self, call: Mapping[str, Any], longest: float = 0.1) -> "Following":
        """Asks again and again from now on; `longest`: seconds between two times."""
        return Following(self, *self._order(do="follow", call=call, longest=longest))

    def set_clock(self, offset: float) -> None:
        """Seconds that its wall clock is ahead."""
        self._order(do="clock", offset=offset)

    async def staleness(self) -> float:
        return float((await self._order(do="staleness")[1])["staleness"])

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGCONT)

    async def listen(self) -> None:
        """Its own job."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            waiter = self._waiting.pop(said["id"], None)
            if waiter is not None and not waiter.done():
                waiter.set_result(said)
        for waiter in self._waiting.values():
            waiter.cancel()

    async def stop(self) -> None:
        self.thaw()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _samples(self, order: tuple[int, asyncio.Future[dict[str, Any]]]) -> list[Sample]:
        said = await order[1]
        self.answers, self.kept = said["answers"], said["kept"]
        return [Sample(**one) for one in said["samples"]]

    def _order(self, **order: Any) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        number = next(self._numbers)
        waiter = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**order, "id": number}).encode() + b"\n")
        return number, waiter


class Following:
    def __init__(self, client: LocalClient, number: int, answer: asyncio.Future[dict[str, Any]]) -> None:
        self._client, self._number, self._answer = client, number, answer

    async def stop(self, words: Collection[str], seconds: float) -> list[Sample]:
        """Once it was asked after this moment and said one of `words`, or so many seconds later: the first and the
        last of each row of equal answers.
        """
        self._client._order(do="stop", of=self._number, at=boot_seconds(), words=list(words), seconds=seconds)
        return await self._client._samples((self._number, self._answer))


@asynccontextmanager
async def running_client(name: str, **settings: Any) -> AsyncIterator[LocalClient]:
    """`settings` are those of AuthClient; ready when it comes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.local_clients.process", json.dumps(settings)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'clients' / 'python'}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    client = LocalClient(name, process)
    ready = client._waiting[0] = asyncio.get_running_loop().create_future()
    listening = asyncio.create_task(client.listen())
    try:
        async with asyncio.timeout(START_SECONDS):
            await ready
        yield client
    finally:
        await client.stop()
        await listening
