"""Checks passwords within a budget of failures that every route shares (LOG-2, LOG-5)."""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import asyncpg
from sqlalchemy import update

from auth_service.core.connections import Resources
from auth_service.models import User


class Outcome(StrEnum):
    """The last three are one and the same to the client (LOG-1)."""

    RIGHT = "right"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105
    LOCKED = "locked"
    INACTIVE = "inactive"


# Takes one try from the budget; no row comes back where it is used up, and the lock runs out by itself.
_RESERVE = """
INSERT INTO login_attempts AS a (key, failures, last_at) VALUES ($1, 1, $2)
ON CONFLICT (key) DO UPDATE SET last_at = $2, failures = CASE WHEN a.last_at <= $3 THEN 1 ELSE a.failures + 1 END
WHERE a.failures < $4 OR a.last_at <= $3
RETURNING failures
"""


async def verify_password(resources: Resources, user: User | None, identifier: str, password: str) -> Outcome:
    """The same work for a user and for nobody: one try, one hash. An old hash is replaced after a match (PWD-5)."""
    key = str(user.id) if user is not None else _nobody_key(resources, identifier)
    async with resources.hasher.slot() as slot:
        # Counted in the turn at the core: parallel right passwords never hold more tries than there are cores (LOG-6).
        if not await _reserve(resources, key):
            await slot.verify_nobody(password)
            return Outcome.LOCKED
        if user is None:
            await slot.verify_nobody(password)
            return Outcome.WRONG_PASSWORD
        matches, upgraded = await slot.verify(password, user.password_hash)
        if not matches:
            return Outcome.WRONG_PASSWORD
        if not user.is_active:
            return Outcome.INACTIVE
        # Still in the turn: a try that was right is given back before the next one is taken.
        await resources.hot.execute("DELETE FROM login_attempts WHERE key = $1", key)
    if upgraded is not None:
        await _replace_hash(resources, user.id, user.password_hash, upgraded)
    return Outcome.RIGHT


async def unlock(resources: Resources, user_id: UUID) -> None:
    """Gives the account its whole budget back."""
    await resources.hot.execute("DELETE FROM login_attempts WHERE key = $1", str(user_id))


async def forget_old_attempts(pool: asyncpg.Pool, before: datetime) -> None:
    """Counts that no lock needs any more."""
    await pool.execute("DELETE FROM login_attempts WHERE last_at < $1", before)


async def _reserve(resources: Resources, key: str) -> bool:
    now = resources.clock()
    lock = timedelta(seconds=resources.settings.login_lock_seconds)
    failures = await resources.hot.fetchval(_RESERVE, key, now, now - lock, resources.settings.login_failure_limit)
    return failures is not None


def _nobody_key(resources: Resources, identifier: str) -> str:
    # What strangers type may be a password in the wrong field: it is kept only as a keyed hash.
    mac = resources.secrets.refresh_mac(f"nobody:{identifier}".encode())
    return f"nobody:{hashlib.sha256(mac).hexdigest()}"


async def _replace_hash(resources: Resources, user_id: UUID, old: str, new: str) -> None:
    async with resources.db.begin() as session:
        # Only if nobody changed the password meanwhile.
        await session.execute(
            update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new)
        )
