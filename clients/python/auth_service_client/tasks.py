"""Work that is done once for all who wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Flight:
    """Of one event loop. Who waits does so with `asyncio.shield`, and may go: the others wait on."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def going(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> asyncio.Task[None]:
        """The one that goes on, else a new one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(_look_at)
        return self._task

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _look_at(task: asyncio.Task[None]) -> None:
    """So that a failure for which nobody waits any more is no warning of asyncio's."""
    if not task.cancelled():
        task.exception()
