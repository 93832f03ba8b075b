"""A clock that a test moves."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Stands still; begins with the second in which it was made."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def move(self, **duration: float) -> None:
        """As of `timedelta`: `move(hours=2)`."""
        self.now += timedelta(**duration)

    def timestamp(self) -> float:
        return self.now.timestamp()
