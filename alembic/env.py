"""Runs the migrations over asyncpg on DATABASE_URL, one process at a time."""

import asyncio

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from alembic import context
from auth_service.config import load_settings
from auth_service.core.migrating import migrate_patiently, wait_for_turn
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
    url = context.config.attributes.get("url") or load_settings().sqlalchemy_url
    engine = create_async_engine(url, connect_args={"server_settings": {"application_name": "auth-service migrate"}})
    try:
        async with engine.connect() as connection:
            await wait_for_turn(connection)
            await migrate_patiently(engine, connection, run)
    finally:
        await engine.dispose()


asyncio.run(run_online())
