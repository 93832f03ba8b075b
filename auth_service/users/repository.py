"""User rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.errors import Conflict, EmailTaken, LoginTaken
from auth_service.models import GrantJobRow, User, UserRole

SUPERUSER = "superuser"
_ACCOUNT = """
SELECT id, login, email, email_verified_at IS NOT NULL AS email_verified, full_name, is_active, created_at, updated_at
FROM users WHERE id = $1
"""
_BY_KEY = """
SELECT login_key AS key, false AS is_email, id FROM users WHERE login_key = ANY($1::text[])
UNION ALL
SELECT email_key, true, id FROM users WHERE email_key = ANY($2::text[])
"""
_TAKEN = {
    "uq_users_login_key": LoginTaken,
    "uq_login_looks_claimed": LoginTaken,
    "uq_users_email_key": EmailTaken,
}


def taken(error: IntegrityError) -> Conflict:
    """The error to raise for a broken unique constraint; raises `error` itself where it is something else."""
    for constraint, kind in _TAKEN.items():
        if constraint in str(error.orig):
            return kind()
    raise error


@dataclass(frozen=True, slots=True)
class Account:
    """What a user may see of the own account."""

    id: UUID
    login: str
    email: str
    email_verified: bool
    full_name: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


async def find_account(pool: asyncpg.Pool, user_id: UUID) -> Account | None:
    """Without the ORM, which costs eight times as much: every page of a cinema asks for this."""
    row = await pool.fetchrow(_ACCOUNT, user_id)
    return Account(**row) if row else None


async def find_by_id(session: AsyncSession, user_id: UUID) -> User | None:
    return await session.get(User, user_id)


async def find_by_key(session: AsyncSession, key: str, *, is_email: bool) -> User | None:
    column = User.email_key if is_email else User.login_key
    return (await session.scalars(select(User).where(column == key))).one_or_none()


async def find_ids(pool: asyncpg.Pool, keys: Collection[tuple[str, bool]]) -> dict[tuple[str, bool], UUID]:
    """By key, and whether that is an e-mail address's. Postgres has no text with a NUL, and no account one."""
    given = [[key for key, is_email in keys if is_email is wanted and "\0" not in key] for wanted in (False, True)]
    rows = await pool.fetch(_BY_KEY, *given)
    return {(row["key"], row["is_email"]): UUID(int=row["id"].int) for row in rows}


async def count_superusers(session: AsyncSession, now: datetime) -> tuple[int, int]:
    """Active users with a superuser grant without an end: those whose grant has begun, and all of them.

    Call it under the access lock, with a time of after it.
    """
    statement = (
        select(func.count().filter(UserRole.valid_from <= now), func.count())
        .select_from(UserRole)
        .join(User, User.id == UserRole.user_id)
        .where(UserRole.role_name == SUPERUSER, UserRole.valid_until.is_(None), User.is_active)
    )
    serving, appointed = (await session.execute(statement)).one()
    return serving, appointed


async def existing_keys(session: AsyncSession, logins: Sequence[str], emails: Sequence[str]) -> set[str]:
    """Those of the given login and e-mail keys that are taken."""
    by_login = await session.scalars(select(User.login_key).where(User.login_key.in_(logins)))
    by_email = await session.scalars(select(User.email_key).where(User.email_key.in_(emails)))
    return {*by_login, *by_email}


async def leave_grant_jobs(session: AsyncSession, user_id: UUID) -> None:
    """That somebody was granted a role with many others stays, without id and name."""
    rows = update(GrantJobRow).where(GrantJobRow.user_id == user_id)
    await session.execute(rows.values(name=None, user_id=None))


async def insert_many(session: AsyncSession, users: Sequence[dict[str, Any]], grants: Sequence[dict[str, Any]]) -> None:
    await session.execute(insert(User), users)
    await session.execute(insert(UserRole), grants)
