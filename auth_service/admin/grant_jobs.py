"""Jobs that grant a role to many users, or take it from them: made, looked at, cancelled. `grant_work` does them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.admin import grant_jobs_repository as repository
from auth_service.admin.csv_list import csv_answer, csv_lines
from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import Conflict, ValidationFailed, existing
from auth_service.core.http.call import current_call
from auth_service.core.principal import Principal
from auth_service.core.turns import in_turns
from auth_service.locks import lock_access_rules
from auth_service.models import GrantJob
from auth_service.permissions.actor import Actor, who
from auth_service.permissions.checks import allows, holds
from auth_service.roles.many_grants import Outcome, Wish, foresee, may_do, row_by_row
from auth_service.users.naming import PERSONAL_DATA, find_named_ids, may_name
from auth_service.users.search import UserFilter, read_cursor, write_cursor

MOST_NAMES = 10_000
MOST_FOUND = 50_000  # by a filter, and of names in a file of the operator's
FINDS_USERS = "users:read"
SEES_JOBS = "roles:read"
_FORESEEN_AT_ONCE = 250


class JobFinished(Conflict):
    code, detail = "job_finished", "This job has finished; there is nothing to cancel."


@dataclass(frozen=True, slots=True)
class JobView:
    """`done` of `total` rows have come out as `counts` says, by outcome, and no worker answers from before."""

    id: UUID
    act: str
    role: str
    valid_from: datetime | None
    valid_until: datetime | None
    reason: str | None
    asked_by_kind: str
    asked_by_id: str
    created_at: datetime
    state: str
    failure_code: str | None
    failure_detail: str | None
    total: int
    done: int
    counts: Mapping[str, int]
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobsPage:
    items: Sequence[JobView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RowView:
    """`name` as it was given; it and `login` are None to who may not see them. `outcome`: None while it waits."""

    number: int
    name: str | None
    user_id: UUID | None
    login: str | None
    outcome: str | None


ROW_COLUMNS = [field.name for field in fields(RowView)]
_CELLS = attrgetter(*ROW_COLUMNS)


@dataclass(frozen=True, slots=True)
class RowsPage:
    items: Sequence[RowView]
    next_cursor: str | None


async def make_job(
    resources: Resources, caller: Principal | Actor, wish: Wish, users: Sequence[str] | UserFilter
) -> JobView:
    """Finds the users, once and for all, and writes what is to be done; a worker begins within a second or two.

    By name (id, login, e-mail address) or by filter. Raises NotFound for the role, LackingYourself, PermissionDenied
    or StepUpRequired for addresses and filters, ValidationFailed for dates, and for a filter that finds too many.
    """
    found = await _find(resources, caller, users)
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        await may_do(session, caller, wish, resources.clock())
    # Without that lock, since it may take a second; each batch is judged again.
    async with resources.db.begin() as session:
        job = await _make_in(resources, session, caller, wish, found)
        facts = {"act": wish.act, "role": wish.role, "users": job.total}
        facts |= {"valid_from": wish.valid_from, "valid_until": wish.valid_until}
        target = Target("grant_job", str(job.id))
        write_act(
            session,
            who(caller),
            Action.GRANT_JOB_CREATED,
            target,
            at=job.created_at,
            after=facts,
            reason=wish.reason,
        )
    return job_view(job)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """How many rows would come out how, and the numbers of those whose name nobody has."""

    total: int
    counts: Mapping[str, int]
    unknown: Sequence[int]


async def foresee_job(
    resources: Resources, caller: Principal | Actor, wish: Wish, users: Sequence[str] | UserFilter
) -> Foreseen:
    """Writes nothing; raises as `make_job`. What keeps a superuser is not foreseen."""
    found = await _find(resources, caller, users)
    now = resources.clock()
    outcomes: dict[UUID, Outcome] = {}
    async with resources.db() as session:
        await may_do(session, caller, wish, now)
        if isinstance(found, UserFilter):
            rows: list[UUID | None] = [*await repository.find_ids(session, found, now, most=MOST_FOUND + 1)]
        else:
            rows = [user_id for _, user_id in found]
        _must_be_few(len(rows))
        users_of_rows = list({user_id for user_id in rows if user_id is not None})
        async for some in in_turns(users_of_rows, _FORESEEN_AT_ONCE):
            outcomes |= await foresee(session, wish, some, now)
    come_out = row_by_row(wish, rows, outcomes)
    unknown = [number for number, outcome in enumerate(come_out, 1) if outcome is Outcome.NO_SUCH_USER]
    return Foreseen(len(rows), Counter(str(outcome) for outcome in come_out), unknown)


async def list_jobs(resources: Resources, *, cursor: str | None, limit: int) -> JobsPage:
    """Newest first. Raises ValidationFailed for a cursor that we did not give."""
    before = read_cursor(cursor)
    async with resources.db() as session:
        jobs = await repository.list_jobs(session, before=before, limit=limit + 1)
    cursor = write_cursor(jobs[limit - 1].id) if len(jobs) > limit else None
    return JobsPage([job_view(job) for job in jobs[:limit]], cursor)


async def get_job(resources: Resources, job_id: UUID) -> JobView:
    """Raises NotFound."""
    async with resources.db() as session:
        return job_view(existing(await session.get(GrantJob, job_id), "job"))


async def list_rows(
    resources: Resources,
    caller: Principal | Actor,
    job_id: UUID,
    *,
    outcome: str | None = None,
    cursor: str | None = None,
    limit: int,
) -> RowsPage:
    """In the order that they were given in. `outcome`: one of Outcome, `refused` whatever for, or `waiting`.

    Raises NotFound, or ValidationFailed for a cursor that we did not give.
    """
    place = read_cursor(cursor)
    asked = _RowList(resources, job_id, outcome, *await _may_see(resources, caller))
    items, last = await asked.page(place.int if place else None, limit)
    return RowsPage(items, None if last is None else write_cursor(UUID(int=last)))


async def rows_file(
    resources: Resources, caller: Principal, job_id: UUID, *, outcome: str | None = None
) -> StreamingResponse:
    """All rows as CSV, as `list_rows` shows them; raises NotFound."""
    asked = _RowList(resources, job_id, outcome, *await _may_see(resources, caller))
    codes = [SEES_JOBS, *([FINDS_USERS] if asked.logins else ()), *([PERSONAL_DATA] if asked.personal else ())]
    lines = csv_lines(ROW_COLUMNS, asked.page, lambda row: [_CELLS(row)])
    return await csv_answer(resources, caller, lines, name="rows.csv", codes=codes)


@dataclass(frozen=True, slots=True)
class _RowList:
    """`logins` and `personal`: whether these, and e-mail addresses, are for the caller to see."""

    resources: Resources
    job_id: UUID
    outcome: str | None
    logins: bool
    personal: bool

    async def page(self, after: int | None, limit: int) -> tuple[Sequence[RowView], int | None]:
        """And the number to go on behind, None at the end."""
        async with self.resources.db() as session:
            job = existing(await session.get(GrantJob, self.job_id), "job")
            rows = await repository.list_rows(session, job, outcome=self.outcome, after=after or 0, limit=limit + 1)
        items = [
            RowView(
                number=row.number,
                name=name if name is not None and (self.personal if "@" in name else self.logins) else None,
                user_id=row.user_id,
                login=login if self.logins else None,
                outcome=row.outcome if row.number <= job.done else None,
            )
            for row, login in rows[:limit]
            for name in (row.name,)
        ]
        return items, items[-1].number if len(rows) > limit else None


async def cancel_job(resources: Resources, caller: Principal | Actor, job_id: UUID) -> JobView:
    """After it the job does nothing more, and its counts say all that it has done. Raises NotFound or JobFinished."""
    async with resources.db.begin() as session:
        job = existing(await repository.hold_job(session, job_id), "job")
        if job.finished_at is not None and job.state != "cancelled":
            raise JobFinished
        if not job.stopping:
            job.stopping = True
            target = Target("grant_job", str(job_id))
            write_act(session, who(caller), Action.GRANT_JOB_CANCELLED, target, at=resources.clock())
    return await finish(resources, job_id, "cancelled")


async def advance(resources: Resources, job_id: UUID, *, upto: int) -> JobView:
    """Shows what has come out up to that row, once every worker has heard of it."""
    await resources.coherence.settled()
    async with resources.db.begin() as session:
        job = existing(await repository.hold_job(session, job_id), "job")
        await repository.count_done(session, job, upto=upto)
    return job_view(job)


async def finish(resources: Resources, job_id: UUID, state: str, failure: tuple[str, str] | None = None) -> JobView:
    """As `advance`, of all rows; whoever comes second changes nothing. `failure`: code and words."""
    await resources.coherence.settled()
    async with resources.db.begin() as session:
        job = existing(await repository.hold_job(session, job_id), "job")
        if job.finished_at is None:
            await repository.count_done(session, job, upto=job.total)
            job.state, job.finished_at = state, resources.clock()
            if failure is not None:
                job.failure_code, job.failure_detail = failure
    return job_view(job)


def job_view(job: GrantJob) -> JobView:
    return JobView(**{name: getattr(job, name) for name in JobView.__dataclass_fields__})


async def _find(
    resources: Resources, caller: Principal | Actor, users: Sequence[str] | UserFilter
) -> Sequence[tuple[str, UUID | None]] | UserFilter:
    """Of names, each with the id that it stands for, if any. Who may not ask so is refused before anybody looks."""
    if isinstance(users, UserFilter):
        if isinstance(caller, Principal):
            await allows(resources, caller, FINDS_USERS)
        return users
    address = next((name for name in users if "@" in name), None)
    if address is not None and isinstance(caller, Principal):
        await may_name(resources, caller, address)
    ids: dict[str, UUID] = {}
    async for some in in_turns(users):  # for ids nobody is asked
        ids |= await find_named_ids(resources, some)
    return [(name, ids.get(name)) for name in users]


async def _make_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    wish: Wish,
    found: Sequence[tuple[str, UUID | None]] | UserFilter,
) -> GrantJob:
    now = resources.clock()
    asker, call = who(caller), current_call()
    scopes = sorted(caller.claims.scopes) if isinstance(caller, Principal) and caller.is_service else None
    job = GrantJob(
        act=wish.act,
        role=wish.role,
        valid_from=wish.valid_from,
        valid_until=wish.valid_until,
        reason=wish.reason,
        asked_by_kind=asker.kind,
        asked_by_id=asker.id,
        scopes=scopes,
        request_id=call.request_id,
        client_address=call.client_address,
        created_at=now,
        total=0,
    )
    session.add(job)
    await session.flush()
    if isinstance(found, UserFilter):
        job.total = await repository.add_found(session, job.id, found, now, most=MOST_FOUND + 1)
    else:
        job.total = await repository.add_named(session, job.id, found)
    _must_be_few(job.total)
    return job


def _must_be_few(count: int) -> None:
    if count > MOST_FOUND:
        raise ValidationFailed(f"more than {MOST_FOUND:,} users are found; make several jobs, such as by created_until")


async def _may_see(resources: Resources, caller: Principal | Actor) -> tuple[bool, bool]:
    """(logins, e-mail addresses)."""
    if isinstance(caller, Actor):
        return True, True
    return await holds(resources, caller, FINDS_USERS), await holds(resources, caller, PERSONAL_DATA)
