"""Tokens in the links of mails: one purpose, one use, one address; of their text only a hash is kept (REG-4, PWD-8)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.errors import AppError
from auth_service.core.row_tokens import new_secret, read_token, write_token
from auth_service.models import MailedToken, new_id


class Purpose(StrEnum):
    RESET_PASSWORD = "reset_password"  # noqa: S105
    VERIFY_EMAIL = "verify_email"
    EMAIL_CHANGE_OLD = "email_change_old"
    EMAIL_CHANGE_NEW = "email_change_new"


LIVES = {
    Purpose.RESET_PASSWORD: timedelta(minutes=30),
    Purpose.VERIFY_EMAIL: timedelta(hours=24),
    Purpose.EMAIL_CHANGE_OLD: timedelta(hours=24),
    Purpose.EMAIL_CHANGE_NEW: timedelta(hours=24),
}
EMAIL_CHANGE = (Purpose.EMAIL_CHANGE_OLD, Purpose.EMAIL_CHANGE_NEW)


class InvalidMailToken(AppError):
    """The same for unknown, used, replaced, too old, and meant for something else."""

    status, code = 401, "invalid_mail_token"
    detail = "This link has been used, has run out, or was replaced by a newer one; ask for a new one."


async def issue(session: AsyncSession, user_id: UUID | None, email_key: str, purpose: Purpose, now: datetime) -> str:
    """The text for the link; older ones for the same purpose are void. Call it with the user's row locked.

    Without a user it does as much, and the token opens nothing.
    """
    await void(session, user_id or new_id(), [purpose])
    text = issue_first(session, user_id, email_key, purpose, now)
    await session.flush()
    return text


def issue_first(session: AsyncSession, user_id: UUID | None, email_key: str, purpose: Purpose, now: datetime) -> str:
    """As `issue`, for an account that has none yet; flushed by the caller."""
    token_id, (secret, secret_hash) = new_id(), new_secret()
    session.add(
        MailedToken(
            id=token_id,
            user_id=user_id,
            purpose=purpose,
            email_key=email_key if user_id else "",  # what strangers typed is kept nowhere
            secret_hash=secret_hash,
            created_at=now,
            expires_at=now + LIVES[purpose],
        )
    )
    return write_token(token_id, secret)


async def owner_of(session: AsyncSession, text: str, purpose: Purpose) -> UUID | None:
    """Of a token that may have been used; None for what is no token of ours."""
    named = read_token(text)
    if named is None:
        return None
    token_id, secret_hash = named
    statement = select(MailedToken.user_id).where(
        MailedToken.id == token_id, MailedToken.secret_hash == secret_hash, MailedToken.purpose == purpose
    )
    return await session.scalar(statement)


async def find(session: AsyncSession, text: str, purposes: Collection[Purpose], now: datetime) -> MailedToken:
    """Usable as far as one can tell without the user's lock, and not used by this; raises InvalidMailToken."""
    named = read_token(text)
    if named is None:
        raise InvalidMailToken
    token_id, secret_hash = named
    statement = select(MailedToken).where(
        MailedToken.id == token_id, MailedToken.secret_hash == secret_hash, *_usable(purposes, now)
    )
    token = (await session.scalars(statement)).one_or_none()
    if token is None:
        raise InvalidMailToken
    return token


async def use(session: AsyncSession, token: MailedToken, now: datetime) -> None:
    """Succeeds for one caller; raises InvalidMailToken for all others. Lock the user's row first, as `issue` does."""
    statement = (
        update(MailedToken)
        .where(MailedToken.id == token.id, *_usable([Purpose(token.purpose)], now))
        .values(used_at=now)
        .returning(MailedToken.id)
        .execution_options(synchronize_session=False)
    )
    if (await session.execute(statement)).one_or_none() is None:
        raise InvalidMailToken


async def void(session: AsyncSession, user_id: UUID, purposes: Collection[Purpose]) -> None:
    """Those that were used stay until they run out: `owner_of` knows them."""
    unused = (MailedToken.user_id == user_id, MailedToken.purpose.in_(purposes), MailedToken.used_at.is_(None))
    await session.execute(delete(MailedToken).where(*unused))


async def delete_expired(session: AsyncSession, now: datetime) -> None:
    await session.execute(delete(MailedToken).where(MailedToken.expires_at < now))


def _usable(purposes: Collection[Purpose], now: datetime) -> list[ColumnElement[bool]]:
    return [
        MailedToken.purpose.in_(purposes),
        MailedToken.user_id.is_not(None),
        MailedToken.used_at.is_(None),
        MailedToken.expires_at > now,
    ]
