"""Grants of everybody, page by page, in the order of the index that serves the question."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from auth_service.core.errors import ValidationFailed
from auth_service.permissions.repository import Fetches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class GrantState(StrEnum):
    """Of a grant at a moment: its start is part of it, its end is not."""

    ACTIVE = "active"
    COMING = "coming"
    ENDED = "ended"


class Order(StrEnum):
    """Each is unique by user and role, which come last."""

    USER = "u"
    START = "s"
    END = "e"


_COLUMNS = {
    Order.USER: "user_id, role_name",
    Order.START: "valid_from, user_id, role_name",
    Order.END: "valid_until, user_id, role_name",
}


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """All that is given must hold. `ends_since` is inclusive, `ends_until` is not; without an end is never between."""

    role: str | None = None
    user_id: UUID | None = None
    granted_by: UUID | None = None
    state: GrantState | None = None
    ends_since: datetime | None = None
    ends_until: datetime | None = None

    @property
    def order(self) -> Order:
        """By what is asked about: ended ones and those that end by their end, coming ones by their start."""
        if self.ends_since is not None or self.ends_until is not None or self.state is GrantState.ENDED:
            return Order.END
        return Order.START if self.state is GrantState.COMING else Order.USER


@dataclass(frozen=True, slots=True)
class ListedGrant:
    user_id: UUID
    role: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: UUID | None
    granted_at: datetime
    reason: str | None
    state: GrantState


@dataclass(frozen=True, slots=True)
class Place:
    """Behind a grant: `at` is its start or end where that comes first in the order."""

    order: Order
    at: datetime | None
    user_id: UUID
    role: str


async def grants_page(
    source: Fetches, wanted: GrantFilter, now: datetime, *, after: Place | None, limit: int
) -> tuple[Sequence[ListedGrant], Place | None]:
    """And the place to go on from; None: the end. Raises ValidationFailed for a place in another order."""
    conditions, values = _conditions(wanted, now)
    order = wanted.order
    if after is not None:
        if after.order is not order:
            raise _not_ours()
        key = [*([] if after.at is None else [after.at]), after.user_id, after.role]
        marks = ", ".join(f"${len(values) + number}" for number in range(1, len(key) + 1))
        conditions.append(f"({_COLUMNS[order]}) > ({marks})")
        values += key
    query = (
        "SELECT user_id, role_name, valid_from, valid_until, granted_by, granted_at, reason FROM user_roles"  # noqa: S608
        f"{_where(conditions)} ORDER BY {_COLUMNS[order]} LIMIT {limit + 1:d}"
    )
    rows = await source.fetch(query, *values)
    found = [_listed(row, now) for row in rows[:limit]]
    return found, _place(order, found[-1]) if len(rows) > limit else None


async def count_grants(source: Fetches, wanted: GrantFilter, now: datetime) -> int:
    conditions, values = _conditions(wanted, now)
    rows = await source.fetch(f"SELECT count(*) FROM user_roles{_where(conditions)}", *values)  # noqa: S608
    return int(rows[0]["count"])


_COUNT_HOLDERS = """
SELECT count(*) FILTER (WHERE valid_from <= $2 AND (valid_until IS NULL OR valid_until > $2)) AS active,
    count(*) = $3 AS more
FROM (SELECT valid_from, valid_until FROM user_roles WHERE role_name = $1 LIMIT $3) AS looked_at
"""


async def count_holders(source: Fetches, role: str, now: datetime, *, most: int) -> tuple[int, bool]:
    """How many have the role now, and whether there may be more: no more than `most` of its grants are looked at, of
    whatever state, so that it takes as long for a role that everybody has or had.
    """
    (row,) = await source.fetch(_COUNT_HOLDERS, role, now, most)
    return row["active"], row["more"]


CURSOR = r"^[A-Za-z0-9_-]{36,119}$"


def write_cursor(place: Place) -> str:
    microseconds = 0 if place.at is None else (place.at - _EPOCH) // _MICROSECOND
    raw = place.order.encode() + microseconds.to_bytes(8, signed=True) + place.user_id.bytes + place.role.encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(cursor: str | None) -> Place | None:
    """Raises ValidationFailed for one that we did not give."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(f"{cursor}{'=' * (-len(cursor) % 4)}".encode("ascii"), altchars=b"-_", validate=True)
        order = Order(raw[:1].decode("ascii"))
        moment = _EPOCH + int.from_bytes(raw[1:9], signed=True) * _MICROSECOND
        user_id, role = UUID(bytes=raw[9:25]), raw[25:].decode("ascii")
    except (ValueError, OverflowError, binascii.Error):
        raise _not_ours() from None
    if "\0" in role:
        raise _not_ours()
    return Place(order, None if order is Order.USER else moment, user_id, role)


def _conditions(wanted: GrantFilter, now: datetime) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for column, value in (
        ("role_name = ", wanted.role),
        ("user_id = ", wanted.user_id),
        ("granted_by = ", wanted.granted_by),
        ("valid_until >= ", wanted.ends_since),
        ("valid_until < ", wanted.ends_until),
    ):
        if value is not None:
            values.append(value)
            conditions.append(f"{column}${len(values)}")
    if wanted.state is not None:
        values.append(now)
        mark = f"${len(values)}"
        conditions.append(
            {
                GrantState.ACTIVE: f"valid_from <= {mark} AND (valid_until IS NULL OR valid_until > {mark})",
                GrantState.COMING: f"valid_from > {mark}",
                GrantState.ENDED: f"valid_until <= {mark}",
            }[wanted.state]
        )
    return conditions, values


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _listed(row: Any, now: datetime) -> ListedGrant:
    granter = row["granted_by"]
    return ListedGrant(
        UUID(int=row["user_id"].int),
        row["role_name"],
        row["valid_from"],
        row["valid_until"],
        granter and UUID(int=granter.int),
        row["granted_at"],
        row["reason"],
        _state_of(row["valid_from"], row["valid_until"], now),
    )


def _state_of(valid_from: datetime, valid_until: datetime | None, now: datetime) -> GrantState:
    if valid_from > now:
        return GrantState.COMING
    return GrantState.ACTIVE if valid_until is None or now < valid_until else GrantState.ENDED


def _place(order: Order, grant: ListedGrant) -> Place:
    at = {Order.USER: None, Order.START: grant.valid_from, Order.END: grant.valid_until}[order]
    return Place(order, at, grant.user_id, grant.role)


def _not_ours() -> ValidationFailed:
    return ValidationFailed("is not one that this service gave for this question", field="query.cursor")
