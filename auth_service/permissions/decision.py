"""HOT. The decision, its reason, and how long time alone leaves it as it is; check and explain share it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from auth_service.permissions.patterns import covering


class Reason(StrEnum):
    """Stable codes of the API."""

    GRANTED = "granted"
    NO_GRANT = "no_grant"
    GRANT_EXPIRED = "grant_expired"
    GRANT_NOT_STARTED = "grant_not_started"
    USER_INACTIVE = "user_inactive"
    UNKNOWN_PERMISSION = "unknown_permission"
    STEP_UP_REQUIRED = "step_up_required"


@dataclass(frozen=True, slots=True)
class Grant:
    """One way by which a user has a pattern: `role` was granted, `via` is it or the ancestor that has the pattern."""

    pattern: str
    role: str
    via: str
    valid_from: datetime
    valid_until: datetime | None

    def active(self, now: datetime) -> bool:
        return self.valid_from <= now and (self.valid_until is None or now < self.valid_until)


@dataclass(slots=True)
class Subject:
    """What is known of a user: `active` is None for a user that does not exist."""

    active: bool | None = None
    grants: dict[str, list[Grant]] = field(default_factory=dict)

    def matching(self, code: str) -> list[Grant]:
        return [grant for pattern in covering(code) for grant in self.grants.get(pattern, ())]


@dataclass(frozen=True, slots=True)
class Decision:
    """`valid_until`: no passing of time changes the answer before it; None: only a change of data does."""

    allowed: bool
    reason: Reason
    valid_until: datetime | None = None
    grants: Sequence[Grant] = ()


def decide(code: str, known: bool, subject: Subject, now: datetime) -> Decision:
    """An unknown user is answered as one without grants, so that ids cannot be probed (CHK-2)."""
    if not known:
        return Decision(False, Reason.UNKNOWN_PERMISSION)
    if subject.active is None:
        return Decision(False, Reason.NO_GRANT)
    if not subject.active:
        return Decision(False, Reason.USER_INACTIVE)
    grants = subject.matching(code)
    if any(grant.active(now) for grant in grants):
        return Decision(True, Reason.GRANTED, covered_until(grants, now), grants)
    starts = [grant.valid_from for grant in grants if grant.valid_from > now]
    if starts:
        return Decision(False, Reason.GRANT_NOT_STARTED, min(starts), grants)
    return Decision(False, Reason.GRANT_EXPIRED if grants else Reason.NO_GRANT, None, grants)


def covered_until(grants: Sequence[Grant], now: datetime) -> datetime | None:
    """The end of the unbroken time that the grants cover from now on, one taking over from another."""
    end = now
    for grant in sorted(grants, key=lambda grant: grant.valid_from):
        if grant.valid_from > end:
            break
        if grant.valid_until is None:
            return None
        end = max(end, grant.valid_until)
    return end
