"""Whether a store answers anyone at all, and since when its connections can be trusted."""

from collections.abc import Callable
from time import monotonic


class StoreSilent(ConnectionError):
    """What those are told who waited behind others for a store that answers nobody."""


class Pulse:
    """Of one store, felt by all who ask it. Silent is a store that let a deadline pass and answered nobody meanwhile:
    then it is not one slow command, and those who wait for their turn behind it need not find out one by one.
    """

    def __init__(self) -> None:
        self.silent = False
        self.generation = 0  # a connection of an earlier one is not used again
        self._last = monotonic()
        self._on_silence: list[Callable[[], None]] = []

    def on_silence(self, tell: Callable[[], None]) -> None:
        self._on_silence.append(tell)

    def beat(self) -> None:
        self._last = monotonic()
        self.silent = False

    def has_beaten_since(self, moment: float) -> bool:
        """`moment`: of time.monotonic()."""
        return self._last > moment

    def missed(self, asked_at: float, generation: int) -> None:
        """A deadline passed; asked was at `asked_at`, on a connection that was opened in `generation`."""
        if not self.has_beaten_since(asked_at):
            self.silent = True
            self.distrust(generation)
            for tell in self._on_silence:
                tell()

    def distrust(self, generation: int) -> None:
        """A connection of it proved dead, and those that were opened before led to the same server. What has been
        opened since stays: many find out at once, and each would throw away what the others have just opened.
        """
        if generation == self.generation:
            self.generation += 1
