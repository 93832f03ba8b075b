"""Who keeps the login history's partitions, and when: each worker by the hour, and the operator's commands (REL-1)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from auth_service.core.connections import CLOSE_SECONDS, Resources
from auth_service.core.errors import Conflict
from auth_service.locks import Advisory, take, try_take
from auth_service.sessions.partitions import Connection, Ensured, HistoryInUse, drop_expired, ensure, list_expired

log = structlog.get_logger(__name__)
LONGEST_STATEMENT_SECONDS = 3600.0


class PostgresRefuses(Conflict):
    """Nothing that another try would mend: a table in the way, a right that is missing."""


_REFUSALS = (asyncpg.DuplicateTableError, asyncpg.InvalidObjectDefinitionError, asyncpg.InsufficientPrivilegeError)


async def keep_up(resources: Resources) -> None:
    """What each worker does every hour: one of them does it all, the others skip it. What is refused waits an hour."""
    try:
        async with _connected(resources) as connection:
            if await try_take(connection, Advisory.HISTORY_PARTITIONS):
                done = await ensure(connection, resources.clock(), resources.settings.history_months_ahead)
                if done.made:
                    log.info("history_partitions_made", partitions=done.made)
                if done.moved:
                    log.info("history_rows_moved", rows=done.moved)
                dropped = await drop_expired(connection, resources.clock(), resources.settings.history_months_kept)
                if dropped:
                    log.info("history_months_dropped", partitions=dropped)
    except (HistoryInUse, PostgresRefuses) as error:
        log.warning("history_upkeep_gave_up", why=error.detail)


async def ensure_partitions(resources: Resources, months_ahead: int | None = None) -> Ensured:
    """Waits for others who are at it. Raises HistoryInUse or PostgresRefuses."""
    async with _connected(resources) as connection:
        await take(connection, Advisory.HISTORY_PARTITIONS)
        return await ensure(connection, resources.clock(), months_ahead or resources.settings.history_months_ahead)


async def drop_old_months(resources: Resources) -> list[str]:
    """The names of those that were dropped. Raises HistoryInUse or PostgresRefuses."""
    async with _connected(resources) as connection:
        await take(connection, Advisory.HISTORY_PARTITIONS)
        return await drop_expired(connection, resources.clock(), resources.settings.history_months_kept)


async def list_old_months(resources: Resources) -> list[str]:
    """What `drop_old_months` would drop now."""
    async with _connected(resources) as connection:
        return await list_expired(connection, resources.clock(), resources.settings.history_months_kept)


@asynccontextmanager
async def _connected(resources: Resources) -> AsyncIterator[Connection]:
    """A connection of its own: the pools' give up after DATABASE_TIMEOUT_SECONDS, which a copy may exceed."""
    connection = await resources.direct.connect(
        timeout=resources.settings.database_timeout_seconds,
        command_timeout=LONGEST_STATEMENT_SECONDS,
        statement_cache_size=0,
        server_settings={
            "application_name": "auth-service partitions",
            "statement_timeout": str(round(LONGEST_STATEMENT_SECONDS * 1000)),
            "idle_in_transaction_session_timeout": "2000",  # a frozen worker must not hold the history
            "timezone": "UTC",
        },
    )
    try:
        yield connection
    except _REFUSALS as error:
        raise PostgresRefuses(f"Postgres refuses: {error}.") from error
    finally:
        # Also in the middle of a statement, at a shutdown; closing gives the advisory lock back.
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_SECONDS)
