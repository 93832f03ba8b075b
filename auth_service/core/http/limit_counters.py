"""The counters behind slowapi, in the memory of the process."""

import time
from typing import Any

from limits.storage import MemoryStorage

SWEEP_SECONDS = 10


class SweptCounters(MemoryStorage):
    """Forgets what has expired with a later call. The library's own starts a thread for that with the first call after
    each ten milliseconds: 200 µs, or a third of a refresh.
    """

    STORAGE_SCHEME = ["swept"]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self.timer.cancel()
        self.timer = _NoThread()  # type: ignore[assignment]
        self._swept_at = time.monotonic()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            for known in list(self.expirations):
                self.get(known)  # which drops what has expired
        return super().incr(key, expiry, amount)


class _NoThread:
    """In place of the timer, which is only started while it is not alive."""

    def is_alive(self) -> bool:
        return True
