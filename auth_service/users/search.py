"""Finds accounts, page by page."""

import base64
import binascii
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import idna
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.errors import ValidationFailed
from auth_service.models import Totp, User, UserRole


@dataclass(frozen=True, slots=True)
class UserFilter:
    """All that is given must hold. `search`: a part of the login and, with `personal`, of the e-mail address or name.

    `role`: by a grant that is active; `created_since` is inclusive, `created_until` is not.
    """

    search: str | None = None
    personal: bool = True
    role: str | None = None
    active: bool | None = None
    email_verified: bool | None = None
    mfa: bool | None = None
    created_since: datetime | None = None
    created_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    user: User
    mfa: bool


_HAS_MFA = select(Totp.user_id).where(Totp.user_id == User.id, Totp.confirmed_at.is_not(None)).exists()


async def find_users(
    session: AsyncSession, wanted: UserFilter, now: datetime, *, after: UUID | None = None, limit: int
) -> Sequence[Found]:
    """By id, which is by creation. A walk along an index that ends with the page: of accounts, or of a role's grants.
    Where too little is found it sees every row, which `docs/decisions.md` has figures of.
    """
    statement = select(User, _HAS_MFA.label("mfa")).where(*_conditions(replace(wanted, role=None), now))
    place = User.id
    if wanted.role is not None:
        statement = statement.join(UserRole, UserRole.user_id == User.id).where(*_holds(wanted.role, now))
        place = UserRole.user_id
    if after is not None:
        statement = statement.where(place > after)
    rows = await session.execute(statement.order_by(place).limit(limit))
    return [Found(row[0], row[1]) for row in rows]


def ids_of(wanted: UserFilter, now: datetime) -> Select[UUID]:
    """A statement for all of them, in no order."""
    return select(User.id).where(*_conditions(wanted, now))


CURSOR = r"^[A-Za-z0-9_-]{22}$"  # 16 bytes


def write_cursor(user_id: UUID) -> str:
    return base64.urlsafe_b64encode(user_id.bytes).decode().rstrip("=")


def read_cursor(cursor: str | None) -> UUID | None:
    """Raises ValidationFailed for one that we did not give."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.b64decode(f"{cursor}==".encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise ValidationFailed("cursor is not one that this service gave") from None


def _conditions(wanted: UserFilter, now: datetime) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.search:
        conditions.append(_matches(wanted.search, personal=wanted.personal))
    if wanted.role is not None:
        held = select(UserRole.user_id).where(UserRole.user_id == User.id, *_holds(wanted.role, now))
        conditions.append(held.exists())
    if wanted.active is not None:
        conditions.append(User.is_active == wanted.active)
    if wanted.email_verified is not None:
        conditions.append(User.email_verified_at.is_not(None) == wanted.email_verified)
    if wanted.mfa is not None:
        conditions.append(_HAS_MFA if wanted.mfa else ~_HAS_MFA)
    if wanted.created_since is not None:
        conditions.append(User.created_at >= wanted.created_since)
    if wanted.created_until is not None:
        conditions.append(User.created_at < wanted.created_until)
    return conditions


def _holds(role: str, now: datetime) -> list[ColumnElement[bool]]:
    return [
        UserRole.role_name == role,
        UserRole.valid_from <= now,
        or_(UserRole.valid_until.is_(None), UserRole.valid_until > now),
    ]


def _in_ascii(text: str) -> str:
    """A part of an address as its key has it: of `тест@пример.рф`, `@пример.рф` or `пример.рф` the domain."""
    local, at, domain = text.rpartition("@")
    try:
        found = idna.encode(domain, uts46=True).decode() if "." in domain and not text.isascii() else domain
    except idna.IDNAError:
        found = domain
    return f"{local}{at}{found}"


def _matches(text: str, *, personal: bool) -> ColumnElement[bool]:
    login = User.login_key.contains(unicodedata.normalize("NFKC", text).casefold(), autoescape=True)
    if not personal:
        return login
    return or_(
        login,
        User.email_key.contains(_in_ascii(unicodedata.normalize("NFC", text).lower()), autoescape=True),
        func.lower(User.full_name).contains(text.lower(), autoescape=True),
    )
