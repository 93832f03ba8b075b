"""The monthly partitions of login_history: their names, what there is, and whether all is well (REL-1).

`partition_upkeep` says when they are made and dropped, `partitions` how; a default partition takes what no month does.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources

DEFAULT = "login_history_default"
# A default partition that was replaced because it had rows; gone once they all are in their months.
SPENT = "login_history_spent"
COUNTED_ROWS = 1000
_NAME = re.compile(r"login_history_(\d{4})_(0[1-9]|1[0-2])")

_STATE = f"""
SELECT ARRAY(SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'login_history'::regclass) AS partitions,
    (SELECT count(*) FROM (SELECT FROM {DEFAULT} LIMIT $1) AS counted) AS strays,
    to_regclass('{SPENT}') IS NOT NULL AS unfinished
"""  # noqa: S608  constants of ours


@dataclass(frozen=True, slots=True)
class Partition:
    """`rows` is Postgres' own estimate, -1 where it has none yet."""

    name: str
    bounds: str
    rows: int
    bytes: int


def month_of(moment: datetime, offset: int = 0) -> datetime:
    """The first moment of the month, in UTC, `offset` months later."""
    moment = moment.astimezone(UTC)
    years, month = divmod(moment.month - 1 + offset, 12)
    return datetime(moment.year + years, month + 1, 1, tzinfo=UTC)


def name_of(month: datetime) -> str:
    return f"login_history_{month:%Y_%m}"


def month_named(name: str) -> datetime | None:
    """None for the default partition, and for tables that we did not name."""
    match = _NAME.fullmatch(name)
    return None if match is None else datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)


async def list_partitions(session: AsyncSession) -> list[Partition]:
    """In the order of their months, the default one last."""
    rows = await session.execute(
        text(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reltuples::bigint, pg_total_relation_size(c.oid)"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'login_history'::regclass ORDER BY c.relname = :default, c.relname"
        ),
        {"default": DEFAULT},
    )
    return [Partition(*row) for row in rows]


async def history_state(resources: Resources) -> str:
    """For readiness: "ok", or what is wrong and what to do. Logins go on either way."""
    now = resources.clock()
    ((partitions, strays, unfinished),) = await resources.hot.fetch(_STATE, COUNTED_ROWS + 1)
    missing = [f"{month:%Y-%m}" for month in (month_of(now), month_of(now, 1)) if name_of(month) not in partitions]
    wrong = [f"there is no partition for {' and '.join(missing)}"] if missing else []
    if strays:
        count = f"more than {COUNTED_ROWS}" if strays > COUNTED_ROWS else strays
        wrong.append(f"rows in the default partition: {count}")
    if unfinished:
        wrong.append("moving rows out of the default partition is not finished")
    return f"{'; '.join(wrong)}: run auth-service partitions ensure" if wrong else "ok"


async def measure_history(resources: Resources) -> dict[str, float]:
    """For the metrics: what REL-1's alarms go by."""
    ((partitions, strays, _),) = await resources.hot.fetch(_STATE, COUNTED_ROWS + 1)
    now = resources.clock()
    ahead = 0
    while name_of(month_of(now, ahead + 1)) in partitions:
        ahead += 1
    return {"auth_login_history_stray_rows": strays, "auth_login_history_months_ahead": ahead}
