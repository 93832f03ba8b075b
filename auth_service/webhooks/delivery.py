"""Sends events to webhooks: at least once, in order for each key, by one worker at a time for each endpoint.

An endpoint has its own position in the outbox, so a slow one holds up nobody else. Postgres takes an endpoint's
advisory lock back when the worker that holds it dies; another goes on from the position that was written last.
"""

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog

from auth_service.core.connections import Resources
from auth_service.core.secrets import CannotOpen
from auth_service.events.cloud_event import to_cloud_event
from auth_service.events.positions import Positioned, give_positions, positioned
from auth_service.events.relay import connected
from auth_service.locks import GIVE_WEBHOOK_BACK, TRY_WEBHOOK
from auth_service.models import WebhookEndpoint
from auth_service.webhooks.answer import Answer
from auth_service.webhooks.service import disable_failed, keys_of
from auth_service.webhooks.signature import signed_headers

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
EACH_TIME = 64
KEPT_DELIVERIES = 100
# After a failure; the one after the last of them disables. Together 75 hours and a half.
PAUSES = tuple(
    timedelta(**pause)
    for pause in (
        {"seconds": 5},
        {"minutes": 5},
        {"minutes": 30},
        *({"hours": hours} for hours in (2, 5, 10, 14, 20, 24)),
    )
)
FAILED, GONE = "failed", "gone"

_ANY = "SELECT EXISTS (SELECT FROM webhook_endpoints WHERE enabled)"
_DUE = """
SELECT id FROM webhook_endpoints e
WHERE enabled AND (next_try_at IS NULL OR next_try_at <= $1) AND EXISTS (SELECT FROM outbox WHERE position > e.position)
"""
_ENDPOINT = """
SELECT id, url, kinds, position, ahead, tries, sealed_secret, previous_sealed_secret, previous_secret_until
FROM webhook_endpoints WHERE id = $1 AND enabled AND (next_try_at IS NULL OR next_try_at <= $2)
"""
_END = "SELECT coalesce(max(position), 0) FROM outbox"
_NEXT = """
SELECT position, id, kind, key, data, created_at FROM outbox
WHERE position > $1 AND (cardinality($2::text[]) = 0 OR kind = ANY($2)) ORDER BY position LIMIT $3
"""
# Only from where it began: who has lost the lock meanwhile does not put the position back.
_ADVANCE = """
UPDATE webhook_endpoints SET position = $3, ahead = $4, tries = 0, failing_since = NULL, next_try_at = NULL
WHERE id = $1 AND position = $2
"""
_FAIL = """
UPDATE webhook_endpoints SET position = $3, ahead = $4, tries = tries + 1,
    failing_since = coalesce(failing_since, $5), next_try_at = $6
WHERE id = $1 AND position = $2
"""
_NOTE = """
INSERT INTO webhook_deliveries (endpoint_id, event_id, kind, at, status, error, milliseconds)
SELECT id, $2, $3, $4, $5, $6, $7 FROM webhook_endpoints WHERE id = $1
"""
_FORGET = """
DELETE FROM webhook_deliveries WHERE endpoint_id = $1 AND number <= (
    SELECT number FROM webhook_deliveries WHERE endpoint_id = $1 ORDER BY number DESC OFFSET $2 LIMIT 1)
"""
_MISSES = """
SELECT e.id, count(*) AS events FROM webhook_endpoints e
JOIN outbox o ON o.position > e.position AND NOT o.position = ANY(e.ahead)
WHERE e.enabled AND o.created_at < $1 AND ($2 OR o.sent_at IS NOT NULL OR o.parked_at IS NOT NULL)
    AND (cardinality(e.kinds) = 0 OR o.kind = ANY(e.kinds))
GROUP BY e.id
"""


@dataclass(frozen=True)
class _Line:
    """A connection of this worker's own, whose advisory locks say which endpoints are its; one statement at a time."""

    resources: Resources
    connection: asyncpg.Connection
    tls: ssl.SSLContext
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.turn:
            return await self.connection.fetch(query, *arguments)


@dataclass(frozen=True, slots=True)
class _Attempt:
    event: Positioned
    answer: Answer


async def run_webhooks(resources: Resources) -> None:
    """While any endpoint is enabled; raises a store failure."""
    if not await resources.hot.fetchval(_ANY):
        return
    from auth_service.webhooks.sender import trusted  # with httpx two MiB of memory, for those who have a webhook

    tls = await trusted()
    async with connected(resources, "auth-service webhooks") as connection:
        line = _Line(resources, connection, tls)
        at_work: dict[UUID, asyncio.Task[None]] = {}
        try:
            while await _look(line, at_work):  # noqa: ASYNC110  what is waited for is in Postgres
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in at_work.values():
                task.cancel()
            await asyncio.gather(*at_work.values(), return_exceptions=True)


async def log_misses(resources: Resources) -> None:
    """Before `delete_old_events`: which endpoints will never have what is about to be deleted."""
    before = resources.clock() - timedelta(days=resources.settings.events_kept_days)
    for row in await resources.hot.fetch(_MISSES, before, resources.settings.kafka_bootstrap is None):
        log.error(
            "webhook_events_skipped",
            webhook_id=str(row["id"]),
            events=row["events"],
            remedy="the receiver has to read everything anew; a larger EVENTS_KEPT_DAYS keeps more",
        )


async def _look(line: _Line, at_work: dict[UUID, asyncio.Task[None]]) -> bool:
    """Begins with all that are due and no other worker's; False when there is nothing to wait for."""
    for endpoint_id, task in list(at_work.items()):
        if task.done():
            del at_work[endpoint_id]
            await line.fetch(GIVE_WEBHOOK_BACK, endpoint_id)
            task.result()
    async with line.turn:
        await give_positions(line.connection)
    for row in await line.fetch(_DUE, line.resources.clock()):
        endpoint_id = UUID(int=row["id"].int)
        if endpoint_id not in at_work:
            ((locked,),) = await line.fetch(TRY_WEBHOOK, endpoint_id)
            if locked:
                at_work[endpoint_id] = asyncio.create_task(_deliver(line, endpoint_id))
    ((any_left,),) = await line.fetch(_ANY)
    return bool(at_work) or any_left


async def _deliver(line: _Line, endpoint_id: UUID) -> None:
    """All that waits for the endpoint; to its first failure."""
    going_on = True
    while going_on:
        going_on = False
        for row in await line.fetch(_ENDPOINT, endpoint_id, line.resources.clock()):
            going_on = await _deliver_some(line, WebhookEndpoint(**dict(row)))


async def _deliver_some(line: _Line, endpoint: WebhookEndpoint) -> bool:
    """True if there may be more."""
    # After a failure one event at a time shows whether the receiver is there again.
    limit = 1 if endpoint.tries else EACH_TIME
    ((end,),) = await line.fetch(_END)
    rows = await line.fetch(_NEXT, endpoint.position, endpoint.kinds, limit)
    events = [positioned(row) for row in rows]
    attempts = await _send(line, endpoint, [event for event in events if event.position not in endpoint.ahead])
    done = {*endpoint.ahead, *(attempt.event.position for attempt in attempts if attempt.answer.delivered)}
    failures = [attempt.answer for attempt in attempts if not attempt.answer.delivered]
    missing = [event.position for event in events if event.position not in done]
    # Past the last of them all there is nothing of its kinds.
    read_to = events[-1].position if len(events) == limit else max(end, *(event.position for event in events), 0)
    reached = missing[0] - 1 if missing else read_to
    ahead = sorted(position for position in done if position > reached)
    await _write_down(line, endpoint, attempts)
    if not failures:
        await line.fetch(_ADVANCE, endpoint.id, endpoint.position, reached, ahead)
        return len(events) == limit
    await _fail(line, endpoint, failures, reached, ahead)
    return False


async def _send(line: _Line, endpoint: WebhookEndpoint, events: Sequence[Positioned]) -> list[_Attempt]:
    """Of a key one event at a time is on its way, so that none can overtake one that failed before it.

    The first failure is the last attempt: what has not been begun waits for the next time.
    """
    from auth_service.webhooks.sender import CONNECTIONS, Sender

    if not events:
        return []
    try:
        keys = keys_of(line.resources, endpoint)
    except CannotOpen:
        return [_Attempt(events[0], Answer(None, "secret_unreadable", 0))]
    by_key: dict[str, list[Positioned]] = {}
    for event in events:
        by_key.setdefault(event.key, []).append(event)
    attempts: list[_Attempt] = []
    failed = asyncio.Event()
    waiting = iter(by_key.values())

    async def send_keys(sender: Sender) -> None:
        for chain in waiting:
            for event in chain:
                if failed.is_set():
                    return
                answer = await sender.post(*_message(line.resources, keys, event))
                attempts.append(_Attempt(event, answer))
                if not answer.delivered:
                    failed.set()

    async with Sender(line.resources.settings, line.tls, endpoint.url) as sender, asyncio.TaskGroup() as group:
        for _ in range(min(CONNECTIONS, len(by_key))):
            group.create_task(send_keys(sender))
    return attempts


def _message(resources: Resources, keys: Sequence[bytes], event: Positioned) -> tuple[dict[str, str], bytes]:
    body = orjson.dumps(to_cloud_event(resources.settings.issuer, event))
    return signed_headers(keys, str(event.id), resources.clock(), body), body


async def _write_down(line: _Line, endpoint: WebhookEndpoint, attempts: Sequence[_Attempt]) -> None:
    if not attempts:
        return
    now = line.resources.clock()
    notes = [
        (endpoint.id, item.event.id, item.event.kind, now, answer.status, answer.error, answer.milliseconds)
        for item in attempts
        for answer in (item.answer,)
    ]
    async with line.turn, line.connection.transaction():
        await line.connection.executemany(_NOTE, notes)
        await line.connection.execute(_FORGET, endpoint.id, KEPT_DELIVERIES)


async def _fail(
    line: _Line, endpoint: WebhookEndpoint, failures: Sequence[Answer], reached: int, ahead: Sequence[int]
) -> None:
    """The next try later each time, up to a tenth later than planned: many endpoints may share one receiver."""
    now = line.resources.clock()
    gone = any(answer.gone for answer in failures)
    last_try = endpoint.tries >= len(PAUSES)
    planned = PAUSES[min(endpoint.tries, len(PAUSES) - 1)] * (1 + secrets.randbelow(100) / 1000)
    pause = max(planned, timedelta(seconds=max(answer.retry_after for answer in failures)))
    await line.fetch(_FAIL, endpoint.id, endpoint.position, reached, ahead, now, now + pause)
    first = failures[0]
    facts = {"webhook_id": str(endpoint.id), "status": first.status, "error": first.error}
    if not gone and not last_try:
        log.warning("webhook_failed", **facts, tries=endpoint.tries + 1, pause=round(pause.total_seconds()))
    elif await disable_failed(line.resources, endpoint.id, GONE if gone else FAILED):
        log.error("webhook_disabled", **facts, remedy="mend the receiver, then PATCH enabled: true")
