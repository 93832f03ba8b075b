"""How Redis is reached: one server, the master that Sentinels name, or a cluster. Nothing is ever sent twice."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.maint_notifications import MaintNotificationsConfig

from auth_service.config import Settings
from auth_service.core.stores.deadline import Deadline
from auth_service.core.stores.pulse import Pulse
from auth_service.core.stores.redis_pool import SentinelStorePool, StorePool, watched
from auth_service.core.stores.waiting import StoreSlots
from auth_service.store_urls.redis import Kind, RedisAddress


def open_redis(settings: Settings) -> Redis:
    """Connects to nothing yet. A cluster's client has the commands of `Redis` that we use, so it passes for one."""
    timeout = settings.redis_timeout_ms / 1000
    network: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # redis-py repeats ten times by itself, scripts included: one rotation would look like theft.
        "retry": Retry(NoBackoff(), 0),
        # With them redis-py lends connections that the server has closed, and a new one costs a round trip more.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    address = settings.redis_address
    pulse = Pulse()
    slots = StoreSlots(
        settings.redis_pool_size, settings.pool_queue, settings.pool_wait_seconds, pool="redis", pulse=pulse
    )
    pool: dict[str, Any] = {"max_connections": settings.redis_pool_size, "decode_responses": True, **network}
    if address.kind is Kind.CLUSTER:
        return cast(Redis, _Cluster(address, timeout, pool, slots, pulse))
    if address.kind is Kind.SENTINEL:
        # Else the Sentinels would be asked with redis-py's own ten repetitions.
        of_sentinels = network | address.sentinel_options
        sentinels = Sentinel(address.hosts, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
        for sentinel in sentinels.sentinels:
            asked = sentinel.connection_pool
            asked.connection_class = watched(asked.connection_class, Pulse())
        return cast(
            Redis,
            sentinels.master_for(
                address.service,
                redis_class=_Client,
                connection_pool_class=SentinelStorePool,
                slots=slots,
                pulse=pulse,
                **pool,
                **address.options,
            ),
        )
    return _Client.from_pool(StorePool(slots=slots, pulse=pulse, **address.options, **pool))


def slots_of(redis: Redis) -> StoreSlots:
    return redis.slots if isinstance(redis, _Cluster) else cast(StorePool, redis.connection_pool).slots


async def connect_all(redis: Redis) -> None:
    """What a flood would have to connect first, in its own time: new connections, and those that the server closed."""
    if isinstance(redis, _Cluster):
        await redis.connect_all()
    else:
        await cast(StorePool, redis.connection_pool).connect_all()


async def keep_connected(redis: Redis) -> None:
    """A job: connections of which no request knows yet that they are dead are found and replaced."""
    await ping_masters(redis)
    await connect_all(redis)


async def close_redis(redis: Redis) -> None:
    await redis.aclose()
    if not isinstance(redis, RedisCluster) and isinstance(redis.connection_pool, SentinelStorePool):
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


class _Client(Redis):
    """Asks once and keeps no account of it: redis-py's ways to repeat and to count are an eighth of a command."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        pool = self.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            return await self._send_command_parse_response(connection, args[0], *args, **options)  # type: ignore[no-untyped-call]
        except (RedisConnectionError, RedisTimeout):
            await connection.disconnect()
            raise
        finally:
            await pool.release(connection)


class Script:
    """A Lua script. redis-py's own loads a missing one into every master of a cluster, and one of them may be down."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            try:
                return await redis.evalsha(self._sha, len(keys), *keys, *args)
            except NoScriptError:  # so it did not run
                return await redis.eval(self._text, len(keys), *keys, *args)
        except ResponseError as error:
            # We would stay with a master that was made a replica. Redis 6 wraps the refusal in an error of the script,
            # which redis-py does not recognise; of later ones it cuts the word off.
            refused = isinstance(error, ReadOnlyError) or "READONLY" in str(error)
            if refused and not isinstance(redis, RedisCluster):
                await redis.connection_pool.disconnect(inuse_connections=False)
                raise ReadOnlyError("The master has become a replica.") from None
            raise


class _Cluster(RedisCluster):
    """redis-py's own raises at once where all connections are in use, and asks frozen nodes one after the other."""

    def __init__(
        self, address: RedisAddress, timeout: float, pool: dict[str, Any], slots: StoreSlots, pulse: Pulse
    ) -> None:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        # Steps 0: a moved slot is noted. Else each fifth one closes all connections, also those that others use.
        super().__init__(startup_nodes=nodes, reinitialize_steps=0, **pool, **address.options)
        # Of the nodes that it finds, and of those that it was given; it has no parameter for it.
        ours = watched(self.connection_kwargs["connection_class"], pulse)
        self.connection_kwargs["connection_class"] = ours
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = ours
        self.slots = slots
        self._patience = 3 * timeout  # to read the map of slots, to be sent elsewhere, and for the command itself

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        await self.slots.take()
        try:
            async with Deadline(self._patience):
                return await super().execute_command(*args, **kwargs)
        except TimeoutError:
            raise RedisTimeout("The cluster did not answer in time.") from None
        finally:
            self.slots.pass_on()

    async def connect_all(self) -> None:
        await self.initialize()
        for node in self.get_primaries():
            while self.slots.free and not self.slots.waiting and (cold := _cold(node)) is not None:
                await self.slots.take()  # who has one finds a connection, so this one has to be had for it too
                try:
                    if cold.should_reconnect():  # type: ignore[no-untyped-call]
                        await cold.disconnect()
                    await cold.connect()  # type: ignore[no-untyped-call]
                finally:
                    node.release(cold)
                    self.slots.pass_on()


def _cold(node: ClusterNode) -> Connection | None:
    """Taken out of the node's: not connected, or not any more. It hands out only the one that has waited longest."""
    warm = []
    try:
        while True:
            connection = node.acquire_connection()
            if not connection.is_connected or connection.should_reconnect():  # type: ignore[no-untyped-call]
                return connection
            warm.append(connection)
    except MaxConnectionsError:
        return None
    finally:
        for connection in warm:
            node.release(connection)
