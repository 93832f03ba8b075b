"""How the rows of the audit trail are chained (BEY-4). Pure."""

import hashlib
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import orjson

GENESIS = bytes(32)  # what the first row is chained to


@dataclass(frozen=True, slots=True)
class Content:
    """All of a row but its hash. `id` counts from 1 without a gap; `before` and `after` hold JSON values."""

    id: int
    at: datetime
    actor_kind: str
    actor_id: str
    action: str
    target_kind: str
    target_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    request_id: str | None
    client_address: str | None


_FIELDS = [field.name for field in fields(Content)]


def values_of(content: Content) -> dict[str, Any]:
    """By name, in their order; `dataclasses.asdict` would copy all that is in them, at ten times the cost."""
    return {name: getattr(content, name) for name in _FIELDS}


def chained(previous: bytes, content: Content) -> bytes:
    """SHA-256 of the previous row's hash and the row's content as JSON: an array in the order of the fields, keys
    sorted, the time in UTC with six digits. Whoever has a copy of the table can compute it with these two lines.
    """
    values = list(values_of(content).values())
    values[1] = content.at.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(previous + orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()
