"""auth-service permissions …"""

from typing import Annotated

import typer

from auth_service.admin import holders
from auth_service.admin.csv_list import csv_lines
from auth_service.admin.holders_schemas import HolderAnswer, HoldersAnswer, HoldersQuery
from auth_service.commands.csv_file import write_csv
from auth_service.commands.running import ToCsv, page_size, print_page, read, read_moment, run
from auth_service.core.connections import Resources

app = typer.Typer(help="Permissions, and who has them.", no_args_is_help=True)


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
            await write_csv(csv, csv_lines(holders.COLUMNS, asked.page, holders.rows_of), asked.count)
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
