"""The work on grant jobs: rows in their order, a batch in a transaction, by one process at a time for each job.

A batch is whole or not there: grants, events, audit rows and outcomes are of one transaction, under the access lock. So
wherever a worker is killed, the next one goes on behind the last batch that was committed. That one process works on a
job is told by an advisory lock, which Postgres takes back when its connection ends; nothing rests on it but speed,
since whoever has a batch sees what was done before it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.admin import grant_jobs_repository as repository
from auth_service.admin.grant_jobs import JobView, advance, finish, get_job, job_view
from auth_service.core.connections import Resources
from auth_service.core.errors import AppError, Conflict, LastSuperuser, WouldShutOut, existing, is_store_failure
from auth_service.core.http.call import Call, begin_call, end_call
from auth_service.events.relay import connected
from auth_service.locks import TRY_GRANT_JOB, lock_access_rules
from auth_service.models import GrantJob
from auth_service.permissions.actor import OPERATOR, Asker, Standing
from auth_service.roles.many_grants import TOLD_BY_NAME, Act, Wish, do_for_many, row_by_row
from auth_service.users.service import keeping_a_superuser

log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0
# Of more, those who were just granted something are all looked up anew in the same moment.
BATCH = TOLD_BY_NAME
# After a batch, as many times what it took: the checks beside it have the cores for the rest of the time.
REST = 2.0


class JobAtWork(Conflict):
    detail = "Somebody is working on this job already."


async def run_grant_jobs(resources: Resources) -> None:
    """A worker's job: the oldest job first, one at a time for all workers; raises a store failure."""
    while True:
        job_id = await repository.find_oldest_open(resources.hot)
        if job_id is None or not await _try_to_work_on(resources, job_id):
            await asyncio.sleep(LOOK_SECONDS)


async def work_on(
    resources: Resources,
    job_id: UUID,
    *,
    rest: float = REST,
    on_progress: Callable[[JobView], None] = lambda _job: None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> JobView:
    """Until the job has finished, or `is_stopping` between two batches: then it is queued again.

    Raises NotFound, JobAtWork, or a store failure, after which whoever comes next goes on.
    """
    async with _holding(resources, job_id) as held:
        if not held:
            raise JobAtWork
        async with resources.db() as session:
            asked = existing(await session.get(GrantJob, job_id), "job")
        with _in_the_name_of(asked):
            job = job_view(asked)
            while job.finished_at is None:
                if is_stopping():
                    return await _put_back(resources, job_id)
                started = time.monotonic()
                job = await _next(resources, job_id)
                on_progress(job)
                if job.finished_at is None:
                    await asyncio.sleep(rest * (time.monotonic() - started))
    return job


async def _try_to_work_on(resources: Resources, job_id: UUID) -> bool:
    """Whether it has finished; not where another worker is at it."""
    try:
        job = await work_on(resources, job_id)
    except JobAtWork:
        return False
    except Exception as error:
        if is_store_failure(error):
            raise
        # One that nobody can do must not keep the others waiting.
        log.exception("grant_job_broke", job=str(job_id))
        job = await finish(resources, job_id, "failed", ("internal_error", "Something went wrong; the log has more."))
    log.info("grant_job_finished", job=str(job_id), state=job.state, total=job.total, done=job.done, **job.counts)
    return True


async def _next(resources: Resources, job_id: UUID) -> JobView:
    """One batch, or the end."""
    most = BATCH
    while True:
        try:
            last = await _batch(resources, job_id, most)
            break
        except (LastSuperuser, WouldShutOut) as error:
            # Somebody in it is needed: fewer at a time, until it is known who.
            if most == 1:
                last = await _refuse(resources, job_id, error.code)
                break
            most //= 2
        except AppError as error:
            if is_store_failure(error):
                raise
            return await finish(resources, job_id, "failed", (error.code, error.detail))
    if last is not None:
        return await advance(resources, job_id, upto=last)
    async with resources.db() as session:
        job = await session.get(GrantJob, job_id)
    return await finish(resources, job_id, "cancelled" if job is not None and job.stopping else "done")


async def _batch(resources: Resources, job_id: UUID, most: int) -> int | None:
    """The number of its last row; None where nothing is left to do, or nothing more may be done."""
    async with resources.db.begin() as session, keeping_a_superuser(resources, session):
        job = await _held(session, job_id)
        if job is None:
            return None
        rows = await repository.waiting(session, job_id, after=job.done, limit=most)
        if not rows:
            return None
        wish, asker = _wish(job), _asker(job)
        numbers, users = [number for number, _ in rows], [user_id for _, user_id in rows]
        each = dict.fromkeys(one for one in users if one is not None)
        outcomes = await do_for_many(resources, session, asker, wish, list(each))
        await repository.set_outcomes(
            session, job_id, list(zip(numbers, row_by_row(wish, users, outcomes), strict=True))
        )
        job.state = "running"
        return numbers[-1]


async def _refuse(resources: Resources, job_id: UUID, code: str) -> int | None:
    """As `_batch`, of the one row that nobody can undo."""
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        job = await _held(session, job_id)
        rows = [] if job is None else await repository.waiting(session, job_id, after=job.done, limit=1)
        await repository.set_outcomes(session, job_id, [(number, f"{repository.REFUSED}:{code}") for number, _ in rows])
        return rows[-1][0] if rows else None


async def _put_back(resources: Resources, job_id: UUID) -> JobView:
    async with resources.db.begin() as session:
        job = await _held(session, job_id)
        if job is not None:
            job.state = "queued"
            return job_view(job)
    return await get_job(resources, job_id)


async def _held(session: AsyncSession, job_id: UUID) -> GrantJob | None:
    """With its row held; None where nothing more may be done."""
    job = await repository.hold_job(session, job_id)
    return None if job is None or job.stopping or job.finished_at is not None else job


@asynccontextmanager
async def _holding(resources: Resources, job_id: UUID) -> AsyncIterator[bool]:
    async with connected(resources, "auth-service grant jobs") as connection:
        yield bool(await connection.fetchval(TRY_GRANT_JOB, job_id))


@contextmanager
def _in_the_name_of(job: GrantJob) -> Iterator[None]:
    """The audit rows are of the request that asked for the job."""
    begun = begin_call(Call(job.request_id, job.client_address))
    try:
        yield
    finally:
        end_call(begun)


def _wish(job: GrantJob) -> Wish:
    return Wish(Act(job.act), job.role, job.valid_from, job.valid_until, job.reason)


def _asker(job: GrantJob) -> Standing:
    return OPERATOR if job.asked_by_kind == "operator" else Asker(UUID(job.asked_by_id), job.scopes)
