"""Pairs: each round asks every side once, forwards and backwards in turn, so that a busy moment meets all of them."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.trial import Trial

Measure = Callable[[], Trial]
WARM_ROUNDS = 1


@dataclass
class Options:
    """Of the command line."""

    pairs: int = 7
    seconds: float = 2.0
    core: int | None = None


@dataclass
class Part:
    """What one part of the benchmark found: trials by side, other numbers, which peers were left out, and how the
    answers were found to be alike."""

    trials: dict[str, list[Trial]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    agreed: str = ""
    left_out: list[str] = field(default_factory=list)


def take_turns(sides: Mapping[str, Measure], pairs: int) -> dict[str, list[Trial]]:
    """The trials of each side, in the order of the rounds; the warm-up round is not among them."""
    trials: dict[str, list[Trial]] = {name: [] for name in sides}
    for number in range(-WARM_ROUNDS, pairs):
        for name in sides if number % 2 else reversed(list(sides)):
            gc.collect()
            trial = sides[name]()
            if number >= 0:
                trials[name].append(trial)
        if number >= 0:
            shown = "  ".join(f"{name} {its[-1].cost:.0f}" for name, its in trials.items())
            print(f"  {time.strftime('%H:%M:%S')} {number + 1}/{pairs}, µs: {shown}", flush=True)
    return trials
