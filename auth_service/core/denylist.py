"""What no longer counts although its token has not expired: tokens, sessions, and a user's older epochs.

Postgres is the record, Redis what every worker reads on every request. A denial is committed first and
published before the caller is answered; what could not be published is published by the next `catch_up`.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.config import Settings
from auth_service.core.clock import Clock
from auth_service.core.errors import Unavailable
from auth_service.core.metrics import Metrics
from auth_service.core.tokens import AccessClaims

log = structlog.get_logger(__name__)

GENERATION_KEY = "auth:generation"
_REBUILDING_KEY = "auth:rebuilding"
CATCH_UP_SECONDS = 5
_OVERLAP = timedelta(seconds=60)  # a transaction may commit later than its recorded_at
_REBUILD_LOCK = 0x64656E79  # "deny"

# A late publisher must not lower an epoch or shorten a life; so values and lives only grow.
_PUBLISH = """
for index = 1, #KEYS do
    local value, life = tonumber(ARGV[2 * index - 1]), tonumber(ARGV[2 * index])
    local known = tonumber(redis.call('GET', KEYS[index]) or '-1')
    if value > known or life > redis.call('PTTL', KEYS[index]) then
        redis.call('SET', KEYS[index], math.max(value, known), 'PX', life)
    end
end
return #KEYS
"""

# Only if Redis still remembers that the rebuilding began: it may have been emptied again meanwhile.
_FINISH_REBUILDING = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Denial:
    """`key` is the Redis key; the braces keep one subject's keys in one cluster slot."""

    key: str
    value: int
    expires_at: datetime


def _session_key(subject: UUID, session_id: UUID) -> str:
    return f"auth:{{{subject}}}:sid:{session_id}"


def _token_key(subject: UUID, token_id: str) -> str:
    return f"auth:{{{subject}}}:jti:{token_id}"


def _epoch_key(subject: UUID) -> str:
    return f"auth:{{{subject}}}:epoch"


class Denylist:
    def __init__(self, redis: Redis, pool: asyncpg.Pool, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self._redis = redis
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        # No token of before the denial outlives this (OUT-2): the leeway once for the clock of the worker that
        # minted it, and once for the clock of the one that verifies it.
        self._life = timedelta(seconds=settings.access_token_seconds + 2 * settings.clock_leeway_seconds)
        self._publish_script = redis.register_script(_PUBLISH)
        self._finish_script = redis.register_script(_FINISH_REBUILDING)
        self._generation: str | None = None
        self._seen: datetime | None = None
        self._rebuilding = asyncio.Lock()

    def session(self, subject: UUID, session_id: UUID) -> Denial:
        return Denial(_session_key(subject, session_id), 1, self._clock() + self._life)

    def token(self, claims: AccessClaims) -> Denial:
        return Denial(_token_key(claims.subject, claims.token_id), 1, self._clock() + self._life)

    def older_epochs(self, subject: UUID, epoch: int) -> Denial:
        """Denies every token minted with a smaller epoch."""
        return Denial(_epoch_key(subject), epoch, self._clock() + self._life)

    async def record(self, session: AsyncSession, denials: Sequence[Denial]) -> None:
        """In the caller's transaction; `publish` the same ones after it, before answering."""
        if denials:
            await session.execute(
                text(
                    "INSERT INTO denials (key, value, expires_at) VALUES (:key, :value, :expires_at)"
                    " ON CONFLICT (key) DO UPDATE SET value = greatest(denials.value, excluded.value),"
                    " expires_at = greatest(denials.expires_at, excluded.expires_at), recorded_at = now()"
                ),
                [{"key": d.key, "value": d.value, "expires_at": d.expires_at} for d in denials],
            )

    async def must_be_there(self) -> None:
        """Raises a store failure while Redis cannot be told; ask it before what works only once is used up."""
        await self._redis.ping()

    async def publish(self, denials: Sequence[Denial]) -> None:
        """After this no worker accepts them; raises a store failure (503) where Redis cannot be told."""
        now = self._clock()
        live = [denial for denial in denials if denial.expires_at > now]
        if live:
            lives = [max(1, round((denial.expires_at - now).total_seconds() * 1000)) for denial in live]
            await self._publish_script(
                keys=[denial.key for denial in live],
                args=[arg for denial, life in zip(live, lives, strict=True) for arg in (denial.value, life)],
            )

    async def refuses(self, claims: AccessClaims) -> bool:
        """One round trip; raises a store failure where Redis cannot say: unknown is not no."""
        keys = [
            _session_key(claims.subject, claims.session_id),
            _token_key(claims.subject, claims.token_id),
            _epoch_key(claims.subject),
        ]
        (session, token, epoch), generation = await self._read(keys)
        if not self._remembers(generation):
            await self._rebuild()
            (session, token, epoch), generation = await self._read(keys)
            if not self._remembers(generation):
                raise Unavailable("Redis lost its memory again while it was being restored.")
        return session is not None or token is not None or (epoch is not None and claims.epoch < int(epoch))

    async def _read(self, keys: list[str]) -> tuple[list[str | None], str | None]:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.mget(keys)
        pipeline.get(GENERATION_KEY)
        values, generation = await pipeline.execute()
        return values, generation

    def _remembers(self, generation: str | bytes | None) -> bool:
        return generation is not None and generation == self._generation

    async def _rebuild(self) -> None:
        """After a flush or an empty restart: everything live is published again before anyone is let in."""
        async with self._rebuilding:
            async with self._pool.acquire() as connection, connection.transaction():
                # One worker at a time; the others then find the generation in place.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _REBUILD_LOCK)
                recorded = await connection.fetchval("SELECT generation FROM store_generation WHERE id = 1")
                if recorded is None:
                    raise Unavailable("The schema is not migrated: run auth-service migrate.")
                self._generation = str(recorded)
                if self._remembers(await self._redis.get(GENERATION_KEY)):
                    return
                attempt = secrets.token_hex(16)
                await self._redis.set(_REBUILDING_KEY, attempt)  # before the reading: what is published later stays
                rows = await connection.fetch(
                    "SELECT key, value, expires_at FROM denials WHERE expires_at > $1", self._clock()
                )
                await self._publish_rows(rows)
                done = await self._finish_script(
                    keys=[_REBUILDING_KEY, GENERATION_KEY], args=[attempt, self._generation]
                )
            self._metrics.denylist_rebuilds.inc()
            log.warning("denylist_rebuilt", denials=len(rows), complete=bool(done))

    async def catch_up(self) -> None:
        """Publishes what other workers committed and perhaps could not publish; forgets what has expired."""
        since = self._seen
        newest = self._clock()
        rows = await self._pool.fetch(
            "SELECT key, value, expires_at FROM denials WHERE recorded_at > $1 AND expires_at > $2",
            (since or newest - self._life) - _OVERLAP,
            newest,
        )
        await self._publish_rows(rows)
        self._seen = newest
        await self._pool.execute("DELETE FROM denials WHERE expires_at < $1", newest - _OVERLAP)

    async def _publish_rows(self, rows: Sequence[Any]) -> None:
        for start in range(0, len(rows), 500):
            await self.publish([Denial(**dict(row)) for row in rows[start : start + 500]])
