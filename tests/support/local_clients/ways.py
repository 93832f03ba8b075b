"""The way of one client to the replicas, as a balancer between: cut, frozen, or slow."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tests.support.service_process import ServiceProcess
from tests.support.tcp_gate import Gate


class Way(Gate):
    """Each connection leads to the next replica that takes it. `delay`: the most seconds that a piece takes longer."""

    def __init__(self, services: Sequence[ServiceProcess]) -> None:
        super().__init__(services[0].base_url)
        self._ports = [int(service.base_url.rpartition(":")[2]) for service in services]
        self._turn: Iterator[int] = itertools.cycle(self._ports)
        self.delay = 0.0

    def turn_to(self, number: int) -> None:
        """All that connects from now on."""
        self._turn = itertools.repeat(self._ports[number])

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._ports:
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", next(self._turn))
        raise asyncio.CancelledError  # refused, as when it is shut

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                await self._flowing.wait()
                if self.delay:
                    await asyncio.sleep(random.uniform(0, self.delay))
                writer.write(chunk)
                await writer.drain()
        if writer.can_write_eof():
            with suppress(OSError, RuntimeError):  # uvloop's, where it was closed meanwhile
                writer.write_eof()
