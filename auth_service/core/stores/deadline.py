"""A deadline for what a store answers, which does not count what our own event loop was late by."""

import asyncio
from types import TracebackType

TICKS = 5


class Deadline:
    """As `asyncio.timeout`, in so many ticks, each of them a turn of the loop: what was written is sent and what has
    arrived is read before the last one. So a loop that is busy with 500 requests does not take its own queue for a
    store that is silent; a quiet one waits `seconds`. Raises TimeoutError.
    """

    __slots__ = ("_left", "_loop", "_timeout", "_timer", "_wait")

    def __init__(self, seconds: float) -> None:
        self._wait = seconds / TICKS
        self._left = TICKS

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._wait, self._tick)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _tick(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._wait, self._tick)
        else:
            self._timeout.reschedule(self._loop.time())
