"""What the workers are asked, what the model says to it, and what an answer says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import orjson

from tests.support.coherence.model import DEAD, Truth
from tests.support.coherence.wire import Answer, request

CODES = ("own", "inherited")
UNKNOWN = "503"
CLOCKS = 0.01  # seconds: times that JSON has are of microseconds, and ours are of before and after the call


@dataclass(frozen=True, slots=True)
class Question:
    kind: str
    sent: bytes
    expects: Callable[[Truth, Truth, float], str]  # who asks, what is asked about, when

    def may_be(self, truths: Sequence[Truth], begun: float, ended: float) -> set[str]:
        """With one truth, what it says. Where a change came in between, the caller may have been looked at before it
        and the rest after it, the second factor last.
        """
        moments = (begun - CLOCKS, ended + CLOCKS)
        return {
            self.expects(caller, replace(facts, sessions=last.sessions), moment)
            for number, caller in enumerate(truths)
            for further, facts in enumerate(truths[number:], number)
            for last in truths[further:]
            for moment in moments
        }


@dataclass(frozen=True, slots=True)
class Names:
    """Of one actor: codes by what the model calls them."""

    user: str
    codes: dict[str, str]


def said(answer: Answer) -> str:
    """In the words of the model; other words than those are a finding of their own."""
    if answer.status == 503:
        return UNKNOWN
    if answer.status == 401:
        return DEAD
    if answer.status == 403:
        _, found, rest = answer.head.lower().partition(b"x-auth-reason: ")
        return rest.partition(b"\r\n")[0].decode() if found else f"403 {answer.body.decode()}"
    if answer.status != 200:
        return f"{answer.status} {answer.body.decode()}"
    if not answer.body:
        return "granted"
    value = orjson.loads(answer.body)
    return " ".join(_reason(item) for item in value.get("results", [value]))


def _reason(item: dict[str, object]) -> str:
    reason = str(item["reason"])
    return reason if item["allowed"] is (reason == "granted") else f"{reason}, allowed: {item['allowed']}"


def by_user(names: Names, session: str, token: str) -> list[Question]:
    """With the user's own token."""

    def own(code: str) -> Question:
        return Question(
            "own check",
            request("POST", "/permissions/check", token, {"permission": names.codes[code]}),
            lambda caller, truth, now: truth.reason(code, session, now) if caller.lives(session) else DEAD,
        )

    checks = [{"permission": names.codes[code]} for code in CODES]
    return [
        own("own"),
        own("inherited"),
        Question(
            "own batch",
            request("POST", "/permissions/check/batch", token, {"checks": checks}),
            lambda caller, truth, now: (
                " ".join(truth.reason(code, session, now) for code in CODES) if caller.lives(session) else DEAD
            ),
        ),
        Question(
            "verify",
            request("GET", f"/auth/verify?permission={names.codes['own']}", token),
            lambda caller, truth, now: truth.reason("own", session, now) if caller.lives(session) else DEAD,
        ),
        Question(
            "verify, no code",
            request("GET", "/auth/verify", token),
            lambda caller, _truth, _now: "granted" if caller.lives(session) else DEAD,
        ),
    ]


def by_service(names: Names, session: str, token: str) -> list[Question]:
    """A service that stays asks about the user, with the session and without."""
    about = {"user_id": names.user}
    checks = [{"permission": names.codes[code], **about, "session_id": session} for code in CODES]
    return [
        Question(
            "check by a service",
            request("POST", "/permissions/check", token, {"permission": names.codes["inherited"], **about}),
            lambda _caller, truth, now: truth.reason("inherited", None, now),
        ),
        Question(
            "check by a service, of a session",
            request("POST", "/permissions/check", token, checks[0]),
            lambda _caller, truth, now: truth.reason("own", session, now),
        ),
        Question(
            "batch by a service",
            request("POST", "/permissions/check/batch", token, {"checks": checks}),
            lambda _caller, truth, now: " ".join(truth.reason(code, session, now) for code in CODES),
        ),
    ]


def by_own_service(names: Names, token: str) -> list[Question]:
    """Of the actor's own service, which may be deleted."""
    body = {"permission": names.codes["inherited"], "user_id": names.user}
    return [
        Question(
            "check by its service",
            request("POST", "/permissions/check", token, body),
            lambda caller, truth, now: truth.reason("inherited", None, now) if caller.service else DEAD,
        ),
        Question(
            "verify its service",
            request("GET", "/auth/verify", token),
            lambda caller, _truth, _now: "granted" if caller.service else DEAD,
        ),
    ]
