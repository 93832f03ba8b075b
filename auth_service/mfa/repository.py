"""TOTP rows, recovery codes and login challenges; what is single use is used by one conditional UPDATE."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.models import LoginChallenge, RecoveryCode, Totp


async def find_totp(session: AsyncSession, user_id: UUID) -> Totp | None:
    return await session.get(Totp, user_id)


async def find_confirmed(session: AsyncSession, user_id: UUID) -> Totp | None:
    """None too while it is pending."""
    row = await session.get(Totp, user_id)
    return row if row is not None and row.confirmed_at is not None else None


async def totp_after(session: AsyncSession, user_id: UUID) -> Sequence[Totp]:
    """The next 500 by user id, pending ones too."""
    statement = select(Totp).where(Totp.user_id > user_id).order_by(Totp.user_id).limit(500)
    return (await session.scalars(statement)).all()


async def replace_pending(session: AsyncSession, user_id: UUID, sealed_secret: bytes, now: datetime) -> bool:
    """A new pending secret; False, and nothing changed, where a confirmed one is in use."""
    values = {"sealed_secret": sealed_secret, "created_at": now, "last_step": 0, "misses": 0}
    statement = (
        postgresql.insert(Totp)
        .values(user_id=user_id, **values)
        .on_conflict_do_update(index_elements=[Totp.user_id], set_=values, where=Totp.confirmed_at.is_(None))
        .returning(Totp.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def use_step(session: AsyncSession, user_id: UUID, sealed_secret: bytes, step: int) -> bool:
    """True for the one caller that first uses a newer step than any before (MFA-2)."""
    statement = (
        update(Totp)
        .where(
            Totp.user_id == user_id,
            Totp.sealed_secret == sealed_secret,
            Totp.confirmed_at.is_not(None),
            Totp.last_step < step,
        )
        .values(last_step=step, misses=0)
        .returning(Totp.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def confirm(session: AsyncSession, user_id: UUID, sealed_secret: bytes, step: int, now: datetime) -> bool:
    """True for the one caller that confirms this pending secret; its code counts as used."""
    statement = (
        update(Totp)
        .where(Totp.user_id == user_id, Totp.confirmed_at.is_(None), Totp.sealed_secret == sealed_secret)
        .values(confirmed_at=now, last_step=step, misses=0)
        .returning(Totp.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def add_confirmed(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """For accounts that have none."""
    await session.execute(insert(Totp), rows)


async def count_miss(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(update(Totp).where(Totp.user_id == user_id).values(misses=Totp.misses + 1))


async def forget_misses(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(update(Totp).where(Totp.user_id == user_id).values(misses=0))


async def replace_seal(session: AsyncSession, user_id: UUID, old: bytes, new: bytes) -> None:
    await session.execute(
        update(Totp).where(Totp.user_id == user_id, Totp.sealed_secret == old).values(sealed_secret=new)
    )


async def delete_all(session: AsyncSession, user_id: UUID) -> bool:
    """The authenticator, the recovery codes and the open challenges; True if there was an authenticator."""
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await session.execute(delete(LoginChallenge).where(LoginChallenge.user_id == user_id))
    statement = delete(Totp).where(Totp.user_id == user_id).returning(Totp.user_id)
    return (await session.execute(statement)).one_or_none() is not None


async def replace_codes(session: AsyncSession, user_id: UUID, codes: list[dict[str, Any]]) -> None:
    """`codes` are rows of finder and code_hash; the old set is void."""
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await session.execute(insert(RecoveryCode), [{"user_id": user_id, **code} for code in codes])


async def find_code(session: AsyncSession, user_id: UUID, finder: str) -> RecoveryCode | None:
    statement = select(RecoveryCode).where(
        RecoveryCode.user_id == user_id, RecoveryCode.finder == finder, RecoveryCode.used_at.is_(None)
    )
    return (await session.scalars(statement)).one_or_none()


async def use_code(session: AsyncSession, user_id: UUID, code_hash: str, now: datetime) -> bool:
    """True for the one caller that uses it."""
    statement = (
        update(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash, RecoveryCode.used_at.is_(None))
        .values(used_at=now)
        .returning(RecoveryCode.finder)
    )
    return (await session.execute(statement)).one_or_none() is not None


_STATE = """
SELECT (SELECT confirmed_at FROM mfa_totp WHERE user_id = $1) AS confirmed_at,
    (SELECT count(*) FROM mfa_recovery_codes WHERE user_id = $1 AND used_at IS NULL) AS codes_left
"""


async def state_of(pool: asyncpg.Pool, user_id: UUID) -> tuple[datetime | None, int]:
    """Since when there is a second factor, None too while it is pending; and how many recovery codes are left."""
    (row,) = await pool.fetch(_STATE, user_id)
    return row["confirmed_at"], row["codes_left"]


async def take_challenge(
    session: AsyncSession, challenge_id: UUID, secret_hash: bytes, now: datetime, tries: int
) -> LoginChallenge | None:
    """Counts one try; None if it is unknown, used, expired, or its tries are used up."""
    statement = (
        update(LoginChallenge)
        .where(
            LoginChallenge.id == challenge_id,
            LoginChallenge.secret_hash == secret_hash,
            LoginChallenge.used_at.is_(None),
            LoginChallenge.expires_at > now,
            LoginChallenge.tries < tries,
        )
        .values(tries=LoginChallenge.tries + 1)
        .returning(LoginChallenge)
    )
    return (await session.scalars(statement)).one_or_none()


async def use_challenge(session: AsyncSession, challenge_id: UUID, now: datetime) -> bool:
    """True for the one caller that uses it."""
    statement = (
        update(LoginChallenge)
        .where(LoginChallenge.id == challenge_id, LoginChallenge.used_at.is_(None))
        .values(used_at=now)
        .returning(LoginChallenge.id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def delete_expired(session: AsyncSession, before: datetime) -> None:
    await session.execute(delete(LoginChallenge).where(LoginChallenge.expires_at < before))
