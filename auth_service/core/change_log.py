"""What a worker has heard of changes, for those who are told of them over HTTP and want to go on where they were cut.

Every worker hears the same stream in the same order, the messages of all workers in between. So a place in it has a
name that any of them knows who listened then: the message before it, and how many changes came since. Pure.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

MOST_CHANGES = 20_000
MOST_MARKS = 4_096  # four minutes of four workers
_POSITION = re.compile(r"([0-9a-f]{12}\.[0-9]{1,15})\+([0-9]{1,9})", re.ASCII)


class ChangeLog:
    """`proven`: every change that was committed before this moment, of the clock of leases, has been heard."""

    def __init__(self, changes: int = MOST_CHANGES, marks: int = MOST_MARKS) -> None:
        self._most_changes, self._most_marks = changes, marks
        self._followers: set[asyncio.Event] = set()
        self._forget()

    def _forget(self) -> None:
        self._changes: deque[str] = deque()
        self._dropped = 0
        self._marks: dict[str, int] = {}
        self._mark = ""
        self.proven = float("-inf")

    @property
    def count(self) -> int:
        """How many changes were heard: what `since` takes to say what came after now."""
        return self._dropped + len(self._changes)

    @property
    def position(self) -> str:
        """The name of now; only once something is proven."""
        return f"{self._mark}+{self.count - self._marks[self._mark]}"

    def find(self, position: str) -> int | None:
        """The count at that place; None where it is not known, or no longer."""
        match = _POSITION.fullmatch(position)
        before = self._marks.get(match[1]) if match else None
        if match is None or before is None:
            return None
        count = before + int(match[2])
        return count if self._dropped <= count <= self.count else None

    def since(self, count: int) -> list[str] | None:
        """What came after the first `count` changes; None where too much has."""
        if not self._dropped <= count <= self.count:
            return None
        return list(islice(self._changes, count - self._dropped, None))

    def hear_change(self, what: str) -> None:
        self._changes.append(what)
        if len(self._changes) > self._most_changes:
            self._changes.popleft()
            self._dropped += 1
        self._wake()

    def hear_message(self, worker: str, number: int) -> None:
        self._mark = f"{worker}.{number}"
        self._marks[self._mark] = self.count
        if len(self._marks) > self._most_marks:
            del self._marks[next(iter(self._marks))]

    def prove(self, moment: float) -> None:
        self.proven = moment
        self._wake()

    def end(self) -> None:
        """Changes may be missed from now on: no place of before is known any more, and who follows has to go."""
        self._forget()
        followers, self._followers = self._followers, set()
        for event in followers:
            event.set()

    @contextmanager
    def following(self) -> Iterator[asyncio.Event]:
        """Set at each news, and for the last time when the log ends: see `followed`."""
        event = asyncio.Event()
        self._followers.add(event)
        try:
            yield event
        finally:
            self._followers.discard(event)

    def followed(self, event: asyncio.Event) -> bool:
        return event in self._followers

    @property
    def followers(self) -> int:
        return len(self._followers)

    def _wake(self) -> None:
        for event in self._followers:
            event.set()
