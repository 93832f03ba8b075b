"""The `auth-service` command: dev, migrate, seed-users here, all others in `commands`."""

from pathlib import Path
from typing import Annotated

import typer

from auth_service.commands import audit, keys, partitions, permissions, roles, services, users
from auth_service.commands.doctor import doctor
from auth_service.commands.explain import explain
from auth_service.commands.relay import relay
from auth_service.commands.restore import after_restore
from auth_service.commands.running import read_settings, run, stop
from auth_service.commands.serve import serve

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="The cinema's auth service.")
app.add_typer(users.app, name="users")
app.add_typer(roles.app, name="roles")
app.add_typer(permissions.app, name="permissions")
app.add_typer(services.app, name="services")
app.add_typer(keys.app, name="keys")
app.add_typer(partitions.app, name="partitions")
app.add_typer(audit.app, name="audit")
app.command()(serve)
app.command()(relay)
app.command()(doctor)
app.command()(explain)
app.command()(after_restore)


def main() -> None:
    app()


@app.command()
def dev(
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8000,
    data: Annotated[Path, typer.Option(help="Where Postgres and Redis keep their data.")] = Path(".dev"),
    workers: Annotated[int, typer.Option()] = 1,
) -> None:
    """Everything on this machine: Postgres, Redis, migrations, demo data, the service."""
    from auth_service.dev import run_dev

    raise typer.Exit(run_dev(host=host, port=port, data_dir=data, workers=workers))


@app.command()
def migrate() -> None:
    """Brings the schema to the newest revision and makes the login history's partitions."""
    from auth_service.commands.schema import migrate as upgrade

    read_settings()
    made = upgrade()
    typer.echo(f"migrated, {len(made)} new partitions")


@app.command("seed-users")
def seed_users(
    force: Annotated[bool, typer.Option("--force", help="Reset the demo accounts that exist.")] = False,
) -> None:
    """Makes the demo accounts; refused in production."""
    from auth_service.seed import DEMO_USERS
    from auth_service.seed import seed_users as seed

    made = run(lambda resources: seed(resources, force=force))
    if not made:
        stop("the demo accounts are there already", 0)
    for demo in DEMO_USERS:
        if demo.login in made:
            typer.echo(f"{demo.login:<10} {demo.email:<28} {demo.password:<26} {demo.role}")
