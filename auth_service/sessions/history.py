"""The login history: failures are entries too; the user's own view of it and the administrator's."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound, ValidationFailed
from auth_service.core.stores.postgres_pools import lent_by
from auth_service.models import LoginHistory
from auth_service.sessions import repository
from auth_service.sessions.client import Client
from auth_service.sessions.repository import HistoryFilter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`next_cursor` is None on the last page."""

    items: Sequence[LoginHistory]
    next_cursor: str | None


async def record_failure(resources: Resources, user_id: UUID | None, reason: str, client: Client) -> None:
    """An own transaction: it must survive the refusal that follows. Unknown logins have no user id."""
    async with lent_by(resources.engine) as connection:
        await repository.insert_failure(connection, user_id, reason, client, resources.clock())


async def read_history(
    resources: Resources, user_id: UUID, wanted: HistoryFilter, *, cursor: str | None, limit: int
) -> HistoryPage:
    """Newest first; raises ValidationFailed for a cursor that we did not give."""
    before = None if cursor is None else _read_cursor(cursor)
    async with resources.db() as session:
        rows = await repository.history_page(session, user_id, wanted, before=before, limit=limit)
    items = rows[:limit]
    more = len(rows) > limit
    return HistoryPage(items, _write_cursor(items[-1].login_at, items[-1].id) if more else None)


async def read_history_of(
    resources: Resources, user_id: UUID, wanted: HistoryFilter, *, cursor: str | None, limit: int
) -> HistoryPage:
    """For the administrator, who may ask about anybody; raises NotFound for a user that does not exist."""
    async with resources.db() as session:
        if not await repository.user_exists(session, user_id):
            raise NotFound("There is no such user.")
    return await read_history(resources, user_id, wanted, cursor=cursor, limit=limit)


def _write_cursor(moment: datetime, row_id: UUID) -> str:
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(microseconds.to_bytes(8) + row_id.bytes).decode()


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii"))
        if len(raw) != 24:
            raise ValueError
        return _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8])), UUID(bytes=raw[8:])
    except (ValueError, OverflowError, binascii.Error):
        raise ValidationFailed("cursor is not one that this service gave") from None
