"""The migrations that came with the package, run from wherever the command is."""

from pathlib import Path

from alembic.config import Config

from alembic import command
from auth_service.commands.running import errors_in_words, read_settings, run, stop
from auth_service.core.connections import Resources
from auth_service.core.stores.migrating import StillLocked
from auth_service.core.telemetry.log import configure_logging
from auth_service.sessions.partition_upkeep import ensure_partitions
from auth_service.users.look_alikes import add_missing

_IN_A_WHEEL = Path(__file__).parents[1] / "migrations"  # where setup.py has put what is alembic/ in the repository
MIGRATIONS = _IN_A_WHEEL if _IN_A_WHEEL.is_dir() else Path(__file__).parents[2] / "alembic"


def alembic_config() -> Config:
    """alembic.ini is for those who write migrations: a wheel has none."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # ConfigParser's escape
    return config


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
