"""Takes events out of the outbox to Kafka: at least once, in order for each key, as many relays at once as you like.

There is no watermark: each row is marked by itself, and only after the broker has acknowledged it. A bucket is
published by the one relay that holds its advisory lock, which Postgres takes back when that relay dies.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import structlog

from auth_service.core.connections import CLOSE_SECONDS, Resources
from auth_service.events.cloud_event import Sent, to_message
from auth_service.events.outbox import BUCKETS
from auth_service.events.positions import Positioned, give_positions, positioned
from auth_service.locks import TAKE_FREE_BUCKETS, Advisory

if TYPE_CHECKING:
    from auth_service.events.kafka import Kafka

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.2
RESTART_SECONDS = 1.0  # after a failure of Postgres
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
EACH_BUCKET = 32
MOST_TRIES = 10
LATE = timedelta(seconds=60)
DELETE_AT_ONCE = 5000

_ANY = "SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL AND parked_at IS NULL)"
# By bucket: the index gives each one's first rows, however many millions wait behind them.
_DUE = """
SELECT due.* FROM unnest($1::int[]) AS mine (bucket) CROSS JOIN LATERAL (
    SELECT position, id, kind, key, data, created_at FROM outbox
    WHERE bucket = mine.bucket AND sent_at IS NULL AND parked_at IS NULL AND position IS NOT NULL
    ORDER BY position LIMIT $2) AS due
ORDER BY position
"""
_MARK = "UPDATE outbox SET sent_at = $2 WHERE position = ANY($1)"
_COUNT_TRY = """
UPDATE outbox SET tries = tries + 1, parked_at = CASE WHEN tries + 1 >= $3 THEN $2::timestamptz END
WHERE position = $1 RETURNING parked_at
"""
# Without a relay, what is old; with one, what is old and has been sent.
_DELETE = """
DELETE FROM outbox WHERE number IN (
    SELECT number FROM outbox
    WHERE created_at < $1 AND ($2 OR sent_at IS NOT NULL OR parked_at IS NOT NULL) ORDER BY created_at LIMIT $3)
"""


async def run_relay(resources: Resources) -> None:
    """Until cancelled; raises a store failure. A broker that is away is waited for, 1 to 30 s at a time."""
    from auth_service.events.kafka import Kafka  # three MiB of a worker's memory, for those who have a broker

    pause = 0.0
    async with connected(resources, "auth-service relay") as connection:
        while True:
            async with Kafka(resources.settings) as kafka:
                while await publish_due(resources, connection, kafka):
                    pause = 0.0
                    await asyncio.sleep(LOOK_SECONDS)
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                log.warning("events_not_sent", why=kafka.why, pause=pause)
            await asyncio.sleep(pause)


async def publish_due(resources: Resources, connection: asyncpg.Connection, kafka: "Kafka") -> bool:
    """All that no other relay is at; False where the broker could not be reached, which ends it early."""
    await give_positions(connection)
    if not await connection.fetchval(_ANY):
        return True
    buckets = [row["bucket"] for row in await connection.fetch(TAKE_FREE_BUCKETS, Advisory.EVENT_BUCKETS, BUCKETS)]
    try:
        # With the locks, and not before: whoever had them has marked what was sent.
        while rows := await connection.fetch(_DUE, buckets, EACH_BUCKET):
            events = [positioned(row) for row in rows]
            if resources.clock() - events[0].created_at > LATE:
                log.warning("events_late", oldest=events[0].created_at.isoformat())
            reached, refused = await _send_in_order(resources, connection, kafka, events)
            if refused or not reached:
                return reached  # what was refused is tried again with the next look, not at once
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock_all()")
    return True


async def delete_old_events(resources: Resources) -> None:
    """Older than EVENTS_KEPT_DAYS; with KAFKA_BOOTSTRAP never what has not been sent (REL-4)."""
    before = resources.clock() - timedelta(days=resources.settings.events_kept_days)
    no_kafka = resources.settings.kafka_bootstrap is None
    deleted = f"DELETE {DELETE_AT_ONCE}"
    while deleted == f"DELETE {DELETE_AT_ONCE}":
        deleted = await resources.hot.execute(_DELETE, before, no_kafka, DELETE_AT_ONCE)


async def _send_in_order(
    resources: Resources, connection: asyncpg.Connection, kafka: "Kafka", events: Sequence[Positioned]
) -> tuple[bool, bool]:
    """(the broker was there, something was refused). Of a key one event at a time is on its way, so that none can
    overtake one that failed before it.
    """
    held: set[str] = set()
    refused = False
    for wave in _waves(events):
        going = [event for event in wave if event.key not in held]
        results = await kafka.send([to_message(resources.settings, event) for event in going])
        outcome = list(zip(going, results, strict=True))
        arrived = [event.position for event, sent in outcome if sent is Sent.ACKNOWLEDGED]
        await connection.execute(_MARK, arrived, resources.clock())
        for event, sent in outcome:
            if sent is Sent.REFUSED:
                refused = True
                if not await _count_try(resources, connection, event, kafka.why):
                    held.add(event.key)
        if any(sent is Sent.FAILED for _, sent in outcome):
            return False, refused
    return True, refused


async def _count_try(resources: Resources, connection: asyncpg.Connection, event: Positioned, why: str | None) -> bool:
    """True if that was the last one: it is parked, and what comes after it goes on."""
    parked = await connection.fetchval(_COUNT_TRY, event.position, resources.clock(), MOST_TRIES)
    if parked is None:
        return False
    log.error("event_parked", event_id=str(event.id), kind=event.kind, position=event.position, why=why)
    return True


def _waves(events: Sequence[Positioned]) -> Iterator[list[Positioned]]:
    """The first event of each key, then the second of each, and so on."""
    waves: list[list[Positioned]] = []
    count: dict[str, int] = {}
    for event in events:
        number = count.get(event.key, 0)
        count[event.key] = number + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(event)
    yield from waves


@asynccontextmanager
async def connected(resources: Resources, name: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own for as long as a relay lives: advisory locks belong to a connection."""
    timeout = max(resources.settings.database_timeout_seconds, 10.0)
    connection = await resources.direct.connect(
        timeout=resources.settings.database_timeout_seconds,
        command_timeout=timeout,
        server_settings={
            "application_name": name,
            "statement_timeout": str(round(timeout * 1000)),
            "timezone": "UTC",
        },
    )
    try:
        yield connection
    finally:
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_SECONDS)
