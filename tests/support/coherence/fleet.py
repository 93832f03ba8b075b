"""Replicas of several workers, and connections to each worker: the kernel says which worker took which."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import psutil

from tests.support.coherence.wire import Answer, Broken, Line, open_line, request
from tests.support.service_process import ServiceProcess

WORKERS = 2  # of each replica
LINES = 24  # to each worker
MEND_SECONDS = 0.3
_ALIVE = request("GET", "/health/live").replace(b"/api/v1", b"", 1)


class Worker:
    """One process. `ask` waits for a free connection to it, and raises Broken once it has gone."""

    def __init__(self, pid: int, name: str) -> None:
        self.pid, self.name = pid, name
        self.lines = 0
        self._free: asyncio.LifoQueue[Line | None] = asyncio.LifoQueue()

    def add(self, line: Line) -> None:
        self.lines += 1
        self._free.put_nowait(line)

    async def ask(self, sent: bytes) -> Answer:
        line = await self.take()
        return await self.ask_on(line, sent)

    async def take(self) -> Line:
        """A request begins after this."""
        while True:
            line = await self._free.get()
            if line is None:
                self._free.put_nowait(None)
                raise Broken
            if not line.broken:
                return line
            self._lose()

    async def ask_on(self, line: Line, sent: bytes) -> Answer:
        try:
            answer = await line.ask(sent)
        except Broken:
            self._lose()
            raise
        except asyncio.CancelledError:
            line.close()
            self._lose()
            raise
        self._free.put_nowait(line)
        return answer

    def _lose(self) -> None:
        self.lines -= 1
        if self.lines <= 0:
            self._free.put_nowait(None)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Fleet:
    """`workers` are those that can be reached; a worker that was killed goes, and its successor comes."""

    def __init__(self, services: Sequence[ServiceProcess]) -> None:
        self._ports = {int(service.base_url.rpartition(":")[2]): service.pid for service in services}
        self._workers: dict[int, dict[int, Worker]] = {port: {} for port in self._ports}

    @property
    def workers(self) -> list[Worker]:
        return [worker for ours in self._workers.values() for worker in ours.values() if worker.lines > 0]

    def of(self, service: ServiceProcess) -> list[Worker]:
        return [worker for worker in self._workers[int(service.base_url.rpartition(":")[2])].values() if worker.lines]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Fleet"]:
        async with asyncio.timeout(60):
            for port in self._ports:
                while not self._whole(port):
                    await self._connect(port)
        mending = asyncio.create_task(self._mend())
        try:
            yield self
        finally:
            mending.cancel()
            await asyncio.gather(mending, return_exceptions=True)

    def _whole(self, port: int) -> bool:
        mine = self._workers[port]
        return len(mine) == WORKERS and all(worker.lines >= LINES for worker in mine.values())

    async def _mend(self) -> None:
        while True:
            await asyncio.sleep(MEND_SECONDS)
            for port, mine in self._workers.items():
                for pid in [pid for pid, worker in mine.items() if worker.lines <= 0]:
                    del mine[pid]
                if len(mine) < WORKERS or any(worker.lines < LINES // 2 for worker in mine.values()):
                    with suppress(OSError, TimeoutError):
                        async with asyncio.timeout(1):
                            await self._connect(port)

    async def _connect(self, port: int) -> None:
        """Some more lines, each to the worker that took it. A worker that has enough gets no more."""
        lines = await asyncio.gather(*(open_line(port) for _ in range(8)))
        await asyncio.gather(*(line.ask(_ALIVE) for line in lines), return_exceptions=True)
        owners = await asyncio.to_thread(_owners, port, self._ports[port])
        mine = self._workers[port]
        for line in lines:
            pid = owners.get(line.port)
            if pid is None or line.broken:
                line.close()
                continue
            worker = mine.get(pid)
            if worker is None:
                worker = mine[pid] = Worker(pid, f"{port}/{pid}")
            if worker.lines < LINES:
                worker.add(line)
            else:
                line.close()


def _owners(port: int, supervisor: int) -> dict[int, int]:
    """The worker's process id by the client's port."""
    found = {}
    for child in psutil.Process(supervisor).children(recursive=True):
        with suppress(psutil.Error):
            for connection in child.net_connections(kind="tcp4"):
                if connection.laddr and connection.laddr.port == port and connection.raddr:
                    found[connection.raddr.port] = child.pid
    return found
