"""What a permission asks of the session beside the grant: nothing, a second factor, or a fresh one. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum

from auth_service.permissions.decision import Decision, Reason

FRESH = timedelta(minutes=15)  # LOG-9


class Demand(Enum):
    NOTHING = 0
    SECOND_FACTOR = 1
    FRESH_SECOND_FACTOR = 2


def demand_of(code: str, *, marked: bool, administrative: bool) -> Demand:
    """`marked` in the catalogue; `administrative`: one of ours, where admins have to have a second factor (MFA-7).

    Reading and asking is open for the whole session; what changes something wants a code of the last 15 minutes.
    """
    if marked:
        return Demand.FRESH_SECOND_FACTOR
    if administrative:
        return Demand.SECOND_FACTOR if code.endswith((":read", ":check")) else Demand.FRESH_SECOND_FACTOR
    return Demand.NOTHING


def judged(decision: Decision, demand: Demand, second_factor_at: datetime | None, now: datetime) -> Decision:
    """The decision, unless it is a yes whose demand the session does not meet; such a yes ends with the freshness."""
    if not decision.allowed or demand is Demand.NOTHING:
        return decision
    if second_factor_at is None or (demand is Demand.FRESH_SECOND_FACTOR and second_factor_at + FRESH <= now):
        return replace(decision, allowed=False, reason=Reason.STEP_UP_REQUIRED)  # until the grant ends, too
    if demand is Demand.FRESH_SECOND_FACTOR:
        ends = [second_factor_at + FRESH, *([decision.valid_until] if decision.valid_until else [])]
        return replace(decision, valid_until=min(ends))
    return decision
