"""The order of events as readers see it: a position that is given after the commit, never before.

What an insert numbers itself by is taken before its commit: a reader that goes on from the highest number it saw
would skip what commits late. Here one at a time numbers what has been committed, so a row that appears later
always stands behind all that anybody has read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from auth_service.locks import Advisory, hold

Connection = asyncpg.Connection | PoolConnectionProxy
AT_ONCE = 5000

# The lock is a statement of its own: the next one takes its snapshot after the lock, and sees all that the one
# before it has numbered. Rows of one user have numbers in the order of their changes, so their positions have too.
_NUMBER = """
WITH waiting AS MATERIALIZED (SELECT number FROM outbox WHERE position IS NULL ORDER BY number LIMIT $1),
    numbered AS MATERIALIZED (SELECT number, nextval('outbox_position') AS position FROM waiting)
UPDATE outbox o SET position = n.position FROM numbered n WHERE o.number = n.number
"""
_READ = """
SELECT position, id, kind, key, data, created_at FROM outbox
WHERE position > $1 AND ($3::text IS NULL OR kind = $3) AND ($4::uuid IS NULL OR user_id = $4)
ORDER BY position LIMIT $2
"""


# Events are kept when their user is deleted.
_KNOWN = "SELECT EXISTS (SELECT FROM users WHERE id = $1) OR EXISTS (SELECT FROM outbox WHERE user_id = $1)"


@dataclass(frozen=True, slots=True)
class Positioned:
    """One event as it is in the outbox."""

    position: int
    id: UUID
    kind: str
    key: str
    data: dict[str, Any]
    created_at: datetime


async def give_positions(connection: Connection) -> None:
    """To all that has been committed; others that are at it are waited for."""
    while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE position IS NULL)"):
        async with connection.transaction():
            await hold(connection, Advisory.EVENT_POSITIONS)
            await connection.execute(_NUMBER, AT_ONCE)


async def read_after(
    pool: asyncpg.Pool, position: int, *, limit: int, kind: str | None = None, user_id: UUID | None = None
) -> Sequence[Positioned]:
    """Those behind that position, in their order."""
    async with pool.acquire() as connection:
        await give_positions(connection)
        rows = await connection.fetch(_READ, position, limit, kind, user_id)
    return [positioned(row) for row in rows]


async def is_known(pool: asyncpg.Pool, user_id: UUID) -> bool:
    """Whether there is such a user, or was, and events of it are left."""
    return bool(await pool.fetchval(_KNOWN, user_id))


def positioned(row: asyncpg.Record) -> Positioned:
    return Positioned(**{**dict(row), "data": orjson.loads(row["data"])})
