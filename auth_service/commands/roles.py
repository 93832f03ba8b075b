"""auth-service roles …"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auth_service.commands.effects import DryRun, Json, make_change, say, tried
from auth_service.commands.running import confirmed, find_user, print_rows, read, read_moment, run, stop
from auth_service.core.connections import Resources
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.what_if.schemas import DeletionWhatIf, as_json
from auth_service.permissions.what_if.trial import Trial
from auth_service.roles import access_file, access_plan, grants, service
from auth_service.roles.access_plan import Change, Sign
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
