"""An actor whose truths have times, and what a client may say to a question by those of a while."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.support.coherence.actor import Actor
from tests.support.coherence.model import DEAD, Truth
from tests.support.coherence.people import People
from tests.support.local_clients.client import boot_seconds

KEPT_SECONDS = 60  # of a client that was frozen
ALWAYS = float("inf")


class TimedActor(Actor):
    """Since when each truth may be so, and until when: from the asking for a change, to the answer of the next one."""

    def __init__(self, people: People, *, second_factor: bool) -> None:
        super().__init__(people, second_factor=second_factor)
        self.times = [[boot_seconds(), ALWAYS]]

    def may_become(self, truth: Truth) -> None:
        super().may_become(truth)
        self.times.append([boot_seconds(), ALWAYS])

    def has_become(self, truth: Truth) -> None:
        now = boot_seconds()
        for times in self.times:
            times[1] = min(times[1], now)
        super().has_become(truth)
        self.times.append([now, ALWAYS])

    def between(self, begin: float, end: float) -> list[Truth]:
        """All that may have been so for a moment of it, each once."""
        found = (
            truth
            for truth, (since, until) in zip(self.truths, self.times, strict=True)
            if since <= end and until >= begin
        )
        return list(dict.fromkeys(found))

    def forget_old(self) -> None:
        """Of what has ended long ago."""
        old = boot_seconds() - KEPT_SECONDS
        first = next(number for number, times in enumerate(self.times) if times[1] >= old)
        self.truths, self.times = self.truths[first:], self.times[first:]
        self.floor -= first


@dataclass(frozen=True, slots=True)
class Asked:
    """`expects`: of the truth of the caller's token, and of what is asked about; the two may be of different times.
    `session`: the only one that it looks at.
    """

    kind: str
    call: dict[str, Any]
    session: str | None
    expects: Callable[[Truth, Truth, float], str]

    def may_be(self, truths: Sequence[Truth], moments: Iterable[float]) -> set[str]:
        """`moments`: Unix times."""
        seen = {truth.only(self.session) if self.session else truth.only() for truth in truths}
        sessions = {truth.sessions for truth in seen}
        facts = {replace(truth, sessions=last) for truth in seen for last in sessions}
        return {
            self.expects(caller, truth, moment)
            for moment in moments
            for caller in (replace(truth, sessions=last) for truth in truths[:1] for last in sessions)
            for truth in facts
        }


def questions(actor: TimedActor, sessions: Sequence[str]) -> list[Asked]:
    asked = [_check(actor, "inherited", None)]
    for session in sessions:
        asked += [_check(actor, "own", session), _authorize(actor, session, "own"), _authorize(actor, session)]
    return asked


def _check(actor: TimedActor, code: str, session: str | None) -> Asked:
    call = {"user": actor.user, "code": actor.codes[code], "session": session}
    return Asked("check", call, session, lambda _caller, truth, now: truth.reason(code, session, now))


def _authorize(actor: TimedActor, session: str, *codes: str) -> Asked:
    call = {"token": actor.tokens[session], "codes": [actor.codes[code] for code in codes]}

    def expects(caller: Truth, truth: Truth, now: float) -> str:
        if not caller.lives(session):
            return DEAD
        return truth.reason(codes[0], session, now) if codes else "granted"

    return Asked("authorize" if codes else "verify", call, session, expects)
