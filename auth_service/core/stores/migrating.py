"""What migrations need so that nobody waits for them (REL-8): short locks, asked for again, and two more operations.

Migrations use them as `op.create_index_concurrently(…)` and `op.update_in_batches(…)`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth_service.locks import TRY_MIGRATIONS

log = logging.getLogger("auth_service.migrating")

# Everybody who comes after a waiting ALTER TABLE waits behind it, and requests give up after two seconds.
LOCK_SECONDS = 1
PAUSES = (1, 2, 4, 8, 15, 15, 15, 15, 15, 15)
BATCH = 5000

_BLOCKERS = """
SELECT a.pid, a.application_name, a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
FROM unnest(pg_blocking_pids(:pid)) AS blocking (pid) JOIN pg_stat_activity a ON a.pid = blocking.pid
ORDER BY a.xact_start LIMIT 5
"""


class StillLocked(Exception):
    """Its text is for the operator: who is in the way, and what to do."""


async def wait_for_turn(connection: AsyncConnection) -> None:
    """One migrator at a time, until its connection ends."""
    # Asked again and again: a statement that waits has a snapshot, for whose end CREATE INDEX CONCURRENTLY waits.
    while not (await connection.execute(TRY_MIGRATIONS)).scalar_one():
        await connection.commit()
        await asyncio.sleep(0.2)
    await connection.commit()


async def migrate_patiently(
    engine: AsyncEngine, connection: AsyncConnection, run: Callable[[Connection], None]
) -> None:
    """`run`, again after growing pauses where a lock cannot be had within LOCK_SECONDS; revisions that are done stay.

    Raises StillLocked after two minutes.
    """
    await connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    await connection.execute(text("SET statement_timeout = 0"))
    pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    await connection.commit()
    for pause in (*PAUSES, None):
        blockers: list[str] = []
        watch = asyncio.create_task(_watch(engine, pid, blockers))
        try:
            await connection.run_sync(run)
            await connection.commit()
            return
        except DBAPIError as error:
            if not _is_about_locks(error):
                raise
            await connection.rollback()
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        who = "; ".join(blockers) or "nobody that was still there a moment later"
        if pause is None:
            raise StillLocked(
                f"No lock within {LOCK_SECONDS} s, {len(PAUSES) + 1} times; in the way: {who}. What was done stays. "
                "End what is in the way, with SELECT pg_terminate_backend(pid), and migrate again."
            )
        log.warning("no lock within %s s; in the way: %s; next try in %s s", LOCK_SECONDS, who, pause)
        await asyncio.sleep(pause)


def _is_about_locks(error: DBAPIError) -> bool:
    cause = getattr(error.orig, "__cause__", None)
    return isinstance(cause, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError)


async def _watch(engine: AsyncEngine, pid: int, blockers: list[str]) -> None:
    """Keeps in `blockers` who was last in the way; afterwards nobody knows. Never a query's text (AUD-2)."""
    with suppress(DBAPIError):  # nobody is named then, and that must not stop a migration
        async with engine.connect() as connection:
            while True:
                rows = (await connection.execute(text(_BLOCKERS), {"pid": pid})).all()
                await connection.rollback()
                if rows:
                    blockers[:] = [
                        f"pid {row.pid} ({row.application_name or 'no name'}, {row.state}, "
                        f"{row.seconds} s in its transaction)"
                        for row in rows
                    ]
                await asyncio.sleep(0.2)


@Operations.register_operation("create_index_concurrently")
class CreateIndexConcurrently(MigrateOperation):
    """An index on a table that is in use: writers go on. Commits what the migration did before; an invalid index
    that an interrupted run left is made anew. Not for partitioned tables: Postgres has it for their partitions only.
    """

    def __init__(self, name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
        self.name, self.table, self.columns, self.options = name, table, columns, options

    @classmethod
    def create_index_concurrently(
        cls, operations: Operations, name: str, table: str, columns: Sequence[Any], **options: Any
    ) -> None:
        operations.invoke(cls(name, table, columns, **options))


@Operations.implementation_for(CreateIndexConcurrently)
def _create_index_concurrently(operations: Operations, wanted: CreateIndexConcurrently) -> None:
    with operations.get_context().autocommit_block():
        # It waits for older transactions, but holds nobody up meanwhile.
        operations.execute("SET lock_timeout = 0")
        operations.drop_index(wanted.name, wanted.table, if_exists=True, postgresql_concurrently=True)
        operations.create_index(
            wanted.name, wanted.table, list(wanted.columns), postgresql_concurrently=True, **wanted.options
        )
        operations.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")


@Operations.register_operation("update_in_batches")
class UpdateInBatches(MigrateOperation):
    """Changes many rows in transactions of BATCH rows each, so that none is locked for long. `where` must not hold
    for a row that was changed: an interrupted run goes on where it ended.
    """

    def __init__(self, table: str, assign: str, where: str) -> None:
        self.table, self.assign, self.where = table, assign, where

    @classmethod
    def update_in_batches(cls, operations: Operations, table: str, *, assign: str, where: str) -> None:
        operations.invoke(cls(table, assign, where))


@Operations.implementation_for(UpdateInBatches)
def _update_in_batches(operations: Operations, wanted: UpdateInBatches) -> None:
    statement = text(
        f"UPDATE {wanted.table} SET {wanted.assign} WHERE ctid = ANY (ARRAY("  # noqa: S608  words of a migration
        f"SELECT ctid FROM {wanted.table} WHERE {wanted.where} LIMIT {BATCH} FOR UPDATE SKIP LOCKED))"
    )
    left = text(f"SELECT EXISTS (SELECT FROM {wanted.table} WHERE {wanted.where})")  # noqa: S608
    with operations.get_context().autocommit_block():
        connection = operations.get_bind()
        while connection.execute(left).scalar_one():
            connection.execute(statement)
