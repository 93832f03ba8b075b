"""All that is kept about a user, as one JSON document; no hash, seed, token or secret is in it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import existing
from auth_service.mail.addresses import shown
from auth_service.mfa import service as mfa
from auth_service.models import Base, Device, EmailChange, LoginHistory, Session, User, UserRole
from auth_service.sessions.repository import HistoryFilter, history_page
from auth_service.users.email import waiting_for
from auth_service.users.repository import find_by_id

HISTORY_PAGE = 100
_ACCOUNT = "id login email email_verified_at full_name is_active created_at updated_at"
_ROLE = "role_name valid_from valid_until granted_at reason"
_SESSION = (
    "id device_id device_name user_agent ip created_at last_seen_at authenticated_at second_factor_at expires_at"
    " revoked_at revoked_reason"
)
_DEVICE = "id name user_agent ip created_at last_seen_at trusted_until"
_CHANGE = "email created_at expires_at"
_LOGIN = "id login_at succeeded reason session_id device_id device_name user_agent ip"


async def export(resources: Resources, user_id: UUID) -> AsyncIterator[bytes]:
    """Raises NotFound or a store failure before the first piece; a later failure cuts the document off.

    The history, which alone can be long, is read page by page while it is sent.
    """
    second_factor = await mfa.state(resources, user_id)
    async with resources.db() as session:
        user = existing(await find_by_id(session, user_id), "user")
        document = {
            "exported_at": resources.clock(),
            "account": _fields(user, _ACCOUNT),
            "email_change": await _email_change(session, user_id),
            "roles": await _all(session, UserRole, user_id, _ROLE),
            "second_factor": {
                "enabled": second_factor.enabled,
                "confirmed_at": second_factor.confirmed_at,
                "recovery_codes_left": second_factor.recovery_codes_left,
            },
            "devices": await _all(session, Device, user_id, _DEVICE),
            "sessions": await _all(session, Session, user_id, _SESSION),
        }
        first = await history_page(session, user_id, HistoryFilter(), before=None, limit=HISTORY_PAGE)
    return _pieces(resources, user, document, first)


async def _pieces(
    resources: Resources, user: User, document: dict[str, Any], page: Sequence[LoginHistory]
) -> AsyncIterator[bytes]:
    yield _json(document).removesuffix(b"}") + b',"login_history":['
    comma = b""
    while page:
        yield comma + b",".join(_json(_fields(row, _LOGIN)) for row in page)
        comma = b","
        last = page[-1]
        async with resources.db() as session:
            page = await history_page(
                session, user.id, HistoryFilter(), before=(last.login_at, last.id), limit=HISTORY_PAGE
            )
    yield b"]}"


async def _all(session: AsyncSession, model: type[Base], user_id: UUID, names: str) -> list[dict[str, Any]]:
    table = model.__table__
    rows = await session.execute(select(*(table.c[name] for name in names.split())).where(table.c.user_id == user_id))
    return [dict(row._mapping) for row in rows]


async def _email_change(session: AsyncSession, user_id: UUID) -> dict[str, Any] | None:
    change = await session.get(EmailChange, user_id)
    return None if change is None else _fields(change, _CHANGE) | {"waiting_for": waiting_for(change)}


def _fields(row: Base, names: str) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in names.split()}
    return fields | {"email": shown(fields["email"])} if "email" in fields else fields


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str)  # str: addresses of the network
