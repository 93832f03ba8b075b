"""auth-service audit …"""

import re
import sys
from typing import Annotated

import orjson
import typer

from auth_service.admin.trail_filter import read_trail
from auth_service.admin.trail_people import people_of_row
from auth_service.admin.trail_people_schemas import AuditPeopleAnswer
from auth_service.audit import service
from auth_service.audit.schemas import AuditEntry, AuditQuery
from auth_service.audit.service import Verdict
from auth_service.audit.words import moment
from auth_service.commands.running import print_rows, progress_bar, read, read_moment, run, stop
from auth_service.core.connections import Resources
from auth_service.permissions.what_if.schemas import PermissionSpan

app = typer.Typer(help="What admins and operators did.", no_args_is_help=True)
_HASH = re.compile(r"[0-9a-f]{64}")


@app.command("list")
def list_entries(  # noqa: PLR0917  typer makes options of them
    actor: Annotated[
        str | None, typer.Option(help="A user or service by any of its names, an operator, or system.")
    ] = None,
    action: Annotated[list[str] | None, typer.Option(help="Such as role.granted, or role.*; may be repeated.")] = None,
    target: Annotated[
        str | None, typer.Option(help="A user or service by any of its names, a role, a permission, …")
    ] = None,
    since: Annotated[str | None, typer.Option(help="At that time or later: 2030-01-31T12:00:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="Before that time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    json: Annotated[bool, typer.Option("--json", help="With before, after, request id, address and hash.")] = False,
) -> None:
    """Newest first."""
    moments = {"since": read_moment(since), "until": read_moment(until)}
    query = read(AuditQuery, actor=actor, action=action or [], target=target, limit=limit, **moments)

    entries = run(lambda resources: read_trail(resources, query)).items
    print_rows([entry.model_dump() if json else _in_short(entry) for entry in entries], as_json=json)


@app.command()
def people(
    row: Annotated[int, typer.Argument(min=1, help="Its number, as `audit list` shows it.")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    json: Annotated[bool, typer.Option("--json", help="As GET /admin/audit/{row}/people answers.")] = False,
) -> None:
    """Who could do more right after that change, and who less, by the grants of then."""

    async def ask(resources: Resources) -> AuditPeopleAnswer:
        return AuditPeopleAnswer.model_validate(await people_of_row(resources, row, cursor=None, limit=limit))

    found = run(ask)
    if json:
        sys.stdout.write(found.model_dump_json(by_alias=True, indent=2) + "\n")
        return
    typer.echo("\n    ".join([f"{found.action} on {moment(found.at)}", *found.changes]))
    typer.echo(f"{found.gains.users} gained, {found.loses.users} lost")
    for person in found.people:
        typer.echo(person.login)
        for sign, spans in (("+", person.gains), ("\u2212", person.loses)):
            for span in spans:
                typer.echo(f"    {sign}{span.permission}{_when(span)}")
    if found.next_cursor is not None:
        typer.echo(f"and more: only the first {limit} are shown")


@app.command()
def head() -> None:
    """Number and hash of the newest row: keep them where nobody who can change the database can."""
    number, digest = run(service.read_head)
    typer.echo(f"{number} {digest}")


@app.command()
def verify(
    expect_head: Annotated[
        str | None, typer.Option("--expect-head", help="A hash that `audit head` gave: that row must still be there.")
    ] = None,
) -> None:
    """Computes every hash anew; exit code 1 names the first row that was altered, removed, moved or put in."""
    if expect_head is not None and not _HASH.fullmatch(expect_head):
        stop("--expect-head takes the 64 hexadecimal digits of `auth-service audit head`")

    async def action(resources: Resources) -> Verdict:
        with progress_bar() as progress:
            task = progress.add_task("verifying", total=await service.count_entries(resources))
            return await service.verify(
                resources, expected_head=expect_head, on_progress=lambda count: progress.advance(task, count)
            )

    verdict = run(action)
    if verdict.problem is not None:
        stop(f"{verdict.problem}\n{verdict.rows} rows before it are whole")
    typer.echo(f"{verdict.rows} rows are whole; the head is {verdict.head}")


def _when(span: PermissionSpan) -> str:
    begins = "" if span.starts is None else f" from {moment(span.starts)}"
    return begins if span.ends is None else f"{begins} until {moment(span.ends)}"


def _in_short(entry: AuditEntry) -> dict[str, object]:
    target = entry.target_name or entry.target_id
    done = [f"{entry.action} {target}" if target else entry.action, *entry.changes]
    if entry.reason:
        done.append(f"reason: {orjson.dumps(entry.reason).decode()}")
    return {
        "row": entry.id,
        "at": entry.at,
        "who": f"{entry.actor_kind}\n{entry.actor_name or entry.actor_id}",
        "did what": "\n".join(done),
    }
