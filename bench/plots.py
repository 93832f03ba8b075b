"""The plots of docs/: bars as plain SVG, written by hand so that they need no library. Pure but for the last function.

One drawing serves light and dark pages: its colours follow the reader's preference, and the background is the page's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from bench.figures import FIGURES, SIDES
from bench.record import Recorded
from bench.results import shown
from bench.trial import Spread, paired, spread

FOLDER = Path(__file__).parents[1] / "docs"
WIDTH, LABEL, RIGHT, ROW, TOP, BOTTOM = 900, 360, 100, 30, 64, 34
# The first colours can be read on both: for viewers that know no preference.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #6e7781 }
.title { font-weight: 600; font-size: 15px }
.note { font-size: 12px }
.bar { fill: #8c959f } .ours { fill: #2f81f7 }
.line { stroke: #6e7781; fill: none } .grid { stroke: #8c959f; stroke-opacity: .4 }
@media (prefers-color-scheme: light) {
text { fill: #24292f } .note { fill: #57606a } .line { stroke: #24292f }
}
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #9198a1 } .line { stroke: #e6edf3 } .bar { fill: #6e7681 }
}
""".strip()


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: Spread
    ours: bool
    text: str


def bars(title: str, note: str, rows: Sequence[Bar], *, logarithmic: bool = False, mark: float | None = None) -> str:
    """`mark`: a value that all are held against, as a line down the plot."""
    height = TOP + ROW * len(rows) + BOTTOM
    most = max([row.value.most for row in rows] + ([mark] if mark else []))
    least = min([row.value.least for row in rows] + ([mark] if mark else [])) if logarithmic else 0.0
    scale = _log_scale(least, most) if logarithmic else _linear_scale(most)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-labelledby="title note">',
        f'<title id="title">{escape(title)}</title><desc id="note">{escape(note)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="note" x="16" y="46">{escape(note)}</text>',
    ]
    foot = TOP + ROW * len(rows)
    for tick in _ticks(least, most, logarithmic=logarithmic):
        at = scale(tick)
        lines.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP - 4}" x2="{at:.1f}" y2="{foot}"/>')
        lines.append(f'<text class="note" text-anchor="middle" x="{at:.1f}" y="{foot + 18}">{tick:g}</text>')
    for number, row in enumerate(rows):
        lines += _bar(row, TOP + ROW * number, scale)
    if mark is not None:
        at = scale(mark)
        lines.append(
            f'<line class="line" stroke-dasharray="4 3" x1="{at:.1f}" y1="{TOP - 4}" x2="{at:.1f}" y2="{foot}"/>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(row: Bar, top: float, scale: "Scale") -> list[str]:
    """The median as a bar, least to most as a whisker, the value behind both."""
    middle, end = top + ROW / 2, scale(row.value.median)
    low, high = scale(row.value.least), scale(row.value.most)
    return [
        f'<text text-anchor="end" x="{LABEL - 10}" y="{middle + 4:.1f}">{escape(row.label)}</text>',
        f'<rect class="{"ours" if row.ours else "bar"}" x="{LABEL}" y="{top + 6:.1f}" width="{max(end - LABEL, 1):.1f}"'
        f' height="{ROW - 12}" rx="2"/>',
        f'<path class="line" d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8'
        f'M{high:.1f} {middle - 4:.1f}v8"/>',
        f'<text x="{max(end, high) + 8:.1f}" y="{middle + 4:.1f}">{escape(row.text)}</text>',
    ]


class Scale:
    """From a value to its place across the plot."""

    def __init__(self, low: float, high: float, *, logarithmic: bool) -> None:
        self._log = logarithmic
        self._low, self._high = (math.log10(low), math.log10(high)) if logarithmic else (low, high)

    def __call__(self, value: float) -> float:
        at = math.log10(value) if self._log else value
        return LABEL + (at - self._low) / (self._high - self._low) * (WIDTH - LABEL - RIGHT)


def _linear_scale(most: float) -> Scale:
    return Scale(0.0, most, logarithmic=False)


def _log_scale(least: float, most: float) -> Scale:
    low, high = _decades(least, most)
    return Scale(low, high, logarithmic=True)


def _decades(least: float, most: float) -> tuple[float, float]:
    low = 10.0 ** math.floor(math.log10(least))
    return low, max(10.0 ** math.ceil(math.log10(most)), low * 10)


def _ticks(least: float, most: float, *, logarithmic: bool) -> list[float]:
    if logarithmic:
        low, high = _decades(least, most)
        return [low * 10**power for power in range(round(math.log10(high / low)) + 1)]
    step = 10.0 ** math.floor(math.log10(most))
    while most / step < 4:
        step /= 2
    return [step * number for number in range(int(most / step) + 1)]


# --- which plots there are


def throughput(parts: Mapping[str, Recorded]) -> str | None:
    """Requests a second of the check's sides, raw ASGI being 1."""
    if "check" not in parts:
        return None
    trials = parts["check"].part.trials
    names = {"raw": False, "own": True, "by a service": True, "verify": True, "first sight": True, "uncached": True}
    names |= {"plain": False, "Cerbos": False, "fastapi-users": False}
    rows = []
    for name, ours in names.items():
        if name in trials:
            beside = "raw verify" if name == "verify" else "raw"
            value = paired("rate", trials[name], trials[beside])
            rows.append(Bar(SIDES["check"][name], value, ours, f"{shown(value.median)}×"))
    note = "Requests a second, the raw ASGI app is 1. Dashes: our target; whiskers: least to most of the pairs."
    return bars("The permission check", note, rows, mark=0.7)


def cpu(parts: Mapping[str, Recorded]) -> str | None:
    """µs of CPU of every side, on a scale of decades."""
    rows = []
    for part, ours in (
        ("check", {"own", "by a service", "verify", "batch", "uncached", "first sight", "first sight, uncached"}),
        ("refresh", {"refresh"}),
        ("me", {"users/me"}),
        ("local_check", {"known", "await check"}),
        ("in_process", {"decide"}),
    ):
        if part not in parts:
            continue
        trials = parts[part].part.trials
        for name, title in SIDES[part].items():
            if name in trials:
                value = spread([trial.cost for trial in trials[name]])
                text = f"{shown(median(trial.cost for trial in trials[name]))} µs"
                rows.append(Bar(title, value, name in ours, text))
    if not rows:
        return None
    return bars(
        "CPU for each answer", "µs of the answering process, less is better; a decade a step.", rows, logarithmic=True
    )


def targets(parts: Mapping[str, Recorded]) -> str | None:
    """How much of each target is reached."""
    rows = []
    for figure in FIGURES:
        if figure.target is None or figure.part not in parts:
            continue
        found = figure.of(parts[figure.part].part.trials)
        if found is not None:
            shares = sorted(figure.target.share(value) for value in (found.least, found.median, found.most))
            value = Spread(shares[1], shares[0], shares[2])
            text = f"{shown(found.median)}{figure.unit} of {figure.target.sign} {figure.target.value:g}"
            beside = f" / {figure.theirs}" if figure.theirs else ""
            rows.append(Bar(figure.title.partition(":")[0] + beside, value, True, text))
    if not rows:
        return None
    note = "What was measured, by what we want: at the dashes or right of them a target is met; a decade a step."
    return bars("The targets", note, rows, logarithmic=True, mark=1.0)


PLOTS = {"bench-throughput.svg": throughput, "bench-cpu.svg": cpu, "bench-targets.svg": targets}


def write(parts: Mapping[str, Recorded], folder: Path = FOLDER) -> None:
    for name, draw in PLOTS.items():
        drawn = draw(parts)
        if drawn is not None:
            (folder / name).write_text(drawn, encoding="utf-8")
