"""What is measured for whoever scrapes: in the stores at most once in some seconds, and of the worker's own pools."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from sqlalchemy.pool import QueuePool

from auth_service.core.connections import Resources
from auth_service.core.errors import is_store_failure
from auth_service.core.priority_slots import going_first
from auth_service.core.stores.redis_client import fullest_memory, ping_masters, slots_of

log = structlog.get_logger(__name__)

KEPT_SECONDS = 5.0
POOLS_SECONDS = 5.0
# The names are those of metrics.MEASURED.
Measure = Callable[[Resources], Awaitable[dict[str, float]]]


class Measures:
    """Of one app; `of_postgres` are asked one after the other, all within DATABASE_TIMEOUT_SECONDS."""

    def __init__(self, of_postgres: Sequence[Measure]) -> None:
        self._of_postgres = of_postgres
        self._values: dict[str, float] = {}
        self._until = 0.0
        self._at_it = asyncio.Lock()

    async def take(self, resources: Resources) -> dict[str, float]:
        """What a sick store did not tell is missing; scrapers that come together share one look."""
        now = asyncio.get_running_loop().time
        async with self._at_it:
            if now() >= self._until:
                with going_first():  # busy is not down
                    postgres, redis = await asyncio.gather(self._postgres(resources), _redis(resources))
                self._values = postgres | redis
                self._until = now() + KEPT_SECONDS
            return self._values

    async def _postgres(self, resources: Resources) -> dict[str, float]:
        values = {"auth_postgres_up": 0.0}
        try:
            async with asyncio.timeout(resources.settings.database_timeout_seconds):
                await resources.hot.fetchval("SELECT 1")
                values["auth_postgres_up"] = 1.0
                for measure in self._of_postgres:
                    values |= await measure(resources)
        except Exception as error:
            if not is_store_failure(error):
                raise
            log.warning("not_measured", store="postgres", kind=type(error).__name__)
        return values


async def _redis(resources: Resources) -> dict[str, float]:
    values = {"auth_redis_up": 0.0}
    try:
        await ping_masters(resources.redis)
        values["auth_redis_up"] = 1.0
        used, limit = await fullest_memory(resources.redis)
        values["auth_redis_memory_bytes"] = float(used)
        if limit:
            values["auth_redis_memory_limit_bytes"] = float(limit)
    except Exception as error:
        if not is_store_failure(error):
            raise
        log.warning("not_measured", store="redis", kind=type(error).__name__)
    return values


async def measure_pools(resources: Resources) -> None:
    """A job of each worker: a scrape reaches only one of them."""
    resources.metrics.tally()
    pool = resources.engine.pool
    assert isinstance(pool, QueuePool)  # noqa: S101  what open_resources makes
    size = resources.settings.database_pool_size
    hot = resources.hot
    resources.metrics.show_pool("postgres", pool.checkedout(), size)
    resources.metrics.show_pool("postgres_hot", hot.get_size() - hot.get_idle_size(), size)
    resources.metrics.show_pool("redis", slots_of(resources.redis).taken, resources.settings.redis_pool_size)
    hashes = resources.settings.hash_workers + resources.settings.hash_queue
    resources.metrics.show_pool("hashing", resources.hasher.inside, hashes)
