"""Session rows and the login history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import delete, exists, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.models import LoginHistory, Session, User, new_id
from auth_service.sessions.client import Client


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a refresh needs of a session and its user."""

    user_id: UUID
    epoch: int
    user_active: bool
    generation: int
    rotated_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def live(self, now: datetime, idle: timedelta) -> bool:
        """By stored times, not by any store's expiry (REF-8)."""
        in_time = now < self.expires_at and now < self.last_seen_at + idle
        return self.revoked_at is None and self.user_active and in_time


_ADVANCE = """
UPDATE sessions AS s SET generation = $2 + 1, rotated_at = $3, last_seen_at = $3,
    ip = coalesce($5::text::inet, s.ip), user_agent = coalesce($6, s.user_agent)
FROM users u
WHERE s.id = $1 AND u.id = s.user_id AND s.generation <= $2 AND s.revoked_at IS NULL AND u.is_active
    AND s.expires_at > $3 AND s.last_seen_at > $4
RETURNING s.user_id, u.epoch
"""

_FIND = """
SELECT s.user_id, u.epoch, u.is_active AS user_active, s.generation, s.rotated_at, s.last_seen_at, s.expires_at,
    s.revoked_at
FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1
"""


# Not for a user who is gone.
_INSERT_FAILURE = """
INSERT INTO login_history (id, login_at, user_id, succeeded, reason, device_name, user_agent, ip)
SELECT $1, $2, $3, false, $4, $5, $6, $7::text::inet
WHERE $3::uuid IS NULL OR EXISTS (SELECT FROM users WHERE id = $3 FOR KEY SHARE)
"""


async def advance(
    pool: asyncpg.Pool,
    session_id: UUID,
    presented: int,
    now: datetime,
    *,
    idle_since: datetime,
    ip: str | None,
    user_agent: str | None,
) -> tuple[UUID, int] | None:
    """HOT, one statement: the user id and epoch if this rotation is the first to be recorded, else None.

    `generation <= presented`: the token is proof that its generation was issued, so a record that is behind
    (a restored backup) catches up. The row lock makes a finished logout win (REF-5).
    """
    row = await pool.fetchrow(_ADVANCE, session_id, presented, now, idle_since, ip, user_agent)
    return None if row is None else (row["user_id"], row["epoch"])


async def find_record(pool: asyncpg.Pool, session_id: UUID) -> SessionRecord | None:
    row = await pool.fetchrow(_FIND, session_id)
    return None if row is None else SessionRecord(**dict(row))


async def origin_of(pool: asyncpg.Pool, session_id: UUID) -> tuple[str | None, UUID | None]:
    """(address, device id) of a session."""
    row = await pool.fetchrow("SELECT host(ip) AS ip, device_id FROM sessions WHERE id = $1", session_id)
    return (None, None) if row is None else (row["ip"], row["device_id"])


async def end(session: AsyncSession, now: datetime, reason: str, *conditions: Any) -> list[tuple[UUID, UUID]]:
    """(user id, session id) of each live session that this call ended; it never ends one twice."""
    statement = (
        update(Session)
        .where(Session.revoked_at.is_(None), *conditions)
        .values(revoked_at=now, revoked_reason=reason)
        .returning(Session.user_id, Session.id)
    )
    return [(user_id, session_id) for user_id, session_id in (await session.execute(statement)).all()]


async def owner_of(session: AsyncSession, session_id: UUID) -> UUID | None:
    """Of a session that may have ended; None once its row is gone, as with its owner's account."""
    return await session.scalar(select(Session.user_id).where(Session.id == session_id))


_LAST_USED_FIRST = (Session.last_seen_at.desc(), Session.id.desc())


def _live(user_id: UUID, now: datetime, idle: timedelta) -> tuple[Any, ...]:
    return (
        Session.user_id == user_id,
        Session.revoked_at.is_(None),
        Session.expires_at > now,
        Session.last_seen_at > now - idle,
    )


async def live_sessions(session: AsyncSession, user_id: UUID, now: datetime, idle: timedelta) -> Sequence[Session]:
    """By stored times, the one used last first."""
    statement = select(Session).where(*_live(user_id, now, idle)).order_by(*_LAST_USED_FIRST)
    return (await session.scalars(statement)).all()


_COUNT_LIVE = """
SELECT count(*) FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND last_seen_at > $3
"""


async def count_live(pool: asyncpg.Pool, user_id: UUID, now: datetime, idle: timedelta) -> int:
    """Of `live_sessions`."""
    return int(await pool.fetchval(_COUNT_LIVE, user_id, now, now - idle))


async def find_own(
    session: AsyncSession, user_id: UUID, session_id: UUID, now: datetime, idle: timedelta
) -> Session | None:
    """A session that lives, by stored times too: an access token may outlive it. None for somebody else's."""
    statement = select(Session).where(Session.id == session_id, *_live(user_id, now, idle))
    return (await session.scalars(statement)).one_or_none()


async def mark_second_factor(session: AsyncSession, session_id: UUID, moment: datetime | None) -> None:
    """None: what was shown in it no longer counts."""
    await session.execute(update(Session).where(Session.id == session_id).values(second_factor_at=moment))


async def user_exists(session: AsyncSession, user_id: UUID) -> bool:
    return bool(await session.scalar(select(exists().where(User.id == user_id))))


async def insert_failure(connection: Any, user_id: UUID | None, reason: str, client: Client, now: datetime) -> None:
    """Nothing for a user who is gone, whose row it holds: no foreign key tidies after a deleted one (decisions).

    One statement, the same for logins that nobody has (LOG-1).
    """
    seen = (client.device_name, client.user_agent, client.ip)
    await connection.execute(_INSERT_FAILURE, new_id(), now, user_id, reason, *seen)


async def delete_history(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(LoginHistory).where(LoginHistory.user_id == user_id))


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """`since` is inclusive, `until` is not; all that is given must hold."""

    succeeded: bool | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ip: str | None = None


async def history_page(
    session: AsyncSession,
    user_id: UUID,
    wanted: HistoryFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[LoginHistory]:
    """Newest first, `limit` and one more; keyset, so that page 1,000 costs what page 1 does."""
    statement = select(LoginHistory).where(LoginHistory.user_id == user_id)
    if wanted.succeeded is not None:
        statement = statement.where(LoginHistory.succeeded == wanted.succeeded)
    if wanted.reason is not None:
        statement = statement.where(LoginHistory.reason == wanted.reason)
    if wanted.ip is not None:
        statement = statement.where(LoginHistory.ip == wanted.ip)
    if wanted.since is not None:
        statement = statement.where(LoginHistory.login_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(LoginHistory.login_at < wanted.until)
    if before is not None:
        moment, row_id = before
        # The first comparison lets Postgres skip whole partitions; the row comparison is exact.
        statement = statement.where(
            LoginHistory.login_at <= moment, tuple_(LoginHistory.login_at, LoginHistory.id) < tuple_(moment, row_id)
        )
    statement = statement.order_by(LoginHistory.login_at.desc(), LoginHistory.id.desc()).limit(limit + 1)
    return (await session.scalars(statement)).all()


async def delete_ended(session: AsyncSession, before: datetime) -> None:
    """Forgets sessions that ended or ran out before that time."""
    await session.execute(delete(Session).where((Session.expires_at < before) | (Session.revoked_at < before)))
