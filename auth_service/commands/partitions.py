"""auth-service partitions …"""

from typing import Annotated

import typer

from auth_service.commands.running import print_rows, run
from auth_service.core.connections import Resources
from auth_service.sessions import partitions
from auth_service.sessions.partitions import Partition

app = typer.Typer(help="The monthly partitions of the login history.", no_args_is_help=True)


@app.command("list")
def list_partitions(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What there is, with Postgres' estimate of the rows."""

    async def action(resources: Resources) -> list[Partition]:
        async with resources.db() as session:
            return await partitions.list_partitions(session)

    rows = [{"name": p.name, "bounds": p.bounds, "rows": p.rows, "bytes": p.bytes} for p in run(action)]
    print_rows(rows, as_json=json)


@app.command()
def ensure(
    months: Annotated[
        int | None, typer.Option(min=1, max=60, help="Months ahead; default: HISTORY_MONTHS_AHEAD")
    ] = None,
) -> None:
    """Makes the missing ones, and moves into them what the default partition took meanwhile."""
    made = run(lambda resources: make(resources, months))
    typer.echo(f"made {', '.join(made)}" if made else "nothing is missing")


async def make(resources: Resources, months: int | None = None) -> list[str]:
    ahead = months or resources.settings.history_months_ahead
    async with resources.db.begin() as session:
        return await partitions.ensure_partitions(session, resources.clock(), ahead)
