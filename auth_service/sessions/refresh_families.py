"""Refresh token families in Redis: one Lua script decides which of many racers rotates.

A family is a hash of two fields: `generation`, the newest that was handed out, and `rotated_at`, when, in
milliseconds of Redis' own clock, so that all workers go by one clock. What Redis does not know, Postgres does.
"""

from enum import StrEnum
from uuid import UUID

from redis.asyncio import Redis

from auth_service.core.stores.redis_client import Script

_ROTATE = Script("""
local known = redis.call('HMGET', KEYS[1], 'generation', 'rotated_at')
if not known[1] then return 'unknown' end
local generation, presented = tonumber(known[1]), tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if presented == generation then
    redis.call('HSET', KEYS[1], 'generation', generation + 1, 'rotated_at', now)
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return redis.status_reply('advanced')  -- which is read at once, a string's length before the string
end
if presented > generation then return 'unknown' end
if presented == generation - 1 and now - tonumber(known[2]) <= tonumber(ARGV[2]) then return 'repeated' end
return 'old'
""")

# Only forwards: a slow worker must not set a family back that another one has already advanced.
_RESTORE = Script("""
local known = tonumber(redis.call('HGET', KEYS[1], 'generation') or '-1')
if tonumber(ARGV[1]) > known then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'rotated_at', now - tonumber(ARGV[2]))
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
""")


class Verdict(StrEnum):
    """ADVANCED: first use. REPEATED: an honest double in the grace. OLD: perhaps stolen. UNKNOWN: ask Postgres."""

    ADVANCED = "advanced"
    REPEATED = "repeated"
    OLD = "old"
    UNKNOWN = "unknown"


class Families:
    """Raises redis errors (503) where Redis cannot say; it never repeats a command by itself (REF-7)."""

    def __init__(self, redis: Redis, *, grace_seconds: int, idle_seconds: int) -> None:
        self._redis = redis
        self._grace = grace_seconds * 1000
        self._life = idle_seconds * 1000

    async def rotate(self, session_id: UUID, presented: int) -> Verdict:
        return Verdict(await _ROTATE(self._redis, [_key(session_id)], [presented, self._grace, self._life]))

    async def restore(self, session_id: UUID, generation: int, age_seconds: float) -> None:
        """From the record in Postgres; also how a new session's family begins. `age_seconds` since its rotation."""
        args = [generation, max(0, round(age_seconds * 1000)), self._life]
        await _RESTORE(self._redis, [_key(session_id)], args)

    async def forget(self, session_ids: list[UUID]) -> None:
        """Housekeeping: the ended rows in Postgres are what refuses their tokens."""
        for session_id in session_ids:
            await self._redis.delete(_key(session_id))


def _key(session_id: UUID) -> str:
    return f"auth:{{{session_id}}}:family"
