"""What a process opens at start and closes at its end: Postgres, Redis, and what lives on them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from auth_service.config import Settings
from auth_service.core.clock import Clock, utc_now
from auth_service.core.coherence import Coherence
from auth_service.core.passwords.hashing import PasswordHasher
from auth_service.core.secrets import Secrets
from auth_service.core.stores.postgres import Primary, open_engine
from auth_service.core.stores.postgres_pools import HotPool, session_pool
from auth_service.core.stores.redis_client import close_redis, open_redis
from auth_service.core.stores.waiting import StoreSlots
from auth_service.core.telemetry.metrics import Metrics
from auth_service.core.tokens.denylist import Denylist
from auth_service.core.tokens.keys import KeyRing

CLOSE_SECONDS = 2.0
Database = async_sessionmaker[AsyncSession]


@dataclass(frozen=True)
class Resources:
    """A use case takes this first when it owns its transaction: `async with resources.db.begin() as session`."""

    settings: Settings
    clock: Clock
    secrets: Secrets
    primary: Primary  # what both pools connect to
    direct: Primary  # for who needs a session of their own; the same where no pooler is in front
    engine: AsyncEngine
    db: Database
    hot: HotPool  # the check and the refresh: no ORM, and no queue behind a login flood
    redis: Redis
    hasher: PasswordHasher
    keys: KeyRing
    denylist: Denylist
    metrics: Metrics
    coherence: Coherence


@asynccontextmanager
async def open_resources(
    settings: Settings, clock: Clock = utc_now, metrics: Metrics | None = None
) -> AsyncIterator[Resources]:
    """Connects to nothing yet: a store that is down is met by the first request, as a 503 (REL-10)."""
    timeout = settings.database_timeout_seconds
    milliseconds = str(round(timeout * 1000))
    # The server's own limits free locks that a client-side timeout leaves behind.
    server_settings = {
        "application_name": "auth-service",
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": str(round(timeout * 2500)),
        "timezone": "UTC",
    }
    connect: dict[str, Any] = {
        "timeout": timeout,
        "command_timeout": timeout,
        "server_settings": server_settings,
    }
    direct = primary = Primary(settings.direct_address, has_sessions=settings.pooled)
    if settings.pooled:
        primary = Primary(settings.postgres_address, pooled=True)
    engine = open_engine(
        primary,
        connect,
        ping_seconds=timeout / 2,
        poolclass=session_pool(_slots(settings, primary, "postgres")),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        hide_parameters=True,  # a failed statement goes into the log (AUD-2)
        pool_recycle=1800,
    )
    redis = open_redis(settings)
    hot = HotPool(
        primary,
        _slots(settings, primary, "postgres_hot"),
        settings.database_pool_size,
        max_inactive_connection_lifetime=1800,
        reset=_keep_as_it_is,
        timeout=timeout,
        server_settings=server_settings,
    )
    await hot
    secrets = Secrets(settings)
    hasher = PasswordHasher(settings.hash_workers, settings.hash_queue)
    metrics = metrics or Metrics()
    coherence = Coherence(direct, settings, metrics)
    try:
        yield Resources(
            settings=settings,
            clock=clock,
            secrets=secrets,
            primary=primary,
            direct=direct,
            engine=engine,
            db=async_sessionmaker(engine, expire_on_commit=False),
            hot=hot,
            redis=redis,
            hasher=hasher,
            keys=KeyRing(hot, secrets, settings, clock, coherence.hears),
            denylist=Denylist(redis, hot, settings, clock, metrics),
            metrics=metrics,
            coherence=coherence,
        )
    finally:
        hasher.close()
        await close_redis(redis)
        try:
            await asyncio.wait_for(hot.close(), CLOSE_SECONDS)
        except TimeoutError:
            hot.terminate()  # a frozen Postgres does not say goodbye
        await engine.dispose()


def _slots(settings: Settings, primary: Primary, pool: str) -> StoreSlots:
    return StoreSlots(
        settings.database_pool_size, settings.pool_queue, settings.pool_wait_seconds, pool=pool, pulse=primary.pulse
    )


async def _keep_as_it_is(_connection: asyncpg.Connection) -> None:
    """In place of asyncpg's RESET ALL after each use, a round trip of its own: nothing here changes a connection's
    settings or takes a lock beyond its transaction, and one that is still open is rolled back all the same.
    """


async def get_resources(request: Request) -> Resources:
    # async only because FastAPI runs plain functions in a thread, which costs each request 90 µs.
    resources: Resources = request.app.state.resources
    return resources


Res = Annotated[Resources, Depends(get_resources)]
