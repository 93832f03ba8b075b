"""auth-service roles …"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auth_service.admin import grants as grant_lists
from auth_service.admin.grants_schemas import GrantsAnswer, GrantsQuery, ListedGrantAnswer
from auth_service.commands import many_grants
from auth_service.commands.csv_file import write_csv
from auth_service.commands.effects import DryRun, Json, make_change, say, tried
from auth_service.commands.running import (
    ToCsv,
    confirmed,
    find_user,
    page_size,
    print_page,
    print_rows,
    read,
    read_moment,
    run,
    stop,
)
from auth_service.core.connections import Resources
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.what_if.schemas import DeletionWhatIf, as_json
from auth_service.permissions.what_if.trial import Trial
from auth_service.roles import access_file, access_plan, grants, service
from auth_service.roles.access_plan import Change, Sign
from auth_service.roles.grant_list import GrantState
from auth_service.roles.role import NO_LINKS, GrantView, Links, RoleSpec, RoleView
from auth_service.roles.schemas import (
    GrantBody,
    GrantWhatIf,
    PlannedChange,
    PlanWhatIf,
    RoleBody,
    RolePatch,
    RoleWhatIf,
)

app = typer.Typer(help="Roles, and who has them.", no_args_is_help=True)
app.command("grant-many")(many_grants.grant_many)
app.command("revoke-many")(many_grants.revoke_many)
app.add_typer(many_grants.app, name="jobs")
CHANGES = 4  # the exit code of a plan that is not empty: 1 to 3 are refusals
AccessPath = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="As `export` writes it.")]
Prune = Annotated[bool, typer.Option("--prune", help="Delete what the file does not have.")]
Who = Annotated[str, typer.Argument(help="Id, login or e-mail address.")]


@app.command("list")
def list_roles(
    user: Annotated[str | None, typer.Option(help="Only the grants of this user.")] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """All roles, or one user's grants."""

    async def action(resources: Resources) -> list[dict[str, object]]:
        if user is not None:
            found = await find_user(resources, user)
            return [
                {"role": g.role, "valid_from": g.valid_from, "valid_until": g.valid_until, "active": g.active}
                for g in await grants.list_grants(resources, found.id)
            ]
        return [
            {
                "name": role.name,
                "title": role.title,
                "parents": ", ".join(role.parents),
                "permissions": ", ".join(role.permissions),
                "sessions": role.session_limit,
            }
            for role in await service.list_roles(resources)
        ]

    print_rows(run(action), as_json=json)


@app.command("grants")
def list_grants(  # noqa: PLR0917  typer makes options of them
    role: Annotated[str | None, typer.Option(help="Grants of this role itself.")] = None,
    user: Annotated[str | None, typer.Option(help="By id, login or e-mail address.")] = None,
    granted_by: Annotated[str | None, typer.Option(help="The same, of who granted it.")] = None,
    state: Annotated[GrantState | None, typer.Option()] = None,
    ends_since: Annotated[str | None, typer.Option(help="Ends at that time or later: 2030-01-31T12:00:00Z")] = None,
    ends_until: Annotated[str | None, typer.Option(help="Ends before that time.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=100, help="Default: 20")] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
    csv: ToCsv = None,
) -> None:
    """Who has which role, from whom and until when; also what has ended or not begun."""
    query = read(
        GrantsQuery,
        role=role,
        user=user,
        granted_by=granted_by,
        state=state,
        ends_since=read_moment(ends_since),
        ends_until=read_moment(ends_until),
        limit=page_size(limit, csv, json=json),
    )

    async def ask(resources: Resources) -> GrantsAnswer | None:
        asked = await grant_lists.ask_for_grants(resources, query)
        if csv is not None:
            await write_csv(csv, grant_lists.lines_of(asked), asked.count)
            return None
        return GrantsAnswer.model_validate(await grant_lists.list_grants(asked, query))

    found = run(ask)
    if found is not None:
        rows = [item.model_dump() if json else _in_short(item) for item in found.items]
        print_page(rows, as_json=json, more=found.next_cursor is not None)


@app.command()
def create(  # noqa: PLR0917  typer makes options of them
    name: str,
    title: Annotated[str, typer.Option(help="For people.")],
    description: Annotated[str, typer.Option()] = "",
    permission: Annotated[list[str] | None, typer.Option(help="A code or resource:*; repeat it for more.")] = None,
    parent: Annotated[list[str] | None, typer.Option(help="Repeat it for more.")] = None,
    session_limit: Annotated[int | None, typer.Option(help="How many sessions its holders may have.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Makes a role."""
    parts = {"permissions": permission or [], "parents": parent or [], "session_limit": session_limit}
    wanted = read(RoleBody, name=name, title=title, description=description, **parts)
    spec = RoleSpec(**wanted.model_dump(exclude={"name"}))

    async def action(resources: Resources, trial: Trial | None) -> RoleView:
        return await service.create_role(resources, OPERATOR, wanted.name, spec, trial=trial)

    make_change(action, RoleWhatIf, done="created", dry_run=dry_run, json=json)


@app.command()
def update(  # noqa: PLR0917  typer makes options of them
    name: str,
    title: Annotated[str | None, typer.Option(help="For people.")] = None,
    description: Annotated[str | None, typer.Option()] = None,
    add: Annotated[list[str] | None, typer.Option(help="A permission; repeat it for more.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A permission; repeat it for more.")] = None,
    add_parent: Annotated[list[str] | None, typer.Option(help="Repeat it for more.")] = None,
    remove_parent: Annotated[list[str] | None, typer.Option(help="Repeat it for more.")] = None,
    session_limit: Annotated[str | None, typer.Option(help="A number, or none.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Changes what is given, and leaves the rest."""
    parts: dict[str, object] = {"title": title, "description": description}
    parts = {name: value for name, value in parts.items() if value is not None}
    if session_limit is not None:
        limit = int(session_limit) if session_limit.isdecimal() else session_limit
        parts["session_limit"] = None if limit == "none" else limit
    added = read(RolePatch, permissions=add or [], parents=add_parent or [])
    removed = read(RolePatch, permissions=remove or [], parents=remove_parent or [])
    links = [Links(tuple(one.permissions or ()), tuple(one.parents or ())) for one in (added, removed)]
    if not parts and links == [NO_LINKS, NO_LINKS]:
        stop("Nothing to change: `--help` lists what can be given.")
    wanted = read(RolePatch, **parts).model_dump(include=set(parts))

    async def action(resources: Resources, trial: Trial | None) -> RoleView:
        return await service.update_role(
            resources, OPERATOR, name, **wanted, added=links[0], removed=links[1], trial=trial
        )

    make_change(action, RoleWhatIf, done="updated", dry_run=dry_run, json=json)


@app.command()
def delete(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Deletes a role that nobody has."""
    confirmed(yes or dry_run, f"The role {name} is deleted")

    async def action(resources: Resources, trial: Trial | None) -> None:
        await service.delete_role(resources, OPERATOR, name, trial=trial)

    make_change(action, DeletionWhatIf, done="deleted", dry_run=dry_run, json=json)


@app.command()
def grant(  # noqa: PLR0917  typer makes options of them
    who: Who,
    role: str,
    valid_from: Annotated[str | None, typer.Option(help="2030-01-31T12:00:00Z; default: now")] = None,
    valid_until: Annotated[str | None, typer.Option(help="2030-12-31T12:00:00Z; default: no end")] = None,
    reason: Annotated[str | None, typer.Option()] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Grants a role, or changes the dates of the grant that is there."""
    moments = {"valid_from": read_moment(valid_from), "valid_until": read_moment(valid_until)}
    wanted = read(GrantBody, reason=reason, **moments)

    async def action(resources: Resources, trial: Trial | None) -> GrantView:
        user = await find_user(resources, who)
        return await grants.grant_role(resources, OPERATOR, user.id, role, **wanted.model_dump(), trial=trial)

    make_change(action, GrantWhatIf, done="granted", dry_run=dry_run, json=json)


@app.command()
def revoke(who: Who, role: str, dry_run: DryRun = False, json: Json = False) -> None:
    """Takes a role away; refused for the last superuser."""

    async def action(resources: Resources, trial: Trial | None) -> None:
        user = await find_user(resources, who)
        await grants.revoke_role(resources, OPERATOR, user.id, role, trial=trial)

    make_change(action, DeletionWhatIf, done="revoked", dry_run=dry_run, json=json)


@app.command()
def export() -> None:
    """Writes the catalogue of permissions and all roles but built-in ones as YAML."""
    sys.stdout.write(access_file.write(run(access_plan.export)))


@app.command()
def plan(
    file: AccessPath,
    prune: Prune = False,
    json: Annotated[bool, typer.Option("--json", help="What people gain and lose, as JSON.")] = False,
) -> None:
    """Shows what `apply` would do, and to whom. Exit code 0: nothing, 4: something."""
    wanted = _read(file)

    async def action(resources: Resources, trial: Trial) -> Sequence[Change]:
        return await access_plan.plan(resources, OPERATOR, wanted, prune=prune, trial=trial)

    changes, effect = run(lambda resources: tried(resources, action))
    if json:
        sys.stdout.write(as_json(PlanWhatIf, effect, [_as_facts(change) for change in changes]).decode() + "\n")
    else:
        _show(changes)
        if changes:
            say(effect)
    raise typer.Exit(CHANGES if changes else 0)


@app.command()
def apply(file: AccessPath, prune: Prune = False) -> None:
    """Makes permissions and roles as the file has them, all or nothing; shows what it did."""
    wanted = _read(file)
    _show(run(lambda resources: access_plan.apply(resources, OPERATOR, wanted, prune=prune)))


def _in_short(grant: ListedGrantAnswer) -> dict[str, object]:
    return {
        "login": grant.user.login,
        "role": grant.role,
        "state": grant.state.value,
        "from": grant.valid_from,
        "until": grant.valid_until,
        "granted by": grant.granted_by and grant.granted_by.login,
    }


def _read(file: Path) -> access_file.AccessFile:
    try:
        with file.open("rb") as opened:
            return access_file.read(opened.read(access_file.MOST_BYTES + 1))
    except access_file.BadAccessFile as error:
        stop("\n".join(f"{file}: {line}" for line in error.detail.splitlines()))


def _as_facts(change: Change) -> PlannedChange:
    return PlannedChange(
        change=change.sign, what=change.what, name=change.name, differences=access_plan.describe(change)
    )


def _show(changes: Sequence[Change]) -> None:
    for change in changes:
        typer.echo(f"{change.sign} {change.what} {change.name}")
        for line in access_plan.describe(change):
            typer.echo(f"    {line}")
    counts = [sum(change.sign is sign for change in changes) for sign in Sign]
    typer.echo("{} to add, {} to change, {} to delete".format(*counts) if changes else "nothing to change")
