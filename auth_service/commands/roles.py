"""auth-service roles …"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auth_service.commands import many_grants
from auth_service.commands.running import find_user, print_rows, read, read_moment, run, stop
from auth_service.core.connections import Resources
from auth_service.permissions.actor import OPERATOR
from auth_service.roles import access_file, access_plan, grants, service
from auth_service.roles.access_plan import Change, Sign
from auth_service.roles.schemas import GrantBody

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


@app.command()
def grant(
    who: Who,
    role: str,
    valid_from: Annotated[str | None, typer.Option(help="2030-01-31T12:00:00Z; default: now")] = None,
    valid_until: Annotated[str | None, typer.Option(help="2030-12-31T12:00:00Z; default: no end")] = None,
    reason: Annotated[str | None, typer.Option()] = None,
) -> None:
    """Grants a role, or changes the dates of the grant that is there."""
    moments = {"valid_from": read_moment(valid_from), "valid_until": read_moment(valid_until)}
    wanted = read(GrantBody, reason=reason, **moments)

    async def action(resources: Resources) -> None:
        user = await find_user(resources, who)
        await grants.grant_role(resources, OPERATOR, user.id, role, **wanted.model_dump())

    run(action)
    typer.echo("granted")


@app.command()
def revoke(who: Who, role: str) -> None:
    """Takes a role away; refused for the last superuser."""

    async def action(resources: Resources) -> None:
        user = await find_user(resources, who)
        await grants.revoke_role(resources, OPERATOR, user.id, role)

    run(action)
    typer.echo("revoked")


@app.command()
def export() -> None:
    """Writes the catalogue of permissions and all roles but built-in ones as YAML."""
    sys.stdout.write(access_file.write(run(access_plan.export)))


@app.command()
def plan(file: AccessPath, prune: Prune = False) -> None:
    """Shows what `apply` would do. Exit code 0: nothing, 4: something."""
    wanted = _read(file)
    changes = run(lambda resources: access_plan.plan(resources, OPERATOR, wanted, prune=prune))
    _show(changes)
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


def _show(changes: Sequence[Change]) -> None:
    for change in changes:
        typer.echo(f"{change.sign} {change.what} {change.name}")
        for line in access_plan.describe(change):
            typer.echo(f"    {line}")
    counts = [sum(change.sign is sign for change in changes) for sign in Sign]
    typer.echo("{} to add, {} to change, {} to delete".format(*counts) if changes else "nothing to change")
