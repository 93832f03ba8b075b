"""Waiting for a connection to a store: how long, and what those are told who cannot have one."""

import asyncio
from collections import deque
from time import monotonic

from auth_service.core.errors import Busy
from auth_service.core.priority_slots import PrioritySlots
from auth_service.core.stores.deadline import Deadline
from auth_service.core.stores.pulse import Pulse, StoreSilent


class StoreSlots(PrioritySlots):
    """Slots at the connections to a store; nobody waits longer than `seconds`.

    Whoever cannot have one is told which of the two it is: Busy while the store answers others, StoreSilent where it
    answers nobody.
    """

    def __init__(self, count: int, room: int, seconds: float, *, pool: str, pulse: Pulse) -> None:
        super().__init__(count, room, pool=pool)
        self._seconds = seconds
        self._pulse = pulse
        pulse.on_silence(self._dismiss)

    async def _wait_in(self, queue: deque[asyncio.Future[None]]) -> None:
        try:
            async with Deadline(self._seconds):
                await super()._wait_in(queue)
        except TimeoutError:
            # By the second half: a store that froze just after we came has answered somebody before.
            if self._pulse.has_beaten_since(monotonic() - self._seconds / 2):
                raise Busy(pool=self.pool) from None
            raise StoreSilent from None

    def _too_many(self) -> Exception:
        return StoreSilent() if self._pulse.silent else Busy(pool=self.pool)

    def _dismiss(self) -> None:
        for queue in (self._first, self._others):
            for waiter in queue:
                if not waiter.done():
                    waiter.set_exception(StoreSilent())
            queue.clear()
