"""What the service decides, in short: for tests, which must get the reasons that it has. Held to it by a test. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from auth_service_client.answers import Decision

SECOND_FACTOR_LASTS = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Given:
    """`pattern`: a permission, `resource:*` or `*`."""

    pattern: str
    starts: datetime
    until: datetime | None

    def covers(self, permission: str) -> bool:
        return self.pattern in {permission, f"{permission.partition(':')[0]}:*", "*"}


def decide(grants: Iterable[Given], now: datetime) -> Decision:
    """Of an active user, by the grants that cover the permission."""
    grants = sorted(grants, key=lambda grant: grant.starts)
    if any(grant.starts <= now and (grant.until is None or now < grant.until) for grant in grants):
        return Decision(True, "granted", _end(grants, now))
    coming = [grant.starts for grant in grants if grant.starts > now]
    if coming:
        return Decision(False, "grant_not_started", coming[0])
    return Decision(False, "grant_expired" if grants else "no_grant")


def with_second_factor(decision: Decision, shown: datetime | None, now: datetime) -> Decision:
    """`shown`: when the session showed one."""
    if not decision:
        return decision
    if shown is None or now >= shown + SECOND_FACTOR_LASTS:
        return Decision(False, "step_up_required", decision.valid_until)
    ends = shown + SECOND_FACTOR_LASTS
    return Decision(True, "granted", ends if decision.valid_until is None else min(ends, decision.valid_until))


def _end(grants: Iterable[Given], now: datetime) -> datetime | None:
    """Of the time that they cover without a gap, in their order."""
    end = now
    for grant in grants:
        if grant.starts > end:
            break
        if grant.until is None:
            return None
        end = max(end, grant.until)
    return end
