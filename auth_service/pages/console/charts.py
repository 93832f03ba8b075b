"""Bars of a chart as they are drawn, in units of its own, since nothing stands inline in a page. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from auth_service.sessions.sign_in_counts import Bar

WIDTH, HEIGHT = 760, 160
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Column:
    """`good` stands below `bad`; heights and places in units of the chart."""

    bar: Bar
    x: float
    width: float
    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class Chart:
    """`top`: the number that the height stands for."""

    bars: Sequence[Bar]
    columns: Sequence[Column]
    top: int


def chart(bars: Sequence[Bar]) -> Chart:
    top = round_up(max((bar.succeeded + bar.failed for bar in bars), default=0))
    slot = WIDTH / max(len(bars), 1)
    columns = [
        Column(
            bar,
            round(number * slot + slot * 0.1, 1),
            round(slot * 0.8, 1),
            round(HEIGHT * bar.succeeded / top, 1),
            round(HEIGHT * bar.failed / top, 1),
        )
        for number, bar in enumerate(bars)
    ]
    return Chart(bars, columns, top)


def round_up(number: int) -> int:
    """To 1, 2 or 5 with zeros behind it, at least 5: what a reader can halve in the head."""
    size = 1
    while True:
        for step in _STEPS:
            if step * size >= max(number, 5):
                return step * size
        size *= 10
