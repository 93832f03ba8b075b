"""`auth-service serve`, by itself: a worker weighs 2 MiB less without the other commands."""

from contextlib import nullcontext
from typing import Annotated

import typer

from auth_service.commands.running import read_settings
from auth_service.core.telemetry.metrics import shared_by_workers

app = typer.Typer(pretty_exceptions_enable=False)


@app.callback()
def _of_several() -> None:
    """With only one command typer would not want its name."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Default: HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Default: PORT")] = None,
    workers: Annotated[int | None, typer.Option(help="Default: WORKERS")] = None,
) -> None:
    """Answers requests; Postgres and Redis must run and be migrated."""
    from auth_service.serving import serve as run_server

    settings = read_settings()
    count = workers or settings.workers
    with shared_by_workers() if count > 1 else nullcontext():
        run_server(host or settings.host, port or settings.port, count, settings.drain_seconds)
