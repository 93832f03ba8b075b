"""Turns at a scarce thing: so many at once, and those who may go first before all others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from auth_service.core.errors import Busy


class Turns:
    """`room` others may wait, and as many who go first; beyond that Busy (503) is raised at once."""

    def __init__(self, count: int, room: int) -> None:
        self._count = self._free = count
        self._room = room
        self._first: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def inside(self) -> int:
        """How many have a turn or wait for one."""
        return self._count - self._free + len(self._first) + len(self._others)

    @asynccontextmanager
    async def turn(self, *, first: bool) -> AsyncIterator[None]:
        await self._take(self._first if first else self._others)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, queue: deque[asyncio.Future[None]]) -> None:
        if self._free:
            self._free -= 1
            return
        if len(queue) >= self._room:
            raise Busy
        waiter = asyncio.get_running_loop().create_future()
        queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                queue.remove(waiter)
            else:
                self._pass_on()  # the turn came at the very moment of the cancellation
            raise

    def _pass_on(self) -> None:
        queue = self._first or self._others
        while queue:
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
            queue = self._first or self._others
        self._free += 1
