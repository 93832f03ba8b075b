"""The monthly partitions of login_history, made ahead; a default partition takes what no month does (REL-1)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LOCK = 0x70617274  # "part"
_NAME = re.compile(r"login_history_(\d{4})_(\d{2})")


@dataclass(frozen=True, slots=True)
class Partition:
    """`rows` is Postgres' own estimate, -1 where it has none yet."""

    name: str
    bounds: str
    rows: int
    bytes: int


async def ensure_partitions(session: AsyncSession, now: datetime, months_ahead: int) -> list[str]:
    """Makes the partitions of this month and the next `months_ahead`; the names of those that were missing.

    Rows that went to the default partition meanwhile, in whatever month, are moved into one of their own.
    """
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    existing = {partition.name for partition in await list_partitions(session)}
    months = {_month(now, offset) for offset in range(months_ahead + 1)} | await _months_in_default(session)
    made = []
    for start in sorted(months):
        end = _month(start, 1)
        name = f"login_history_{start:%Y_%m}"
        if name not in existing:
            await _create(session, name, start, end)
            made.append(name)
    return made


async def _months_in_default(session: AsyncSession) -> set[datetime]:
    query = "SELECT DISTINCT date_trunc('month', login_at, 'UTC') FROM login_history_default"
    return set((await session.scalars(text(query))).all())


async def _create(session: AsyncSession, name: str, start: datetime, end: datetime) -> None:
    assert _NAME.fullmatch(name)  # noqa: S101  it goes into DDL, which takes no parameters
    bounds = f"FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    await session.execute(text(f"CREATE TABLE {name} (LIKE login_history INCLUDING DEFAULTS)"))
    moved = "DELETE FROM login_history_default WHERE login_at >= :start AND login_at < :end RETURNING *"
    move = f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608  the name was checked
    await session.execute(text(move), {"start": start, "end": end})
    await session.execute(text(f"ALTER TABLE login_history ATTACH PARTITION {name} FOR VALUES {bounds}"))


async def list_partitions(session: AsyncSession) -> list[Partition]:
    """In the order of their months, the default one last."""
    rows = await session.execute(
        text(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reltuples::bigint, pg_total_relation_size(c.oid)"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'login_history'::regclass ORDER BY c.relname = 'login_history_default', c.relname"
        )
    )
    return [Partition(*row) for row in rows]


def _month(now: datetime, offset: int) -> datetime:
    years, month = divmod(now.astimezone(UTC).month - 1 + offset, 12)
    return datetime(now.year + years, month + 1, 1, tzinfo=UTC)
