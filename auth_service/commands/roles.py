"""auth-service roles …"""

from typing import Annotated

import typer

from auth_service.commands.running import find_user, print_rows, read_moment, run
from auth_service.core.connections import Resources
from auth_service.permissions.actor import OPERATOR
from auth_service.roles import service

app = typer.Typer(help="Roles, and who has them.", no_args_is_help=True)
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
                for g in await service.list_grants(resources, found.id)
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
    start, end = read_moment(valid_from), read_moment(valid_until)

    async def action(resources: Resources) -> None:
        user = await find_user(resources, who)
        await service.grant_role(resources, OPERATOR, user.id, role, valid_from=start, valid_until=end, reason=reason)

    run(action)
    typer.echo("granted")


@app.command()
def revoke(who: Who, role: str) -> None:
    """Takes a role away; refused for the last superuser."""

    async def action(resources: Resources) -> None:
        user = await find_user(resources, who)
        await service.revoke_role(resources, OPERATOR, user.id, role)

    run(action)
    typer.echo("revoked")
