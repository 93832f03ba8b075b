"""The steps by which login_history's months are made, filled from the default partition, and dropped (REL-1).

Every step is one transaction, and a run that was killed between two of them is completed by the next:

1. Each month that is missing, or that the default partition has rows of, gets a table of its own, not attached yet,
   with a copy of those rows. Readers still see the originals; a table that stays unattached is thrown away.
2. The switch, under a lock of milliseconds however many rows there are: the default partition, if it has rows, is
   detached, renamed and replaced by an empty one; the tables are attached.
3. What the old default partition got after the copy is inserted into the new months, and the old one is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import asyncpg

from auth_service.core.errors import Unavailable
from auth_service.core.schemas import EARLIEST, LATEST
from auth_service.models import LoginHistory
from auth_service.sessions.partition_state import DEFAULT, SPENT, month_named, month_of, name_of

UNATTACHED = "login_history_unattached"  # the check by which a table of an unfinished run is known
EXPIRED = "login_history_expired_"
# Logins queue behind a lock that waits, so it waits only so long. Less than Postgres' deadlock_timeout: we give way.
LOCK_TIMEOUT = "500ms"
LOCK_TRIES = 4
RETRY_SECONDS = 0.25
# Names and bounds go into DDL, which takes no parameters; all of them are made from datetimes.
Connection = asyncpg.Connection

_COLUMNS = ", ".join(column.name for column in LoginHistory.__table__.columns)

_MONTHS_IN_DEFAULT = f"""
SELECT DISTINCT date_trunc('month', login_at, 'UTC') FROM {DEFAULT} WHERE login_at >= $1 AND login_at < $2
"""  # noqa: S608  constants of ours, here and below

_DEFAULT_HAS_ROWS = f"SELECT EXISTS (SELECT FROM {DEFAULT})"  # noqa: S608

_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'login_history'::regclass
"""

_LEFT_UNATTACHED = """
SELECT c.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.conname = $1 AND NOT c.relispartition AND pg_table_is_visible(c.oid)
"""

_LEFT_EXPIRED = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ^@ $1 AND pg_table_is_visible(oid)"

_REPLACE_DEFAULT = f"""
ALTER TABLE login_history DETACH PARTITION {DEFAULT};
ALTER TABLE {DEFAULT} RENAME TO {SPENT};
CREATE TABLE {DEFAULT} PARTITION OF login_history DEFAULT;
"""

# The rows' users are held: one who is being deleted now must not leave an entry behind.
_INSERT_LATE_ROWS = f"""
WITH late AS MATERIALIZED (
    SELECT {_COLUMNS} FROM {SPENT} s
    WHERE NOT EXISTS (SELECT FROM login_history h WHERE h.id = s.id AND h.login_at = s.login_at)
), held AS MATERIALIZED (
    SELECT id FROM users WHERE id IN (SELECT user_id FROM late) FOR KEY SHARE
)
INSERT INTO login_history ({_COLUMNS})
SELECT {_COLUMNS} FROM late WHERE user_id IS NULL OR user_id IN (SELECT id FROM held)
"""  # noqa: S608

# A user who was deleted between the copy and the switch lost the originals only.
_DELETE_ORPHANED_COPIES = f"""
DELETE FROM login_history h
WHERE login_at >= $1 AND login_at < $2 AND user_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM {SPENT} s WHERE s.id = h.id AND s.login_at = h.login_at)
    AND NOT EXISTS (SELECT FROM users u WHERE u.id = h.user_id)
"""  # noqa: S608


class HistoryInUse(Unavailable):
    detail = "The login history is in use by something that lasts; try again later."


@dataclass(frozen=True, slots=True)
class Ensured:
    """`made`: names of the new partitions; `moved`: rows that came out of the default one."""

    made: list[str]
    moved: int


async def ensure(connection: Connection, now: datetime, months_ahead: int) -> Ensured:
    """The caller holds Advisory.HISTORY_PARTITIONS; the transactions are its own."""
    moved = await _finish_last_run(connection)
    there = {row["relname"] for row in await connection.fetch(_PARTITIONS)}
    wanted = {month_of(now, offset) for offset in range(months_ahead + 1)}
    strayed = {row[0] for row in await connection.fetch(_MONTHS_IN_DEFAULT, EARLIEST, LATEST)}
    missing = sorted(month for month in wanted | strayed if name_of(month) not in there)
    if missing:
        for month in missing:
            moved += await _prepare(connection, month)
        await _switch(connection, missing)
        moved += await _settle(connection)
    return Ensured([name_of(month) for month in missing], moved)


async def drop_expired(connection: Connection, now: datetime, months_kept: int) -> list[str]:
    """The caller holds Advisory.HISTORY_PARTITIONS; the transactions are its own.

    Taking off and dropping are two steps: the first locks the history and is quick, the second takes its time.
    """
    names = await list_expired(connection, now, months_kept)
    for name in names:
        if name.startswith(EXPIRED):
            await connection.execute(f"DROP TABLE {name}")
            continue
        taken_off = name.replace("login_history_", EXPIRED)
        detach = f"ALTER TABLE login_history DETACH PARTITION {name}; ALTER TABLE {name} RENAME TO {taken_off}"
        await _change_history(connection, [name], partial(connection.execute, detach))
        await connection.execute(f"DROP TABLE {taken_off}")
    return names


async def list_expired(connection: Connection, now: datetime, months_kept: int) -> list[str]:
    """What `drop_expired` drops: tables that a killed run had taken off already, then months that are too old."""
    left = [row["relname"] for row in await connection.fetch(_LEFT_EXPIRED, EXPIRED)]
    # By the earlier of two clocks: one that is years ahead must not cost the whole history.
    oldest = month_of(min(now, await connection.fetchval("SELECT now()")), -months_kept)
    months = {row["relname"]: month_named(row["relname"]) for row in await connection.fetch(_PARTITIONS)}
    return left + sorted(name for name, month in months.items() if month is not None and month < oldest)


async def _finish_last_run(connection: Connection) -> int:
    moved = 0
    if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", SPENT):
        moved = await _settle(connection)
    for row in await connection.fetch(_LEFT_UNATTACHED, UNATTACHED):
        await connection.execute(f"DROP TABLE {row['relname']}")
    return moved


async def _prepare(connection: Connection, month: datetime) -> int:
    name = name_of(month)
    within = f"login_at >= '{month.isoformat()}' AND login_at < '{month_of(month, 1).isoformat()}'"
    async with connection.transaction():
        await connection.execute(f"CREATE TABLE {name} (LIKE login_history INCLUDING ALL)")
        # With it Postgres need not read the table to attach it.
        await connection.execute(f"ALTER TABLE {name} ADD CONSTRAINT {UNATTACHED} CHECK ({within})")
        copy = f"INSERT INTO {name} ({_COLUMNS}) SELECT {_COLUMNS} FROM {DEFAULT} WHERE {within}"  # noqa: S608
        return _count(await connection.execute(copy))


async def _switch(connection: Connection, months: Sequence[datetime]) -> None:
    names = " ".join(name_of(month) for month in months)
    # Whoever settles has to know them, after a crash too.
    replace = f"{_REPLACE_DEFAULT} COMMENT ON TABLE {SPENT} IS '{names}';"
    attach = "".join(
        f"ALTER TABLE login_history ATTACH PARTITION {name_of(month)}"
        f" FOR VALUES FROM ('{month.isoformat()}') TO ('{month_of(month, 1).isoformat()}');"
        f"ALTER TABLE {name_of(month)} DROP CONSTRAINT {UNATTACHED};"
        for month in months
    )

    async def change() -> None:
        in_use = await connection.fetchval(_DEFAULT_HAS_ROWS)
        await connection.execute((replace if in_use else "") + attach)

    await _change_history(connection, [name_of(month) for month in months], change)


async def _settle(connection: Connection) -> int:
    """How many rows came late. May be repeated: it inserts only what is not there."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", SPENT):
        return 0
    late = _count(await connection.execute(_INSERT_LATE_ROWS))
    copied = await connection.fetchval("SELECT obj_description($1::regclass, 'pg_class')", SPENT)
    for month in filter(None, map(month_named, (copied or "").split())):
        await connection.execute(_DELETE_ORPHANED_COPIES, month, month_of(month, 1))
    await connection.execute(f"DROP TABLE {SPENT}")
    return late


async def _change_history(
    connection: Connection, partitions: Sequence[str], change: Callable[[], Awaitable[object]]
) -> None:
    """`change` in a transaction that holds the whole history; raises HistoryInUse where that cannot be had.

    Nobody may write while partitions come and go: Postgres refuses a row that was on its way to the default
    partition when the month's own one was attached.
    """
    for number in range(LOCK_TRIES):
        try:
            async with connection.transaction():
                # A vacuum is in nobody's way but ours: sent away first, while logins do not have to wait for it.
                await connection.execute("SET LOCAL lock_timeout = '5s'")
                await connection.execute(
                    f"LOCK TABLE {', '.join([DEFAULT, *partitions])} IN SHARE UPDATE EXCLUSIVE MODE"
                )
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute("LOCK TABLE ONLY login_history IN ACCESS EXCLUSIVE MODE")
                await change()
                return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if number + 1 < LOCK_TRIES:
                await asyncio.sleep(RETRY_SECONDS * 2**number)
    raise HistoryInUse


def _count(status: str) -> int:
    """Of Postgres' own words, such as INSERT 0 25."""
    return int(status.rpartition(" ")[2])
