"""The outbox: a row in the transaction of the change it tells of, so that neither is without the other (REL-4)."""

import zlib
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.stores.postgres_pools import directly
from auth_service.core.turns import in_turns
from auth_service.events.kinds import Event
from auth_service.models import new_id

BUCKETS = 64
# What is put in the place of personal data when its user is deleted.
ERASED = {"username": "deleted", "email": "deleted", "full_name": None}

_RECORD = "INSERT INTO outbox (id, kind, key, bucket, user_id, data, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
# A third of what it costs row by row.
_RECORD_MANY = """
INSERT INTO outbox (id, kind, key, bucket, user_id, data, created_at)
SELECT id, kind, key, bucket, user_id, data::jsonb, created_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::uuid[], $6::text[], $7::timestamptz[])
    WITH ORDINALITY AS given (id, kind, key, bucket, user_id, data, created_at, place)
ORDER BY place
"""

_ERASE = text(
    "UPDATE outbox SET data = data || (SELECT coalesce(jsonb_object_agg(key, value), '{}')"
    " FROM jsonb_each(CAST(:erased AS jsonb)) WHERE data ? key) WHERE user_id = :user_id"
)

_NOTHING = text(
    "INSERT INTO outbox (id, kind, key, bucket, data, created_at)"
    " SELECT gen_random_uuid(), '', '', 0, '{}', now() WHERE false"
)


async def record(resources: Resources, session: AsyncSession, *events: Event) -> None:
    """In the caller's transaction; call it after the change, while its locks are held.

    The lock is what orders two changes of one user, and the rows get their numbers here and now.
    """
    if not events:
        return
    await session.flush()
    now = resources.clock()
    async with directly(session) as connection:
        if len(events) == 1:
            await connection.execute(_RECORD, *_row(events[0], now))
            return
        async for some in in_turns(events):
            await connection.execute(_RECORD_MANY, *zip(*[_row(event, now) for event in some], strict=True))


async def record_nothing(session: AsyncSession) -> None:
    """As many round trips as an event, for a login that nobody has (LOG-1)."""
    await session.flush()
    await session.execute(_NOTHING)


async def erase_user(session: AsyncSession, user_id: UUID) -> None:
    """In the transaction that deletes the user: the events stay, without name and address, whether sent or not."""
    await session.execute(_ERASE, {"user_id": user_id, "erased": orjson.dumps(ERASED).decode()})


def bucket_of(key: str) -> int:
    """One relay at a time publishes a bucket: all events of a key are in one."""
    return zlib.crc32(key.encode()) % BUCKETS


def _row(event: Event, now: datetime) -> tuple[Any, ...]:
    key = event.key
    return new_id(), event.kind, key, bucket_of(key), event.about_user, event.model_dump_json(), now
