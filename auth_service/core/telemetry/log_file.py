"""A log file that begins anew each day (UTC), written by all workers of a machine at once."""

import fcntl
import logging.handlers
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

KEPT_DAYS = 14


def _today() -> date:
    return datetime.now(UTC).date()


class DailyFile(logging.handlers.WatchedFileHandler):
    """`name.log` is today's, `name.log.2030-01-31` a former one; of those the newest `KEPT_DAYS` stay.

    The standard library's rotating handlers lose lines when two processes rotate one file. Here the first worker that
    writes on a new day renames the file under a lock, and the others see that it is another one and open it again.
    """

    def __init__(self, path: Path, today: Callable[[], date] = _today) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._today = path, today
        self._day: date | None = None
        super().__init__(path, encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        day = self._today()
        if day != self._day:
            try:
                self._begin(day)
            except OSError:  # no room, no right: the line goes to the file that there is
                self.handleError(record)
            self._day = day
        super().emit(record)

    def _begin(self, day: date) -> None:
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._path.exists():
                return
            written = datetime.fromtimestamp(self._path.stat().st_mtime, UTC).date()
            former = Path(f"{self._path}.{written}")
            if written < day and not former.exists():  # after a jump of the clock: nothing is overwritten
                self._path.rename(former)
            for old in sorted(self._path.parent.glob(f"{self._path.name}.????-??-??"))[:-KEPT_DAYS]:
                old.unlink()
