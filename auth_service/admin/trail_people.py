"""Who gained and who lost by the change that a row of the audit trail tells of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from auth_service.audit.service import find_entry
from auth_service.audit.words import differences
from auth_service.core.connections import Resources
from auth_service.core.errors import existing
from auth_service.permissions.past_effect import find_past_effect
from auth_service.permissions.what_if.effect import Asked, Person, Side
from auth_service.permissions.what_if.schemas import read_cursor, write_cursor


@dataclass(frozen=True, slots=True)
class PeopleOfARow:
    """`gains`, `loses`: how many, and of which permissions; `next_cursor` is None on the last page of `people`."""

    row: int
    at: datetime
    action: str
    changes: Sequence[str]
    gains: Side
    loses: Side
    people: Sequence[Person]
    next_cursor: str | None


async def people_of_row(resources: Resources, row_id: int, *, cursor: str | None, limit: int) -> PeopleOfARow:
    """By login. The caller may see people and roles.

    Raises NotFound, NotKnownThen, EffectBusy, EffectTimeout, or ValueError for a cursor that we did not give.
    """
    row = existing(await find_entry(resources, row_id), "row of the audit trail")
    asked = Asked(services=False, after=None if cursor is None else read_cursor(cursor), limit=limit)
    effect = await find_past_effect(resources, row, asked)
    return PeopleOfARow(
        row=row.id,
        at=row.at,
        action=row.action,
        changes=differences(row.before, row.after),
        gains=effect.gains,
        loses=effect.loses,
        people=effect.people or (),
        next_cursor=None if effect.more_after is None else write_cursor(effect.more_after),
    )
