"""Whether Redis is there, is the right one, and keeps what it is given."""

from datetime import UTC, datetime
from typing import Any

from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, RedisError, TimeoutError

from auth_service.core.connections import Resources
from auth_service.doctor.finding import Finding, Severity, place_of
from auth_service.doctor.postgres import clock_findings

OLDEST_VERSION = (6, 2)
FULL_SHARE = 0.8
SETTING = "REDIS_URL"


async def redis(resources: Resources) -> list[Finding]:
    """Whether it lets us in, and says what it is."""
    try:
        await resources.redis.info("server")
    except (RedisError, OSError) as error:
        problem, fix = _why_not(error, place_of(resources.settings.redis_url))
        return [Finding("redis", SETTING, problem, fix)]
    return []


async def redis_version(resources: Resources) -> list[Finding]:
    version = str((await resources.redis.info("server"))["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_VERSION:
        return []
    return [Finding("redis_version", SETTING, f"is Redis {version}", "upgrade the server to Redis 6.2 or newer")]


async def redis_writable(resources: Resources) -> list[Finding]:
    if (await resources.redis.info("replication"))["role"] == "master":
        return []
    fix = "name the primary, or the Sentinels that know it"
    return [Finding("redis_writable", SETTING, "is a replica, which takes no writes", fix)]


async def redis_eviction(resources: Resources) -> list[Finding]:
    """What Redis drops by itself may be the denial of a token (SEC-1)."""
    policy = (await resources.redis.info("memory"))["maxmemory_policy"]
    if policy == "noeviction":
        return []
    problem = f"its maxmemory-policy is {policy}: under pressure it forgets that tokens were revoked"
    return [Finding("redis_eviction", SETTING, problem, "set `maxmemory-policy noeviction` in redis.conf")]


async def redis_memory(resources: Resources) -> list[Finding]:
    """At `noeviction` a full Redis refuses writes: no login, no refresh."""
    memory = await resources.redis.info("memory")
    used, most = int(memory["used_memory"]), int(memory["maxmemory"])
    if most == 0 or used <= FULL_SHARE * most:
        return []
    problem = f"{round(100 * used / most)} % of its maxmemory is used: when it is full nobody can log in"
    return [Finding("redis_memory", SETTING, problem, "raise maxmemory, or find out what else is kept in it")]


async def redis_persistence(resources: Resources) -> list[Finding]:
    """Lost memory is restored from Postgres, so this is a matter of speed after a restart."""
    if (await resources.redis.info("persistence"))["aof_enabled"]:
        return []
    problem = "keeps nothing over a restart: the denylist is then rebuilt from Postgres before anyone is let in"
    return [Finding("redis_persistence", SETTING, problem, "set `appendonly yes` in redis.conf", Severity.WARNING)]


async def redis_clock(resources: Resources) -> list[Finding]:
    before = resources.clock()
    seconds, micros = await resources.redis.time()
    theirs = datetime.fromtimestamp(seconds + micros / 1_000_000, UTC)
    return clock_findings(resources, "redis_clock", SETTING, theirs - before)


def _why_not(error: Any, place: str) -> tuple[str, str]:
    if isinstance(error, AuthenticationError):
        return (
            f"{place} wants a password, or another one",
            "write redis://user:password@host:6379/0 (percent-encoded); the user may be left out",
        )
    if isinstance(error, NoPermissionError):
        return f"{place} forbids its user a command", "allow it: ACL SETUSER … ~auth:* &auth:* +@all -@dangerous +info"
    if isinstance(error, BusyLoadingError):
        return f"{place} is still reading its data", "wait until it has, see its log"
    if isinstance(error, TimeoutError):
        return f"{place} does not answer", "see whether the server hangs, or a firewall drops packets"
    return f"{place} cannot be reached ({type(error).__name__})", "start the server, or correct host, port and TLS"
