"""Slots at a scarce thing: so many at once, a bounded line, and those who may go first before all others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar

from auth_service.core.errors import Busy

_goes_first: ContextVar[bool] = ContextVar("goes_first", default=False)


@contextmanager
def going_first() -> Iterator[None]:
    """Around what requests wait for, and what says whether we are well: a flood must not keep it waiting."""
    token = _goes_first.set(True)
    try:
        yield
    finally:
        _goes_first.reset(token)


class PrioritySlots:
    """`room` others may wait, and as many who go first; beyond that Busy (503) is raised at once."""

    def __init__(self, count: int, room: int, *, pool: str = "hashing") -> None:
        self.pool = pool
        self._count = self._free = count
        self._room = room
        self._first: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        return self._free

    @property
    def taken(self) -> int:
        return self._count - self._free

    @property
    def waiting(self) -> int:
        return len(self._first) + len(self._others)

    @property
    def inside(self) -> int:
        """How many have a turn or wait for one."""
        return self.taken + self.waiting

    @asynccontextmanager
    async def slot(self, *, first: bool) -> AsyncIterator[None]:
        await self.take(first=first)
        try:
            yield
        finally:
            self.pass_on()

    async def take(self, *, first: bool | None = None) -> None:
        """`pass_on` it afterwards. `first` not given: where the caller is `going_first`."""
        if self._free:
            self._free -= 1
            return
        queue = self._first if (_goes_first.get() if first is None else first) else self._others
        if len(queue) >= self._room:
            raise self._too_many()
        await self._wait_in(queue)

    async def _wait_in(self, queue: deque[asyncio.Future[None]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # everyone in it was dismissed
                    queue.remove(waiter)
            elif waiter.exception() is None:
                self.pass_on()  # the turn came at the very moment of the cancellation
            raise

    def _too_many(self) -> Exception:
        return Busy(pool=self.pool)

    def pass_on(self) -> None:
        queue = self._first or self._others
        while queue:
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
            queue = self._first or self._others
        self._free += 1
