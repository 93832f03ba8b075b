"""A deadline for what a store answers, which does not count what our own event loop was late by."""

import asyncio
from types import TracebackType
from typing import Any, cast

TICKS = 5


class Deadline:
    """As `asyncio.timeout`, in so many ticks, each of them a turn of the loop: what was written is sent and what has
    arrived is read before the last one. So a loop that is busy with 500 requests does not take its own queue for a
    store that is silent; a quiet one waits `seconds`. Raises TimeoutError.
    """

    __slots__ = ("_cancelling", "_left", "_loop", "_task", "_timer", "_wait")

    def __init__(self, seconds: float) -> None:
        self._wait = seconds / TICKS
        self._left = TICKS

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = self._task.cancelling()
        self._timer: asyncio.Handle = self._loop.call_later(self._wait, self._tick)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # As `asyncio.timeout`, which costs as much again: somebody else may have cancelled the task besides.
        if self._left < 0 and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _tick(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._wait, self._tick)
        else:
            self._timer = self._loop.call_soon(self._expire)

    def _expire(self) -> None:
        self._left = -1
        self._task.cancel()
