"""What a receiver said to one POST."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """`status`, or a code of what went wrong before there was one; `retry_after` in seconds."""

    status: int | None
    error: str | None
    milliseconds: int
    retry_after: int = 0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants no more of it."""
        return self.status == 410
