"""Runs the migrations over asyncpg on DATABASE_DIRECT_URL or DATABASE_URL, one process at a time."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from auth_service.config import load_settings
from auth_service.core.stores.migrating import migrate_patiently, wait_for_turn
from auth_service.core.stores.postgres import Primary, open_engine
from auth_service.models import Base


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
    primary = Primary(settings.direct_address)
    engine = open_engine(primary, {"server_settings": {"application_name": "auth-service migrate"}}, ping_seconds=10)
    try:
        async with engine.connect() as connection:
            await wait_for_turn(connection)
            await migrate_patiently(engine, connection, run)
    finally:
        await engine.dispose()


asyncio.run(run_online())
