"""Budgets of failures, exact over all workers: counted before the check, cleared by success (LOG-2)."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.models import LoginAttempts

# No row comes back where the budget is used up; the lock then runs out by itself, `window` after the last try.
_TAKE = """
INSERT INTO login_attempts AS a (key, failures, last_at) VALUES ($1, 1, $2)
ON CONFLICT (key) DO UPDATE SET last_at = $2, failures = CASE WHEN a.last_at <= $3 THEN 1 ELSE a.failures + 1 END
WHERE a.failures < $4 OR a.last_at <= $3
RETURNING failures
"""


async def take(resources: Resources, key: str, *, limit: int, window: timedelta) -> bool:
    """An atomic step of its own, which survives the refusal that may follow; False: do not check anything."""
    now = resources.clock()
    return await resources.hot.fetchval(_TAKE, key, now, now - window, limit) is not None


async def give_back(resources: Resources, key: str) -> None:
    """For a try that was no guess."""
    await resources.hot.execute("UPDATE login_attempts SET failures = greatest(failures - 1, 0) WHERE key = $1", key)


async def clear(resources: Resources, key: str) -> None:
    """The whole budget again."""
    await resources.hot.execute("DELETE FROM login_attempts WHERE key = $1", key)


async def forget_user(session: AsyncSession, user_id: UUID) -> None:
    """In the caller's transaction, whatever the prefixes of the keys; reads the whole table, which is small."""
    await session.execute(delete(LoginAttempts).where(LoginAttempts.key.contains(str(user_id))))


async def forget_old(resources: Resources, before: datetime) -> None:
    """Counts that no lock needs any more."""
    await resources.hot.execute("DELETE FROM login_attempts WHERE last_at < $1", before)
