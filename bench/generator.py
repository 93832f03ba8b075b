"""Our own load generator: a process of its own that bench.load starts, with its job on standard input.

Raw sockets under uvloop, without pipelining, about 20,000 requests a second of one core: what it is used for takes the
server longer than that. It says `ready` when its connections stand, begins at the next line, and ends by itself.
"""

import asyncio
import gc
import json
import re
import sys
from base64 import b64decode
from itertools import cycle
from time import perf_counter
from typing import Any

try:
    from uvloop import run as run_loop
except ImportError:  # Windows has none
    from asyncio import run as run_loop

MOST_SECONDS = 600
# Beyond the end, for what is still in hand.
LAST_SECONDS = 30
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Job:
    """What all connections share: what to send, until when, and what came back."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.way: str = given["way"]
        self.seconds = min(float(given["seconds"]), MOST_SECONDS)
        self.rate = float(given["rate"])
        calls = [b64decode(call) for call in given["calls"]]
        self.calls = iter(calls) if self.way == "once" else cycle(calls)
        self.tokens: list[str] = given["tokens"]
        self.before_body = (
            f"POST {given['path']} HTTP/1.1\r\nHost: {given['host']}:{given['port']}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self.times: list[float] = []
        self.failed = 0
        self.until = 0.0

    def next(self, number: int) -> bytes | None:
        if perf_counter() >= self.until:
            return None
        if self.way == "follow":
            body = f'{{"refresh_token":"{self.tokens[number]}"}}'
            return f"{self.before_body}{len(body)}\r\n\r\n{body}".encode()
        return next(self.calls, None)

    def heard(self, number: int, status: bytes, body: bytes, seconds: float) -> None:
        self.times.append(seconds)
        if status != b"200":
            self.failed += 1
        elif self.way == "follow":
            self.tokens[number] = json.loads(body)["refresh_token"]


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, job: Job, number: int) -> None:
        self._job = job
        self._number = number
        self._transport: asyncio.Transport
        self._buffer = b""
        self._needed = 0  # bytes of the whole answer, once its head is there
        self._body_at = 0
        self._since = 0.0
        self._answered: asyncio.Future[None] | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def send_next(self) -> None:
        request = self._job.next(self._number)
        if request is None:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._since = perf_counter()
        self._transport.write(request)

    async def send_one(self, request: bytes, since: float) -> None:
        """`since`: when it was due, so that who had to wait for a connection has waited."""
        self._answered = asyncio.get_running_loop().create_future()
        self._since = since
        self._transport.write(request)
        await self._answered

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._buffer, 0, end)
            self._body_at = end + 4
            self._needed = self._body_at + (int(found[1]) if found else 0)
        if len(self._buffer) < self._needed:
            return
        answer, self._buffer = self._buffer, b""
        self._job.heard(self._number, answer[9:12], answer[self._body_at :], perf_counter() - self._since)
        self._needed = 0
        if self._answered is None:
            self.send_next()
        else:
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        error = exc or ConnectionError("the server closed a connection")
        for waiting in (self.done, self._answered):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)


async def at_a_pace(job: Job, connections: list[Connection]) -> None:
    """Each request at its moment, on the next free connection."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)

    async def one(due: float) -> None:
        connection = await free.get()
        await connection.send_one(next(job.calls), due)
        free.put_nowait(connection)

    start = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(job.rate * job.seconds)):
            due = start + number / job.rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            tasks.create_task(one(due))


async def work(given: dict[str, Any]) -> dict[str, Any]:
    job = Job(given)
    loop = asyncio.get_running_loop()
    connections = []
    for number in range(given["connections"]):
        _, connection = await loop.create_connection(lambda n=number: Connection(job, n), given["host"], given["port"])
        connections.append(connection)
    print("ready", flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        sys.exit("whoever started this has gone")
    gc.freeze()
    gc.disable()  # a pause of ours would be read as one of the server's
    started = perf_counter()
    job.until = started + job.seconds
    async with asyncio.timeout(job.seconds + LAST_SECONDS):
        if job.way == "paced":
            await at_a_pace(job, connections)
        else:
            for connection in connections:
                connection.send_next()
            await asyncio.gather(*(connection.done for connection in connections))
    seconds = perf_counter() - started
    job.times.sort()
    return {
        "requests": len(job.times),
        "seconds": seconds,
        "failed": job.failed,
        "p99": job.times[len(job.times) * 99 // 100] * 1e3 if job.times else 0.0,
        "tokens": job.tokens,
    }


def main() -> None:
    given = json.loads(sys.stdin.readline())
    assert given["host"] in {"127.0.0.1", "localhost", "::1"}, "only this machine is loaded"
    print(json.dumps(run_loop(work(given))), flush=True)


if __name__ == "__main__":
    main()
