"""Runs the migrations over asyncpg on DATABASE_URL, one process at a time."""

import asyncio

from sqlalchemy import Connection, text

from alembic import context
from auth_service.config import load_settings
from auth_service.core.postgres import Primary, open_engine
from auth_service.models import Base

MIGRATION_LOCK = 0x6D696772  # "migr"


def include_object(item: object, name: str | None, kind: str, _reflected: bool, _compared: object) -> bool:
    """The monthly partitions are made by the service, not by migrations."""
    return not (kind in {"table", "index"} and (name or "").startswith("login_history_"))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=include_object,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_online() -> None:
    settings = context.config.attributes.get("settings") or load_settings()
    primary = Primary(settings.asyncpg_dsn, settings.database_hosts)
    # A migration that cannot get its lock gives up rather than have all traffic queue behind it (REL-8).
    engine = open_engine(primary, {"server_settings": {"lock_timeout": "3000"}}, ping_seconds=10)
    async with engine.connect() as connection:
        await connection.execute(text("SET lock_timeout = 0"))
        await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        await connection.execute(text("SET lock_timeout = 3000"))
        await connection.commit()
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


asyncio.run(run_online())
