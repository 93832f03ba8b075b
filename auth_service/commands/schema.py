"""Migrations, run from the folder that holds alembic.ini."""

from pathlib import Path

from alembic.config import Config

from alembic import command
from auth_service.commands.running import errors_in_words, read_settings, run, stop
from auth_service.core.connections import Resources
from auth_service.core.stores.migrating import StillLocked
from auth_service.core.telemetry.log import configure_logging
from auth_service.sessions.partition_upkeep import ensure_partitions
from auth_service.users.look_alikes import add_missing


def alembic_config() -> Config:
    """Of the checkout the package lies in, or of the current folder (as in the container)."""
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / "alembic.ini").exists():
            return Config(str(folder / "alembic.ini"))
    stop("alembic.ini was not found; run this in the project's folder.")


def migrate() -> list[str]:
    """To the newest revision, then what logins look like, and the partitions of the coming months; the names of
    those made.
    """
    settings = read_settings()
    configure_logging(settings)
    with errors_in_words(settings):
        try:
            command.upgrade(alembic_config(), "head")
        except StillLocked as error:
            stop(str(error))
    return run(_complete)


async def _complete(resources: Resources) -> list[str]:
    """What no migration can do in SQL."""
    await add_missing(resources)
    return (await ensure_partitions(resources)).made
