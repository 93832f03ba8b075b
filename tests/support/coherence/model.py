"""What must hold of one user and one service: pure, without a store and without a clock."""

from dataclasses import dataclass, replace

FRESH = 900.0  # seconds that a second factor is fresh
FOR_EVER = float("inf")
DEAD = "401"


@dataclass(frozen=True, slots=True)
class Truth:
    """`until`: of the grant of the user's role; None without one. `own` is whether the role has the code "own",
    `inherits` whether the parent gives "inherited". `sessions`: those that live, and when a code was shown in them.
    """

    here: bool = True
    active: bool = True
    until: float | None = FOR_EVER
    own: bool = True
    inherits: bool = True
    marked: bool = False
    service: bool = True
    sessions: tuple[tuple[str, float | None], ...] = ()

    def lives(self, session: str) -> bool:
        return any(one == session for one, _ in self.sessions)

    def without(self, *sessions: str) -> "Truth":
        return replace(self, sessions=tuple(one for one in self.sessions if one[0] not in sessions))

    def only(self, *sessions: str) -> "Truth":
        return replace(self, sessions=tuple(one for one in self.sessions if one[0] in sessions))

    def plus(self, session: str, shown: float | None) -> "Truth":
        return replace(self, sessions=(*self.sessions, (session, shown)))

    def reason(self, code: str, session: str | None, now: float) -> str:
        """As the permission check names it."""
        if not self.here:
            return "no_grant"
        if not self.active:
            return "user_inactive"
        if self.until is None or not (self.own if code == "own" else self.inherits):
            return "no_grant"
        if self.until <= now:
            return "grant_expired"
        if code == "own" and self.marked:
            shown = dict(self.sessions).get(session or "")
            if shown is None or shown + FRESH <= now:
                return "step_up_required"
        return "granted"
