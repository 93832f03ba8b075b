"""What one measurement gives, and what many of them say: medians of ratios, with their spread. Pure."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """`cpu`: seconds of the worker's own; `p50`, `p99`: milliseconds, 0 where nobody asked; `each`: decisions of a
    request.
    """

    requests: int
    seconds: float
    cpu: float
    p99: float = 0.0
    each: int = 1
    p50: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """µs of CPU for each decision."""
        return self.cpu / (self.requests * self.each) * 1e6

    @property
    def busy(self) -> float:
        """How much of its core the worker had: well below 1, something else set the pace."""
        return self.cpu / self.seconds


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


# How a pair becomes one number, ours first.
MEASURES: dict[str, Callable[[Trial, Trial], float]] = {
    "rate": lambda ours, theirs: ours.rate / theirs.rate,
    "per CPU-second": lambda ours, theirs: theirs.cost / ours.cost,
    "CPU": lambda ours, theirs: ours.cost / theirs.cost,
    "p99": lambda ours, theirs: ours.p99 / theirs.p99,
}


# How a trial becomes one, where there is nothing beside it: µs.
ALONE: dict[str, Callable[[Trial], float]] = {
    "cost": lambda trial: trial.cost,
    "p50": lambda trial: trial.p50 * 1000,
    "p99": lambda trial: trial.p99 * 1000,
}


def paired(measure: str, ours: Sequence[Trial], theirs: Sequence[Trial]) -> Spread:
    """The ratio within each pair, so that what the machine did meanwhile hits both alike."""
    return spread([MEASURES[measure](one, other) for one, other in zip(ours, theirs, strict=True)])
