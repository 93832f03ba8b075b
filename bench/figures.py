"""Which figures the results have, what each of them compares, and the targets that the project has set itself. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.trial import ALONE, Spread, Trial, paired, spread

Trials = Mapping[str, Sequence[Trial]]
Numbers = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Target:
    sign: Literal["≥", "≤"]
    value: float

    def met(self, measured: float) -> bool:
        return measured >= self.value if self.sign == "≥" else measured <= self.value

    def share(self, measured: float) -> float:
        """How much of the target is reached: 1 is met, above is better."""
        return measured / self.value if self.sign == "≥" else self.value / measured


@dataclass(frozen=True, slots=True)
class Figure:
    """`theirs` is None where the figure is a number by itself: µs of CPU for each decision, or of a call.

    `measure`: as in bench.trial.MEASURES, or in ALONE for a number by itself.
    """

    part: str
    title: str
    ours: str
    theirs: str | None = None
    measure: str = "rate"
    target: Target | None = None
    unit: str = "×"

    def of(self, trials: Trials) -> Spread | None:
        """None where a side is missing."""
        if self.ours not in trials or (self.theirs is not None and self.theirs not in trials):
            return None
        if self.theirs is None:
            return spread([ALONE[self.measure](trial) for trial in trials[self.ours]])
        return paired(self.measure, trials[self.ours], trials[self.theirs])


def _at_least(value: float) -> Target:
    return Target("≥", value)


def _at_most(value: float) -> Target:
    return Target("≤", value)


_OWN = "check, one's own, asked again"
FIGURES = (
    Figure("check", f"{_OWN}: requests/s of the raw ASGI app", "own", "raw", target=_at_least(0.70)),
    Figure(
        "check", "check, by a service: requests/s of the raw ASGI app", "by a service", "raw", target=_at_least(0.70)
    ),
    Figure(
        "check",
        "forward authentication: requests/s of the raw ASGI app",
        "verify",
        "raw verify",
        target=_at_least(0.70),
    ),
    Figure("check", f"{_OWN}: requests/s of plain FastAPI", "own", "plain", target=_at_least(7)),
    Figure(
        "check", f"{_OWN}: answers per CPU-second of Cerbos", "own", "Cerbos", "per CPU-second", target=_at_least(8)
    ),
    Figure("check", f"{_OWN}: requests/s of fastapi-users with casbin", "own", "fastapi-users"),
    Figure(
        "check",
        "check at first sight: CPU of one without a cache",
        "first sight",
        "first sight, uncached",
        "CPU",
        target=_at_most(1.3),
    ),
    Figure("check", f"{_OWN}: CPU of one without a cache", "own", "uncached", "CPU"),
    Figure("check", "batch of 100: CPU for each decision", "batch", None, "cost", target=_at_most(3), unit=" µs"),
    Figure("refresh", "refresh: requests/s of the raw route", "refresh", "raw refresh", target=_at_least(0.55)),
    Figure(
        "me", "GET /users/me: CPU of a plain FastAPI route", "users/me", "plain users/me", "CPU", target=_at_most(1.5)
    ),
    Figure("logins", "logins: rate of a bare loop of the hash", "logins", "hash loop", target=_at_least(0.95)),
    Figure("logins", "logins: CPU of the hash alone", "logins", "hash loop", "CPU"),
    Figure(
        "logins",
        "check while logins take every core: p99 of an idle one",
        "checks, under logins",
        "checks, idle",
        "p99",
        target=_at_most(5),
    ),
    *(
        Figure("local_check", f"{title}: {quantile} of a call", side, None, quantile, _at_most(most), " µs")
        for side, title in (("known", "local client, known"), ("await check", "local client, await check"))
        for quantile, most in (("p50", 1), ("p99", 5))
    ),
    Figure("local_check", "local client, known: CPU of casbin's", "known", "casbin", "CPU"),
    Figure("local_check", "local client, known: CPU of Cedar's", "known", "cedar", "CPU"),
    Figure("in_process", "the decision alone: CPU of casbin's", "decide", "casbin", "CPU"),
    Figure("in_process", "the decision alone: CPU of Cedar's", "decide", "cedar", "CPU"),
)
ACTS = ("hit", "miss", "refresh", "login")
LARGE = ("10^6 users", "10^4 roles", "10^6 sessions")
SCALING = tuple(
    Figure("scaling", f"{act}, {size}", f"{act}, {size}", f"{act}, small beside {size}", "CPU")
    for size in LARGE
    for act in ACTS
)
# What each side of a part is, for the table; the order is the table's.
SIDES: dict[str, dict[str, str]] = {
    "check": {
        "raw": "raw ASGI app, the bytes of the check's answer",
        "plain": "plain FastAPI route",
        "own": "our check, own token, asked again",
        "by a service": "our check, by a service about a user",
        "raw verify": "raw ASGI app, the bytes of forward authentication",
        "verify": "our forward authentication",
        "batch": "our batch of 100, for each decision",
        "uncached": "our check without a cache",
        "first sight": "our check, token and user never seen",
        "first sight, uncached": "the same, without a cache",
        "Cerbos": "Cerbos, one check over HTTP",
        "fastapi-users": "fastapi-users with casbin",
    },
    "refresh": {"raw refresh": "raw ASGI route: script, row, signature", "refresh": "our refresh"},
    "me": {"plain users/me": "plain FastAPI route with one row", "users/me": "our GET /users/me"},
    "logins": {
        "hash loop": "Argon2id alone, on all cores",
        "logins": "our logins",
        "checks, idle": "100 checks a second, nothing else",
        "checks, under logins": "100 checks a second, while logins take every core",
    },
    "local_check": {
        "clock": "nothing, timed: what the clock takes of each call",
        "known": "our client, known",
        "await check": "our client, await check",
        "casbin": "pycasbin, in the process",
        "cedar": "cedarpy, in the process",
    },
    "in_process": {"decide": "our decision", "casbin": "pycasbin", "cedar": "cedarpy"},
}
