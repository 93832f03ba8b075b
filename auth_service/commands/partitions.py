"""auth-service partitions …"""

from typing import Annotated

import typer

from auth_service.commands.running import print_rows, run
from auth_service.core.connections import Resources
from auth_service.sessions import partition_state
from auth_service.sessions.partition_state import Partition
from auth_service.sessions.partition_upkeep import drop_old_months, ensure_partitions, list_old_months

app = typer.Typer(help="The monthly partitions of the login history.", no_args_is_help=True)


@app.command("list")
def list_partitions(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What there is, with Postgres' estimate of the rows."""

    async def action(resources: Resources) -> list[Partition]:
        async with resources.db() as session:
            return await partition_state.list_partitions(session)

    rows = [{"name": p.name, "bounds": p.bounds, "rows": p.rows, "bytes": p.bytes} for p in run(action)]
    print_rows(rows, as_json=json)


@app.command()
def ensure(
    months: Annotated[
        int | None, typer.Option(min=1, max=60, help="Months ahead; default: HISTORY_MONTHS_AHEAD")
    ] = None,
) -> None:
    """Makes the missing ones, and moves into them what the default partition took meanwhile."""
    done = run(lambda resources: ensure_partitions(resources, months))
    typer.echo(f"made {', '.join(done.made)}" if done.made else "nothing is missing")
    if done.moved:
        typer.echo(f"moved {done.moved} rows out of the default partition")


@app.command("drop-old")
def drop_old(yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False) -> None:
    """Drops the months that are older than HISTORY_MONTHS_KEPT; without --yes it only says which."""
    names = run(drop_old_months if yes else list_old_months)
    verb = "dropped" if yes else "would drop"
    typer.echo(f"{verb} {', '.join(names)}" if names else "nothing is old enough")
    if names and not yes:
        typer.echo("This cannot be undone; add --yes.")
