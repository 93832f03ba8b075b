"""What no longer counts although its token has not expired: tokens, sessions, and a user's older epochs.

Postgres is the record, Redis what every worker reads on every request. A denial is committed first and
published before the caller is answered: see `announcing`. What could not be published is published by whoever
answers the next try, and by the next `catch_up`. What a failover of Redis loses, each worker knows from Postgres
within LEARN_SECONDS: see `learn`.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.config import Settings
from auth_service.core.clock import Clock
from auth_service.core.errors import AppError, Unavailable, is_store_failure
from auth_service.core.http.call import note_change
from auth_service.core.priority_slots import going_first
from auth_service.core.stores.redis_client import Script, ping_masters
from auth_service.core.telemetry.metrics import Metrics
from auth_service.core.tokens.access_tokens import AccessClaims
from auth_service.locks import Advisory, hold

log = structlog.get_logger(__name__)

CATCH_UP_SECONDS = 5
LEARN_SECONDS = 0.5
BUCKETS = 64  # of subjects: each is one slot of a cluster, so one command reads a subject's denials and its marker
MOST_AT_ONCE = 8
_OVERLAP = timedelta(seconds=60)  # a transaction may commit later than its recorded_at

# A late publisher must not lower an epoch or shorten a life; so values and lives only grow.
_PUBLISH = Script("""
for index = 1, #KEYS do
    local value, life = tonumber(ARGV[2 * index - 1]), tonumber(ARGV[2 * index])
    local known = tonumber(redis.call('GET', KEYS[index]) or '-1')
    if value > known or life > redis.call('PTTL', KEYS[index]) then
        redis.call('SET', KEYS[index], math.max(value, known), 'PX', life)
    end
end
return #KEYS
""")

# By an index of that expression: the record has no column for it, since older versions write it too.
_OF_SUBJECT = "SELECT key, value, expires_at FROM denials WHERE split_part(key, '}', 1) = $1 AND expires_at > $2"

# Only if Redis still remembers that the rebuilding began: it may have been emptied again meanwhile.
_FINISH_REBUILDING = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
""")


@dataclass(frozen=True, slots=True)
class Denial:
    """`key` is the record's, whose text is older than the buckets; Redis has it at `redis_key(key)`."""

    key: str
    value: int
    expires_at: datetime


def _session_key(subject: UUID, session_id: UUID) -> str:
    return f"auth:{{{subject}}}:sid:{session_id}"


def _token_key(subject: UUID, token_id: str) -> str:
    return f"auth:{{{subject}}}:jti:{token_id}"


def _epoch_key(subject: UUID) -> str:
    return f"auth:{{{subject}}}:epoch"


def redis_key(recorded: str) -> str:
    """Where Redis has what the record calls `auth:{<subject>}:…`."""
    subject, _, rest = recorded.removeprefix("auth:{").partition("}")
    return f"{_PREFIXES[_bucket_of(UUID(subject))]}{subject}{rest}"


def bucket_of_record(recorded: str) -> int:
    return _bucket_of(UUID(recorded.removeprefix("auth:{").partition("}")[0]))


def generation_key(bucket: int) -> str:
    """It must show the store's generation, else this bucket was flushed or its master restarted empty."""
    return f"{_PREFIXES[bucket]}generation"


def _rebuilding_key(bucket: int) -> str:
    return f"{_PREFIXES[bucket]}rebuilding"


def _bucket_of(subject: UUID) -> int:
    return subject.int % BUCKETS  # its last bits are random


_PREFIXES = [f"auth:{{b{bucket}}}:" for bucket in range(BUCKETS)]
_GENERATIONS = [generation_key(bucket) for bucket in range(BUCKETS)]


class NotRestored(Unavailable):
    """Whoever was waited for could not restore it; each by itself would fail the same way, one after the other."""


class Denylist:
    def __init__(self, redis: Redis, pool: asyncpg.Pool, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self._redis = redis
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        # No token of before the denial outlives this (OUT-2): the leeway once for the clock of the worker that
        # minted it, and once for the clock of the one that verifies it.
        self._life = timedelta(seconds=settings.access_token_seconds + 2 * settings.clock_leeway_seconds)
        self._at_once = min(MOST_AT_ONCE, settings.redis_pool_size)  # what one lends, so that nobody here is busy
        self._generation: str | None = None
        self._known: dict[str, tuple[int, datetime]] = {}  # by Redis key: value and expiry of what Postgres has
        self._learned_at: float | None = None
        self._learning = asyncio.Lock()
        self._seen: datetime | None = None
        self._caught_up_at = float("-inf")
        self._catching_up = asyncio.Lock()
        self._rebuilding = asyncio.Lock()
        self._restoring_failed_at = 0.0

    def session(self, subject: UUID, session_id: UUID) -> Denial:
        return Denial(_session_key(subject, session_id), 1, self._clock() + self._life)

    def token(self, claims: AccessClaims) -> Denial:
        return Denial(_token_key(claims.subject, claims.token_id), 1, self._clock() + self._life)

    def older_epochs(self, subject: UUID, epoch: int) -> Denial:
        """Denies every token minted with a smaller epoch."""
        return Denial(_epoch_key(subject), epoch, self._clock() + self._life)

    async def record(self, session: AsyncSession, denials: Sequence[Denial]) -> None:
        """In the caller's transaction, which is inside `announcing`, or before `publish_of`."""
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
        await ping_masters(self._redis)

    @asynccontextmanager
    async def announcing(self, subject: UUID) -> AsyncIterator[None]:
        """Around all of an act that ends something of the subject, with its transaction inside. Whatever the act
        answers, but a 503, is answered after `publish_of`: "there is no such session" also tells that it has ended,
        perhaps by a try before, whose 503 said that not every worker knew.
        """
        try:
            yield
        except Unavailable:
            raise
        except AppError:
            await self.publish_of(subject)
            raise
        await self.publish_of(subject)

    async def publish_of(self, subject: UUID | None) -> None:
        """After this no worker accepts what the record denies of the subject, whichever act it was that recorded it;
        raises a store failure (503) where that is not certain. None where nobody knows any more whose it was: all
        that this worker has not seen published.
        """
        note_change()
        if subject is None:
            await self._publish_recent()
        else:
            rows = await self._pool.fetch(_OF_SUBJECT, f"auth:{{{subject}", self._clock())
            await self._publish_rows(rows)

    async def publish(self, denials: Sequence[Denial]) -> None:
        """Of denials that are recorded each time anew; all others by `publish_of`."""
        await self._publish([(redis_key(denial.key), denial.value, denial.expires_at) for denial in denials])

    async def _publish(self, entries: Iterable[tuple[str, int, datetime]]) -> None:
        """(Redis key, value, expiry); it may be repeated, since values and lives only grow."""
        now = self._clock()
        buckets: defaultdict[str, list[tuple[str, int, datetime]]] = defaultdict(list)
        for entry in entries:
            if entry[2] > now:
                buckets[entry[0].partition("}")[0]].append(entry)
        failure: Exception | None = None
        for group in buckets.values():
            args = []
            for _, value, expires_at in group:
                args += [value, max(1, round((expires_at - now).total_seconds() * 1000))]
            try:
                await _PUBLISH(self._redis, [key for key, _, _ in group], args)
            except Exception as error:
                if not is_store_failure(error):
                    raise
                failure = error  # of one master; the others are told all the same
        if failure is not None:
            raise failure

    async def refuses(self, claims: AccessClaims) -> bool:
        """One command; raises a store failure where Redis cannot say: unknown is not no."""
        bucket = _bucket_of(claims.subject)
        of_subject = f"{_PREFIXES[bucket]}{claims.subject}"
        keys = [
            f"{of_subject}:sid:{claims.session_id}",
            f"{of_subject}:jti:{claims.token_id}",
            f"{of_subject}:epoch",
            _GENERATIONS[bucket],
        ]
        session, token, epoch, generation = await self._redis.mget(keys)
        if not self._remembers(generation):
            await self._restore(bucket)
            session, token, epoch, generation = await self._redis.mget(keys)
            if not self._remembers(generation):
                raise Unavailable("Redis lost its memory again while it was being restored.")
        if session is not None or token is not None or (epoch is not None and claims.epoch < int(epoch)):
            return True
        return await self._known_to_refuse(keys, claims)

    async def is_recorded(self, claims: AccessClaims) -> bool:
        """Whether Postgres has a denial of the token, published or not."""
        rows = await self._pool.fetch(_OF_SUBJECT, f"auth:{{{claims.subject}", self._clock())
        ended = {_session_key(claims.subject, claims.session_id), _token_key(claims.subject, claims.token_id)}
        epoch = _epoch_key(claims.subject)
        return any(row["key"] in ended or (row["key"] == epoch and claims.epoch < row["value"]) for row in rows)

    async def _known_to_refuse(self, keys: list[str], claims: AccessClaims) -> bool:
        """Redis says no denial; but a replica that was promoted has perhaps not heard of the last ones, or whoever
        recorded it could not publish it. Then it is published first: a 401 here, and a 200 at the next worker, would
        be two answers to one question.
        """
        if self._learned_at is None:
            async with self._learning:
                if self._learned_at is None:
                    await self.learn()
        known = self._known
        epoch = known.get(keys[2])
        if not (keys[0] in known or keys[1] in known or (epoch is not None and claims.epoch < epoch[0])):
            return False
        await self._publish([(key, *known[key]) for key in keys if key in known])
        return True

    async def learn(self) -> None:
        """Reads what was committed since the last time, by whichever worker. By the clock of Postgres alone."""
        started = asyncio.get_running_loop().time()
        # The first time all that can still matter; a denial is recorded no longer than its life before it expires.
        since = self._life if self._learned_at is None else timedelta(seconds=started - self._learned_at)
        rows = await self._pool.fetch(
            "SELECT key, value, expires_at FROM denials WHERE recorded_at > now() - $1::interval", since + _OVERLAP
        )
        for row in rows:
            key = redis_key(row["key"])
            value, expires_at = self._known.get(key, (row["value"], row["expires_at"]))
            self._known[key] = (max(value, row["value"]), max(expires_at, row["expires_at"]))
        self._learned_at = started

    def _remembers(self, generation: str | bytes | None) -> bool:
        return generation is not None and generation == self._generation

    async def _remembers_bucket(self, bucket: int) -> bool:
        return self._remembers(await self._redis.get(_GENERATIONS[bucket]))

    async def _restore(self, wanted: int) -> None:
        """Everyone waits for it, so it goes before everyone; and where it fails, for those who waited too."""
        try:
            with going_first():
                await self._rebuild(wanted)
        except NotRestored:
            raise
        except Exception:
            self._restoring_failed_at = monotonic()
            raise

    async def _rebuild(self, wanted: int, *, counts: bool = True) -> None:
        """Every bucket that a flush, an empty restart or another master has lost is published again, before anyone
        of it is let in. Raises a store failure if the wanted one cannot be.
        """
        asked_at = monotonic()
        async with self._rebuilding:
            if self._restoring_failed_at > asked_at:
                raise NotRestored
            if await self._remembers_bucket(wanted):
                return  # somebody was waited for who did it
            async with self._pool.acquire() as connection, connection.transaction():
                # One worker at a time; the others then find the generation in place.
                await hold(connection, Advisory.DENYLIST_REBUILD)
                recorded = await connection.fetchval("SELECT generation FROM store_generation WHERE id = 1")
                if recorded is None:
                    raise Unavailable("The schema is not migrated: run auth-service migrate.")
                self._generation = str(recorded)
                if await self._remembers_bucket(wanted):
                    return
                remembered = await self._where_possible(range(BUCKETS), self._remembers_bucket)
                lost = [bucket for bucket, whole in remembered.items() if not whole]
                attempt = secrets.token_hex(16)

                async def begin(bucket: int) -> Any:
                    return await self._redis.set(_rebuilding_key(bucket), attempt)

                async def finish(bucket: int) -> Any:
                    keys = [_rebuilding_key(bucket), _GENERATIONS[bucket]]
                    return await _FINISH_REBUILDING(self._redis, keys, [attempt, self._generation])

                begun = await self._where_possible(lost, begin)  # before the reading: what is published later stays
                rows = await connection.fetch(
                    "SELECT key, value, expires_at FROM denials WHERE expires_at > $1", self._clock()
                )
                await self._publish_rows([row for row in rows if bucket_of_record(row["key"]) in begun])
                done = await self._where_possible(begun, finish)
            self._metrics.denylist_rebuilds.inc(counts)
            log.warning("denylist_rebuilt", denials=len(rows), buckets=sum(map(bool, done.values())), lost=len(lost))

    async def catch_up(self) -> None:
        """Publishes what other workers committed and perhaps could not publish; forgets what has expired. The first
        time it sees to it that Redis has its memory: requests may not ask it before Postgres is away, and need it then.
        """
        if self._generation is None:
            await self._rebuild(0, counts=False)  # an empty one is what a new deployment begins with
        now = self._clock()
        self._known = {key: known for key, known in self._known.items() if known[1] > now}
        await self._publish_recent()
        await self._pool.execute("DELETE FROM denials WHERE expires_at < $1", now - _OVERLAP)

    async def _publish_recent(self) -> None:
        """What was committed since this worker last did it. One run serves all who asked before it began."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self._catching_up:
            if self._caught_up_at > asked:
                return
            began, newest = clock(), self._clock()
            rows = await self._pool.fetch(
                "SELECT key, value, expires_at FROM denials WHERE recorded_at > $1 AND expires_at > $2",
                (self._seen or newest - self._life) - _OVERLAP,
                newest,
            )
            await self._publish_rows(rows)
            self._seen, self._caught_up_at = newest, began

    async def _publish_rows(self, rows: Sequence[Any]) -> None:
        for start in range(0, len(rows), 500):
            await self.publish([Denial(**dict(row)) for row in rows[start : start + 500]])

    async def _where_possible(self, buckets: Iterable[int], act: Callable[[int], Awaitable[Any]]) -> dict[int, Any]:
        """The answers, without those of buckets whose master cannot be asked: that must not stop the others."""
        answers: dict[int, Any] = {}
        slots = asyncio.Semaphore(self._at_once)

        async def one(bucket: int) -> None:
            async with slots:
                try:
                    answers[bucket] = await act(bucket)
                except Exception as error:
                    if not is_store_failure(error):
                        raise
                    log.warning("denylist_bucket_unreachable", bucket=bucket, kind=type(error).__name__)

        await asyncio.gather(*(one(bucket) for bucket in buckets))
        return answers
