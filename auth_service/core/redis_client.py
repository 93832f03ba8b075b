"""How Redis is reached: one server, the master that Sentinels name, or a cluster. Nothing is ever sent twice."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from auth_service.config import Settings
from auth_service.redis_url import Kind, RedisAddress


def open_redis(settings: Settings) -> Redis:
    """Connects to nothing yet. A cluster's client has the commands of `Redis` that we use, so it passes for one."""
    timeout = settings.redis_timeout_ms / 1000
    network: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # redis-py repeats ten times by itself, scripts included: one rotation would look like theft (M9).
        "retry": Retry(NoBackoff(), 0),
    }
    address = settings.redis_address
    pool: dict[str, Any] = {"max_connections": settings.redis_pool_size, "decode_responses": True, **network}
    if address.kind is Kind.CLUSTER:
        return cast(Redis, _Cluster(address, timeout, pool))
    if address.kind is Kind.SENTINEL:
        # Else the Sentinels would be asked with redis-py's own ten repetitions.
        of_sentinels = network | address.sentinel_options
        sentinels = Sentinel(address.hosts, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
        return cast(
            Redis,
            sentinels.master_for(
                address.service, connection_pool_class=_SentinelPool, timeout=timeout, **pool, **address.options
            ),
        )
    return Redis.from_pool(BlockingConnectionPool(timeout=timeout, **address.options, **pool))


async def close_redis(redis: Redis) -> None:
    await redis.aclose()
    if not isinstance(redis, RedisCluster) and isinstance(redis.connection_pool, _SentinelPool):
        await redis.connection_pool.sentinel_manager.aclose()


async def ping_masters(redis: Redis) -> None:
    """Raises a store failure unless each of them answers; a single Redis is one."""
    if isinstance(redis, RedisCluster):
        await redis.ping(target_nodes=RedisCluster.PRIMARIES)
    else:
        await redis.ping()


async def info_of_masters(redis: Redis, section: str) -> dict[str, dict[str, Any]]:
    """INFO by the master's address; a single Redis has the empty one."""
    if isinstance(redis, RedisCluster):
        return dict(await redis.info(section, target_nodes=RedisCluster.PRIMARIES))
    return {"": await redis.info(section)}


async def clocks_of_masters(redis: Redis) -> list[datetime]:
    if isinstance(redis, RedisCluster):
        told = (await redis.time(target_nodes=RedisCluster.PRIMARIES)).values()
    else:
        told = [await redis.time()]
    return [datetime.fromtimestamp(seconds + micros / 1_000_000, UTC) for seconds, micros in told]


async def fullest_memory(redis: Redis) -> tuple[int, int]:
    """(bytes used, limit or 0) of the master that is nearest to its limit; without limits, of the largest."""
    answers = (await info_of_masters(redis, "memory")).values()
    both = [(int(answer["used_memory"]), int(answer["maxmemory"])) for answer in answers]
    return max(both, key=lambda one: (one[0] / one[1] if one[1] else 0.0, one[0]))


class Script:
    """A Lua script. redis-py's own loads a missing one into every master of a cluster, and one of them may be down."""

    def __init__(self, redis: Redis, text: str) -> None:
        self._redis = redis
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return await self._redis.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:  # so it did not run
            return await self._redis.eval(self._text, len(keys), *keys, *args)
        except ResponseError as error:
            # Redis 6 wraps it in an error of the script, which redis-py does not recognise: we would stay with a
            # master that was made a replica.
            if "READONLY" in str(error) and not isinstance(self._redis, RedisCluster):
                await self._redis.connection_pool.disconnect(inuse_connections=False)
                raise ReadOnlyError("The master has become a replica.") from None
            raise


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Waits for a free connection, as the pool of a single Redis does, and not for all Sentinels one by one."""

    async def get_connection(self, *args: Any, **kwargs: Any) -> AbstractConnection:
        try:
            async with asyncio.timeout(None if self.timeout is None else 2 * self.timeout):
                connection = await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]
                return cast(AbstractConnection, connection)
        except TimeoutError:
            raise RedisTimeout("No Sentinel led to a master in time.") from None


class _Cluster(RedisCluster):
    """redis-py's own raises at once where all connections are in use, and asks frozen nodes one after the other."""

    def __init__(self, address: RedisAddress, timeout: float, pool: dict[str, Any]) -> None:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        # Steps 0: a moved slot is noted. Else each fifth one closes all connections, also those that others use.
        super().__init__(startup_nodes=nodes, reinitialize_steps=0, **pool, **address.options)
        self._turns = asyncio.Semaphore(pool["max_connections"])
        self._patience = 3 * timeout  # to wait for a turn, to read the map of slots, and for the command itself

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        try:
            async with asyncio.timeout(self._patience), self._turns:
                return await super().execute_command(*args, **kwargs)
        except TimeoutError:
            raise RedisTimeout("The cluster did not answer in time.") from None
