"""bench/RESULTS.md: the figures as tables, targets beside them. Pure but for the last function."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

from bench.figures import FIGURES, LARGE, SCALING, SIDES, Figure
from bench.record import Recorded
from bench.trial import Spread, Trial

FILE = Path(__file__).with_name("RESULTS.md")
PLOTS = "../docs"
_PART_TITLES = {
    "check": "The permission check",
    "refresh": "Refresh",
    "me": "One's own account",
    "logins": "Logins",
    "local_check": "The check in the process that asks, while a hundred changes a second go on",
    "in_process": "The decision alone, without HTTP",
}


def page(parts: Mapping[str, Recorded]) -> str:
    """The whole page, of whatever parts there are."""
    blocks = [_head(parts), _targets(parts), _others(parts)]
    blocks += [_part(name, parts[name]) for name in _PART_TITLES if name in parts]
    if "scaling" in parts:
        blocks.append(_scaling(parts["scaling"]))
    if "memory" in parts:
        blocks.append(_memory(parts["memory"]))
    return "\n\n".join(block for block in blocks if block) + "\n"


def shown(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _head(parts: Mapping[str, Recorded]) -> str:
    lines = [
        "# Results of the benchmark",
        "",
        "Written by `make bench`; do not edit. [What is compared, and how](../docs/benchmarks.md)",
        "",
        "![Requests a second, raw ASGI is 1](../docs/bench-throughput.svg)",
        "",
        "![CPU of the answering process](../docs/bench-cpu.svg)",
        "",
        "| measured | when | tree | pairs × seconds | pinned | load |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in parts.items():
        how = one.how
        row = (name, one.date, one.tree, f"{how['pairs']} × {how['seconds']}", how["pinned"], how["generator"])
        lines.append(_row(row))
    newest = max(parts.values(), key=lambda one: one.date)
    machine, versions = newest.machine, newest.versions
    lines += [
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}.",
        "Versions: " + ", ".join(f"{name} {its}" for name, its in versions.items()) + ".",
    ]
    left_out = [reason for one in parts.values() for reason in one.part.left_out]
    if left_out:
        lines += ["", "Left out:", "", *(f"- {reason}" for reason in dict.fromkeys(left_out))]
    return "\n".join(lines)


def _measured(parts: Mapping[str, Recorded], figures: Iterable[Figure]) -> Iterable[tuple[Figure, Spread]]:
    for figure in figures:
        if figure.part in parts and (found := figure.of(parts[figure.part].part.trials)) is not None:
            yield figure, found


def _targets(parts: Mapping[str, Recorded]) -> str:
    lines = ["## Targets", "", "| figure | target | median | least to most | |", "|---|---|---|---|---|"]
    for figure, found in _measured(parts, [figure for figure in FIGURES if figure.target]):
        target = figure.target
        assert target is not None
        unit = figure.unit
        met = "met" if target.met(found.median) else "**not met**"
        wanted = f"{target.sign} {target.value:g}{unit}"
        spread = f"{shown(found.least)} to {shown(found.most)}"
        lines.append(_row((figure.title, wanted, f"{shown(found.median)}{unit}", spread, met)))
    return "\n".join(lines)


def _others(parts: Mapping[str, Recorded]) -> str:
    lines = ["## Without a target", "", "| figure | median | least to most |", "|---|---|---|"]
    for figure, found in _measured(parts, [figure for figure in FIGURES if not figure.target]):
        spread = f"{shown(found.least)} to {shown(found.most)}"
        lines.append(_row((figure.title, f"{shown(found.median)}{figure.unit}", spread)))
    return "\n".join(lines)


def _part(name: str, one: Recorded) -> str:
    lines = [f"## {_PART_TITLES[name]}", ""]
    if one.part.agreed:
        lines += [f"Compared before they were timed: {one.part.agreed}.", ""]
    timed = name not in {"local_check", "in_process"}
    head = ["side", "requests/s", "CPU µs", "least to most", "of a core", "p99 ms"]
    head = head if timed else ["side", "CPU µs", "least to most"]
    lines += [_row(head), "|---" * len(head) + "|"]
    for side, title in SIDES[name].items():
        if side in one.part.trials:
            lines.append(_row([title, *_side(one.part.trials[side], timed=timed)]))
    lines += _calls(name, one.part.trials)
    if name == "local_check":
        lines += ["", *(f"- {what}: {shown(median(its))}" for what, its in one.part.numbers.items())]
    return "\n".join(lines)


def _calls(name: str, trials: Mapping[str, list[Trial]]) -> list[str]:
    """Of sides whose calls were timed one by one."""
    timed = {side: title for side, title in SIDES[name].items() if side in trials and trials[side][0].p50}
    if not timed:
        return []
    lines = ["", _row(["side", "calls", "p50 µs", "p99 µs"]), "|---" * 4 + "|"]
    for side, title in timed.items():
        its = trials[side]
        p50, p99 = (median(getattr(trial, name) for trial in its) * 1000 for name in ("p50", "p99"))
        lines.append(_row([title, f"{sum(trial.requests for trial in its):,}", shown(p50), shown(p99)]))
    return lines


def _side(trials: list[Trial], *, timed: bool) -> list[str]:
    costs = [trial.cost for trial in trials]
    cost = [shown(median(costs)), f"{shown(min(costs))} to {shown(max(costs))}"]
    if not timed:
        return cost
    rate, busy, late = (median(getattr(trial, name) for trial in trials) for name in ("rate", "busy", "p99"))
    return [shown(rate), *cost, f"{busy:.0%}", shown(late) if late else ""]


def _scaling(one: Recorded) -> str:
    """CPU µs on the large installation, and in brackets as a ratio to the small one beside it."""
    lines = [
        "## From small to large",
        "",
        "CPU µs of the worker for each request, and its ratio to an installation with 1,000 users, 10 roles and 1,000"
        " sessions that took turns with it.",
        "",
        _row(["", *LARGE]),
        "|---" * (len(LARGE) + 1) + "|",
    ]
    cells: dict[str, list[str]] = {}
    for figure in SCALING:
        found = figure.of(one.part.trials)
        act = figure.title.partition(",")[0]
        cost = median(trial.cost for trial in one.part.trials[figure.ours]) if found else 0.0
        cells.setdefault(act, []).append(f"{shown(cost)} ({shown(found.median)}×)" if found else "")
    lines += [_row([act, *row]) for act, row in cells.items()]
    return "\n".join(lines)


def _memory(one: Recorded) -> str:
    lines = ["## Memory", "", "| what | median |", "|---|---|"]
    numbers = one.part.numbers
    lines += [_row((what, shown(median(its)))) for what, its in numbers.items()]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write(parts: Mapping[str, Recorded], path: Path = FILE) -> None:
    path.write_text(page(parts), encoding="utf-8")
