"""A transaction of another worker that is held open, so that a race goes the same way each time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.support.api import Api


@asynccontextmanager
async def unfinished(api: Api, statement: str, *args: Any) -> AsyncIterator[asyncpg.Connection]:
    """Another worker's transaction that has done this much, and commits when the block ends."""
    connection = await asyncpg.connect(api.resources.settings.direct_address.dsn)
    try:
        async with connection.transaction():
            await connection.execute(statement, *args)
            yield connection
    finally:
        await connection.close()


async def waits_for_a_lock(api: Api, count: int = 1) -> None:
    """Returns once so many statements on this database wait for other transactions; they get their turn in order."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while await api.resources.hot.fetchval(waiting) < count:  # noqa: ASYNC110  Postgres has no event for it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def user_locked(api: Api, user_id: Any) -> AsyncIterator[None]:
    """Whatever needs the user's row waits until the block ends."""
    async with unfinished(api, "SELECT FROM users WHERE id = $1 FOR UPDATE", user_id):
        yield
