"""auth-service permissions …"""

from typing import Annotated

import typer

from auth_service.admin import holders
from auth_service.admin.holders_schemas import HolderAnswer, HoldersAnswer, HoldersQuery
from auth_service.commands.csv_file import write_csv
from auth_service.commands.effects import DryRun, Json, make_change
from auth_service.commands.running import (
    ToCsv,
    confirmed,
    page_size,
    print_page,
    print_rows,
    read,
    read_moment,
    run,
    stop,
)
from auth_service.core.connections import Resources
from auth_service.models import Permission
from auth_service.permissions import catalogue
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.catalogue import PermissionSpec
from auth_service.permissions.schemas import PermissionBody, PermissionPatch
from auth_service.permissions.what_if.schemas import DeletionWhatIf, PermissionWhatIf
from auth_service.permissions.what_if.trial import Trial

app = typer.Typer(help="The catalogue of permissions, and who has them.", no_args_is_help=True)
Title = Annotated[str | None, typer.Option(help="For people.")]
Description = Annotated[str | None, typer.Option()]


@app.command("list")
def list_permissions(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """All of the catalogue, by code."""

    def row(permission: Permission) -> dict[str, object]:
        return {"code": permission.code, "title": permission.title, "step_up": permission.step_up}

    print_rows([row(permission) for permission in run(catalogue.list_permissions)], as_json=json)


@app.command()
def create(  # noqa: PLR0917  typer makes options of them
    code: str,
    title: Annotated[str, typer.Option(help="For people.")],
    description: Annotated[str, typer.Option()] = "",
    step_up: Annotated[bool, typer.Option("--step-up", help="It asks for a second factor.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Adds a permission; who has a wildcard that covers it has it at once."""
    wanted = read(PermissionBody, code=code, title=title, description=description, step_up=step_up)
    spec = PermissionSpec(**wanted.model_dump(exclude={"code"}))

    async def action(resources: Resources, trial: Trial | None) -> Permission:
        return await catalogue.create_permission(resources, OPERATOR, wanted.code, spec, trial=trial)

    make_change(action, PermissionWhatIf, done="created", dry_run=dry_run, json=json)


@app.command()
def update(  # noqa: PLR0917  typer makes options of them
    code: str,
    title: Title = None,
    description: Description = None,
    step_up: Annotated[bool | None, typer.Option("--step-up/--no-step-up", help="Ask for a second factor.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Changes what is given."""
    if title is None and description is None and step_up is None:
        stop("Nothing to change: give --title, --description, --step-up or --no-step-up.")
    wanted = read(PermissionPatch, title=title, description=description, step_up=step_up)

    async def action(resources: Resources, trial: Trial | None) -> Permission:
        return await catalogue.update_permission(resources, OPERATOR, code, **wanted.model_dump(), trial=trial)

    make_change(action, PermissionWhatIf, done="updated", dry_run=dry_run, json=json)


@app.command()
def delete(
    code: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Takes a permission out of the catalogue; refused while a role or a service names it."""
    confirmed(yes or dry_run, f"This takes {code} from everybody who has it by a wildcard")

    async def action(resources: Resources, trial: Trial | None) -> None:
        await catalogue.delete_permission(resources, OPERATOR, code, trial=trial)

    make_change(action, DeletionWhatIf, done="deleted", dry_run=dry_run, json=json)


@app.command("users")
def list_permission_users(  # noqa: PLR0917  typer makes options of them
    code: Annotated[str, typer.Argument(help="Such as films:watch")],
    at: Annotated[
        str | None, typer.Option(help="Who will have it then, or had: 2030-01-31T12:00:00Z; default: now")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Only what grants of this role give.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=100, help="Default: 20")] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
    csv: ToCsv = None,
) -> None:
    """Active users who have a permission, and how: wildcards and inherited roles count."""
    query = read(HoldersQuery, at=read_moment(at), role=role, limit=page_size(limit, csv, json=json))

    async def ask(resources: Resources) -> HoldersAnswer | None:
        asked = await holders.who_has(resources, code, query)
        if csv is not None:
            await write_csv(csv, holders.lines_of(asked), asked.count)
            return None
        return HoldersAnswer.model_validate(await holders.list_holders(asked, query))

    found = run(ask)
    if found is not None:
        rows = [item.model_dump() if json else _in_short(item) for item in found.items]
        print_page(rows, as_json=json, more=found.next_cursor is not None)


def _in_short(holder: HolderAnswer) -> dict[str, object]:
    ways = []
    for way in holder.ways:
        via = "" if way.via == way.role else f" by {way.via}"
        until = "" if way.valid_until is None else f" until {way.valid_until.isoformat(timespec='seconds')}"
        ways.append(f"{way.role}{via} ({way.pattern}){until}")
    return {"id": holder.id, "login, e-mail": f"{holder.login}\n{holder.email}", "how": "\n".join(ways)}
