"""Whether Redis is there, is the right one, and keeps what it is given."""

from redis.exceptions import RedisClusterException, RedisError

from auth_service.core.connections import Resources
from auth_service.core.stores.redis_client import clocks_of_masters, fullest_memory, info_of_masters
from auth_service.core.stores.trouble import of_redis
from auth_service.doctor.finding import Finding, Severity
from auth_service.doctor.postgres import clock_findings

OLDEST_VERSION = (6, 2)
FULL_SHARE = 0.8
SETTING = "REDIS_URL"


async def redis(resources: Resources) -> list[Finding]:
    """Whether it lets us in, and says what it is."""
    try:
        await info_of_masters(resources.redis, "server")
    except (RedisError, RedisClusterException, OSError) as error:
        trouble = of_redis(error)
        problem = f"{resources.settings.redis_address} {trouble.problem}"
        return [Finding("redis", SETTING, problem, trouble.fix)]
    return []


async def redis_version(resources: Resources) -> list[Finding]:
    found = []
    for node, info in (await info_of_masters(resources.redis, "server")).items():
        version = str(info["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
            fix = "upgrade the server to Redis 6.2 or newer"
            found.append(Finding("redis_version", SETTING, _of(node, f"is Redis {version}"), fix))
    return found


async def redis_writable(resources: Resources) -> list[Finding]:
    fix = "name the primary, or the Sentinels that know it"
    return [
        Finding("redis_writable", SETTING, _of(node, "is a replica, which takes no writes"), fix)
        for node, info in (await info_of_masters(resources.redis, "replication")).items()
        if info["role"] != "master"
    ]


async def redis_eviction(resources: Resources) -> list[Finding]:
    """What Redis drops by itself may be the denial of a token (SEC-1)."""
    found = []
    for node, info in (await info_of_masters(resources.redis, "memory")).items():
        policy = info["maxmemory_policy"]
        if policy != "noeviction":
            problem = f"its maxmemory-policy is {policy}: under pressure it forgets that tokens were revoked"
            fix = "set `maxmemory-policy noeviction` in redis.conf"
            found.append(Finding("redis_eviction", SETTING, _of(node, problem), fix))
    return found


async def redis_memory(resources: Resources) -> list[Finding]:
    """At `noeviction` a full Redis refuses writes: no login, no refresh."""
    used, most = await fullest_memory(resources.redis)
    if most == 0 or used <= FULL_SHARE * most:
        return []
    problem = f"{round(100 * used / most)} % of its maxmemory is used: when it is full nobody can log in"
    return [Finding("redis_memory", SETTING, problem, "raise maxmemory, or find out what else is kept in it")]


async def redis_persistence(resources: Resources) -> list[Finding]:
    """Lost memory is restored from Postgres, so this is a matter of speed after a restart."""
    problem = "keeps nothing over a restart: the denylist is then rebuilt from Postgres before anyone is let in"
    return [
        Finding(
            "redis_persistence", SETTING, _of(node, problem), "set `appendonly yes` in redis.conf", Severity.WARNING
        )
        for node, info in (await info_of_masters(resources.redis, "persistence")).items()
        if not info["aof_enabled"]
    ]


async def redis_clock(resources: Resources) -> list[Finding]:
    before = resources.clock()
    worst = max((theirs - before for theirs in await clocks_of_masters(resources.redis)), key=abs)
    return clock_findings(resources, "redis_clock", SETTING, worst)


def _of(node: str, problem: str) -> str:
    return f"{node}: {problem}" if node else problem
