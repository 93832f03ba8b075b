"""What came out, by kind of change."""

import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.support.coherence.inside import Inside


@dataclass
class Row:
    """A trial is one change and one worker that was asked after it. `waits`: seconds from asking for a change to its
    answer, with all that a change does besides waiting for the workers.
    """

    changes: int = 0
    trials: int = 0
    compared: int = 0
    during: int = 0
    unknown: int = 0
    broken: int = 0
    repeated: int = 0
    violations: int = 0
    waits: list[float] = field(default_factory=list)


class Table:
    def __init__(self) -> None:
        self.rows: defaultdict[str, Row] = defaultdict(Row)
        self.violations: list[str] = []
        self.odd: list[str] = []
        self.inside: Inside | None = None
        self.begun = time.monotonic()

    @property
    def trials(self) -> int:
        return sum(row.trials for row in self.rows.values())

    def violated(self, kind: str, words: str) -> None:
        self.rows[kind].violations += 1
        self.violations.append(words)
        if len(self.violations) <= 20:
            print(f"  VIOLATION {words}", flush=True)

    def progress(self) -> str:
        seconds = time.monotonic() - self.begun
        violations = len(self.violations)
        return f"{self.trials:,} trials, {self.trials / seconds:.0f}/s, {violations} violations, {seconds:.0f} s"

    def __str__(self) -> str:
        head = ("change", "changes", "trials", "compared", "during", "wrong", "503", "broken", "repeated")
        lines = [f"{head[0]:<22}" + "".join(f"{one:>10}" for one in head[1:]) + f"{'p50':>8}{'p99':>8}{'max':>8} ms"]
        total = Row()
        for kind, row in sorted(self.rows.items()):
            lines.append(_line(kind, row))
            for name in ("changes", "trials", "compared", "during", "violations", "unknown", "broken", "repeated"):
                setattr(total, name, getattr(total, name) + getattr(row, name))
            total.waits += row.waits
        return "\n".join([*lines, _line("all", total), self.progress()])


def _line(kind: str, row: Row) -> str:
    counts = (row.changes, row.trials, row.compared, row.during, row.violations, row.unknown, row.broken, row.repeated)
    ordered = sorted(row.waits) or [0.0]
    waits = (ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1])
    return f"{kind:<22}" + "".join(f"{n:>10}" for n in counts) + "".join(f"{wait * 1000:>8.0f}" for wait in waits)
