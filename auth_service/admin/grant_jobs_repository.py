"""Grant jobs and their rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, CursorResult, delete, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.stores.postgres_pools import directly
from auth_service.core.turns import in_turns
from auth_service.models import GrantJob, GrantJobRow, User
from auth_service.users.search import UserFilter, ids_of

KEEP_JOBS = timedelta(days=30)
WAITING, REFUSED = "waiting", "refused"
_ADDED_AT_ONCE = 500

_ADD_NAMED = """
INSERT INTO grant_job_rows (job_id, number, name, user_id)
SELECT $1, $4 + given.number, given.name, u.id
FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS given (name, user_id, number)
LEFT JOIN users u ON u.id = given.user_id
"""
_WAITING = """
SELECT number, user_id FROM grant_job_rows
WHERE job_id = $1 AND number > $2 AND outcome IS NULL ORDER BY number LIMIT $3
"""
# Who was deleted between the look for users and the writing of the rows is in none of them afterwards.
_SET_OUTCOMES = """
UPDATE grant_job_rows r SET outcome = o.outcome,
    name = CASE WHEN o.outcome = 'no_such_user' AND user_id IS NOT NULL THEN NULL ELSE name END,
    user_id = CASE WHEN o.outcome = 'no_such_user' THEN NULL ELSE user_id END
FROM unnest($2::bigint[], $3::text[]) AS o (number, outcome)
WHERE r.job_id = $1 AND r.number = o.number AND r.number BETWEEN $4 AND $5
"""
_OLDEST_OPEN = """
SELECT id FROM grant_jobs WHERE finished_at IS NULL AND (asked_by_kind <> 'operator' OR stopping) ORDER BY id LIMIT 1
"""


async def add_named(session: AsyncSession, job_id: UUID, found: Sequence[tuple[str, UUID | None]]) -> int:
    """A row for each name, in their order. An id that nobody has is none."""
    count = 0
    async with directly(session) as connection:
        async for some in in_turns(found, _ADDED_AT_ONCE):
            names, user_ids = zip(*some, strict=True)
            await connection.execute(_ADD_NAMED, job_id, names, user_ids, count)
            count += len(some)
    return count


async def add_found(session: AsyncSession, job_id: UUID, wanted: UserFilter, now: datetime, *, most: int) -> int:
    """A row for each user that the filter finds at this moment, by creation, up to `most`; how many."""
    found = ids_of(wanted, now).order_by(User.id).limit(most).subquery()
    number = func.row_number().over(order_by=found.c.id)
    rows = select(literal(job_id), number, found.c.id)
    added = await session.execute(insert(GrantJobRow).from_select(["job_id", "number", "user_id"], rows))
    assert isinstance(added, CursorResult)  # noqa: S101  of an INSERT
    return added.rowcount


async def find_ids(session: AsyncSession, wanted: UserFilter, now: datetime, *, most: int) -> Sequence[UUID]:
    """As `add_found`, without rows."""
    return (await session.scalars(ids_of(wanted, now).order_by(User.id).limit(most))).all()


async def find_oldest_open(pool: asyncpg.Pool) -> UUID | None:
    """Which job a worker looks after next: not those of a command, whose operator goes on with them."""
    found = await pool.fetchval(_OLDEST_OPEN)
    return None if found is None else UUID(int=found.int)


async def hold_job(session: AsyncSession, job_id: UUID) -> GrantJob | None:
    """Until the transaction ends nobody else changes it, and no more rows of it come out."""
    return await session.get(GrantJob, job_id, with_for_update=True, populate_existing=True)


async def waiting(session: AsyncSession, job_id: UUID, *, after: int, limit: int) -> Sequence[tuple[int, UUID | None]]:
    """(number, user id) of the next rows without an outcome behind the number `after`."""
    async with directly(session) as connection:
        rows = await connection.fetch(_WAITING, job_id, after, limit)
    return [(row["number"], row["user_id"] and UUID(int=row["user_id"].int)) for row in rows]


async def set_outcomes(session: AsyncSession, job_id: UUID, outcomes: Sequence[tuple[int, str]]) -> None:
    """By row number."""
    if not outcomes:
        return
    async with directly(session) as connection:
        numbers, texts = [number for number, _ in outcomes], [text for _, text in outcomes]
        # With the bounds no plan looks through all rows of the job.
        await connection.execute(_SET_OUTCOMES, job_id, numbers, texts, min(numbers), max(numbers))


async def count_done(session: AsyncSession, job: GrantJob, *, upto: int) -> None:
    """Adds to a job that is held what came out behind `done` and up to that row: rows come out in their order."""
    kind = func.split_part(GrantJobRow.outcome, ":", 1)
    statement = select(kind, func.count()).where(
        GrantJobRow.job_id == job.id,
        GrantJobRow.number > job.done,
        GrantJobRow.number <= upto,
        GrantJobRow.outcome.is_not(None),
    )
    counts = dict(job.counts)
    for name, count in await session.execute(statement.group_by(kind)):
        counts[name] = counts.get(name, 0) + count
        job.done += count
    job.counts = counts


async def list_jobs(session: AsyncSession, *, before: UUID | None, limit: int) -> Sequence[GrantJob]:
    statement = select(GrantJob).order_by(GrantJob.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(GrantJob.id < before)
    return (await session.scalars(statement)).all()


async def list_rows(
    session: AsyncSession, job: GrantJob, *, outcome: str | None, after: int, limit: int
) -> Sequence[tuple[GrantJobRow, str | None]]:
    """Each with the user's login. What came out behind `done` is waiting still, to whoever reads."""
    statement = (
        select(GrantJobRow, User.login)
        .outerjoin(User, User.id == GrantJobRow.user_id)
        .where(GrantJobRow.job_id == job.id, GrantJobRow.number > after)
    )
    if outcome is not None:
        statement = statement.where(*_coming_out(job, outcome))
    rows = await session.execute(statement.order_by(GrantJobRow.number).limit(limit))
    return [(row[0], row[1]) for row in rows]


def _coming_out(job: GrantJob, outcome: str) -> list[ColumnElement[bool]]:
    if outcome == WAITING:
        return [GrantJobRow.number > job.done]
    kind = func.split_part(GrantJobRow.outcome, ":", 1)
    return [GrantJobRow.number <= job.done, kind == outcome]


async def delete_old(session: AsyncSession, now: datetime) -> None:
    """With their rows, in which there may be e-mail addresses."""
    await session.execute(delete(GrantJob).where(GrantJob.created_at < now - KEEP_JOBS))
