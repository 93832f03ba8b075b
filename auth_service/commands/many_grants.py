"""auth-service roles grant-many, revoke-many, jobs …"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from auth_service.admin import grant_jobs
from auth_service.admin.accounts_schemas import Search
from auth_service.admin.grant_jobs import JobView
from auth_service.admin.grant_jobs_schemas import Name, RowOutcome
from auth_service.admin.grant_work import work_on
from auth_service.commands.running import (
    REFUSED,
    as_typed,
    checked,
    confirmed,
    print_rows,
    progress_bar,
    read,
    read_moment,
    run,
    stop,
)
from auth_service.core.connections import Resources
from auth_service.core.errors import is_store_failure
from auth_service.moving_in.name_list import Named, NoNames, read_names
from auth_service.permissions.actor import OPERATOR
from auth_service.roles.many_grants import Act, Wish
from auth_service.roles.schemas import GrantBody, RoleName
from auth_service.users.search import UserFilter

app = typer.Typer(help="Jobs that grant a role to many users, or take it from them.", no_args_is_help=True)
INTERRUPTED = 130
SHOWN_UNKNOWN = 20
HEARING_SECONDS = 5.0
Json = Annotated[bool, typer.Option("--json")]
JobId = Annotated[UUID, typer.Argument(metavar="ID", help="As `roles jobs list` shows it.")]
File = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, readable=True, help="A name a line, or a CSV with a column of them."),
]
Part = Annotated[str | None, typer.Option("--search", help="Part of a login, an e-mail address or a name.")]
Having = Annotated[str | None, typer.Option("--role", metavar="ROLE", help="Who has it by an active grant.")]
Active = Annotated[bool | None, typer.Option("--active/--disabled")]
Verified = Annotated[bool | None, typer.Option("--verified/--unverified", help="The e-mail address.")]
Mfa = Annotated[bool | None, typer.Option("--mfa/--no-mfa", help="A second factor in use.")]
Since = Annotated[str | None, typer.Option(help="Created at that time or later: 2030-01-31T12:00:00Z")]
Until = Annotated[str | None, typer.Option(help="Created before that time.")]
Reason = Annotated[str | None, typer.Option()]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would come out, write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def grant_many(  # noqa: PLR0917  typer makes options of them
    role: str,
    file: File = None,
    search: Part = None,
    having: Having = None,
    active: Active = None,
    verified: Verified = None,
    mfa: Mfa = None,
    since: Since = None,
    until: Until = None,
    valid_from: Annotated[str | None, typer.Option(help="2030-01-31T12:00:00Z; default: now")] = None,
    valid_until: Annotated[str | None, typer.Option(help="2030-12-31T12:00:00Z; default: no end")] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Grants a role to all in a file, or to all that the filters find; Ctrl-C stops between two batches."""
    moments = {"valid_from": read_moment(valid_from), "valid_until": read_moment(valid_until)}
    body = read(GrantBody, reason=reason, **moments)
    wish = Wish(Act.GRANT, _role(role), body.valid_from, body.valid_until, body.reason)
    filters = Filters(search, having, active, verified, mfa, since, until)
    _ask_and_do(wish, file, filters, dry_run=dry_run, yes=yes)


def revoke_many(  # noqa: PLR0917  typer makes options of them
    role: str,
    file: File = None,
    search: Part = None,
    having: Having = None,
    active: Active = None,
    verified: Verified = None,
    mfa: Mfa = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Takes a role from all in a file, or from all that the filters find; Ctrl-C stops between two batches."""
    wish = Wish(Act.REVOKE, _role(role), reason=read(GrantBody, reason=reason).reason)
    filters = Filters(search, having, active, verified, mfa, since, until)
    _ask_and_do(wish, file, filters, dry_run=dry_run, yes=yes)


@app.command("list")
def list_jobs(limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, json: Json = False) -> None:
    """Newest first."""
    page = run(lambda resources: grant_jobs.list_jobs(resources, cursor=None, limit=limit))
    print_rows([_whole(job) if json else _in_short(job) for job in page.items], as_json=json)


@app.command()
def show(
    job_id: JobId,
    outcome: Annotated[
        str | None, typer.Option(help="Rows that came out so: granted, refused, no_such_user, waiting …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Of rows.")] = 100,
    json: Json = False,
) -> None:
    """How far a job is; with --outcome its rows."""
    if outcome is None:
        job = run(lambda resources: grant_jobs.get_job(resources, job_id))
        print_rows([_whole(job) if json else _in_short(job)], as_json=json)
        return
    checked(RowOutcome, outcome, "--outcome is none that a row can have")

    async def action(resources: Resources) -> Sequence[Any]:
        page = await grant_jobs.list_rows(resources, OPERATOR, job_id, outcome=outcome, limit=limit)
        return page.items

    print_rows([{name: getattr(row, name) for name in row.__slots__} for row in run(action)], as_json=json)


@app.command()
def resume(job_id: JobId) -> None:
    """Goes on with a job that was stopped, or whose process died; whoever asked for it must still have the right."""
    _show_end(run(lambda resources: _work(resources, job_id)))


@app.command()
def cancel(job_id: JobId) -> None:
    """Ends a job; what is done stays."""
    job = run(lambda resources: grant_jobs.cancel_job(resources, OPERATOR, job_id))
    typer.echo(f"cancelled: {_said(job)}")


@dataclass(frozen=True, slots=True)
class Filters:
    """As options; `wanted` reads them."""

    search: str | None
    role: str | None
    active: bool | None
    verified: bool | None
    mfa: bool | None
    since: str | None
    until: str | None

    def wanted(self) -> UserFilter:
        return UserFilter(
            search=as_typed(Search | None, "search", self.search),
            role=self.role,
            active=self.active,
            email_verified=self.verified,
            mfa=self.mfa,
            created_since=read_moment(self.since),
            created_until=read_moment(self.until),
        )


def _ask_and_do(wish: Wish, file: Path | None, filters: Filters, *, dry_run: bool, yes: bool) -> None:
    wanted = filters.wanted()
    if (file is None) is (wanted == UserFilter()):
        stop("Say who: with --file, or with filters such as --search and --role, as `users list` has them.")
    names = None if file is None else _read(file)
    users: Sequence[str] | UserFilter = wanted if names is None else [named.name for named in names]
    foreseen = run(lambda resources: grant_jobs.foresee_job(resources, OPERATOR, wish, users))
    for line in _unknown(names or (), foreseen.unknown):
        typer.echo(line, err=True)
    typer.echo(f"{wish.act} {wish.role}: {_counted(foreseen.counts) or 'nobody is found'}")
    if dry_run or not foreseen.total:
        return
    confirmed(yes, f"This is for {foreseen.total:,} users")

    async def action(resources: Resources) -> JobView:
        job = await grant_jobs.make_job(resources, OPERATOR, wish, users)
        typer.echo(f"job {job.id}")
        return await _work(resources, job.id)

    _show_end(run(action))


async def _work(resources: Resources, job_id: UUID) -> JobView:
    job = await grant_jobs.get_job(resources, job_id)
    with progress_bar() as progress, _interrupted() as interrupted:
        task = progress.add_task(f"{job.act} {job.role}", total=job.total, completed=job.done)

        def show_progress(now: JobView) -> None:
            progress.update(task, completed=now.done)

        try:
            async with _hearing(resources):
                # Nobody waits for checks of this process, so its cores are the only ones that need no rest.
                return await work_on(resources, job_id, on_progress=show_progress, is_stopping=interrupted.is_set)
        except Exception as error:
            if is_store_failure(error):
                typer.echo(
                    f"Cut off; what was done stays. Go on with: auth-service roles jobs resume {job_id}", err=True
                )
            raise


@contextmanager
def _interrupted() -> Iterator[asyncio.Event]:
    """Set by Ctrl-C, which stops the work between two batches; a second one cuts off the batch."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def stopping() -> None:
        event.set()
        loop.remove_signal_handler(signal.SIGINT)

    with suppress(RuntimeError, ValueError):  # no signals but in the main thread
        loop.add_signal_handler(signal.SIGINT, stopping)
    try:
        yield event
    finally:
        with suppress(RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)


@asynccontextmanager
async def _hearing(resources: Resources) -> AsyncIterator[None]:
    """Takes part in the stream of changes, so that after each batch all workers can be asked whether they have heard;
    else each would wait until all leases have run out.
    """
    hearing = asyncio.create_task(resources.coherence.run())
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(resources.coherence.hearing.wait(), HEARING_SECONDS)
        yield
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


def _show_end(job: JobView) -> None:
    if job.state == "done":
        typer.echo(f"done: {_said(job)}")
        if set(job.counts) & {"no_such_user", "refused"}:
            typer.echo(f"Who that was: auth-service roles jobs show {job.id} --outcome no_such_user (or refused)")
    elif job.state == "queued":
        stop(f"stopped: {_said(job)}\nGo on with: auth-service roles jobs resume {job.id}", INTERRUPTED)
    else:
        stop(f"{job.state}: {_said(job)}" + (f"\n{job.failure_detail}" if job.failure_detail else ""), REFUSED)


def _said(job: JobView) -> str:
    return f"{job.done} of {job.total}" + (f" ({_counted(job.counts)})" if job.counts else "")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _unknown(names: Sequence[Named], rows: Sequence[int]) -> Iterator[str]:
    for number in rows[:SHOWN_UNKNOWN]:
        yield f"line {names[number - 1].line}: there is no user {names[number - 1].name}"
    if len(rows) > SHOWN_UNKNOWN:
        yield f"… and {len(rows) - SHOWN_UNKNOWN} more"


def _read(file: Path) -> list[Named]:
    try:
        names = read_names(file, most=grant_jobs.MOST_FOUND)
    except NoNames as error:
        stop(f"{file}: {error}")
    for named in names:
        checked(Name, named.name, f"{file}: line {named.line}: this is no name of a user")
    return names


def _role(name: str) -> str:
    checked(RoleName, name, "There is no such role.")
    return name


def _whole(job: JobView) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__slots__}


def _in_short(job: JobView) -> dict[str, Any]:
    return {
        "id": job.id,
        "what": f"{job.act} {job.role}",
        "asked by": job.asked_by_id,
        "created": job.created_at,
        "state": job.state,
        "done": f"{job.done}/{job.total}",
        "outcomes": _counted(job.counts),
        "failure": job.failure_code,
    }
