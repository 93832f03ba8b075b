"""Real Postgres and Redis for every test: DATABASE_URL and REDIS_URL if set, else throw-away servers of our own.

TEST_REDIS=cluster or TEST_REDIS=sentinel runs the tests on a Redis of that kind, TEST_POSTGRES=pgbouncer behind a
pooler in transaction mode.
"""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import hypothesis
import pytest
import structlog
from fastapi import FastAPI

from auth_service.config import Settings
from auth_service.core import coherence, leases
from auth_service.core.clock import Clock, utc_now
from auth_service.core.connections import Resources
from auth_service.core.passwords import hashing as passwords
from auth_service.core.telemetry.log import as_dicts
from auth_service.main import create_app
from tests.support.api import Api
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.redis_topologies import Topology, cluster, flush, sentinel_set
from tests.support.service_process import ServiceProcess, running_service

if TYPE_CHECKING:
    from tests.support.installation import Installation, WellStores

# A busy machine is no failure.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# What the apps in this process log, as JSON: structlog's own default takes seconds to draw a traceback in colour.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(as_dicts),
        structlog.processors.JSONRenderer(ensure_ascii=False),  # a text is found as it is
    ]
)

ROOT = Path(__file__).parent.parent
# What one test is given no other sends along; browsers are in tests/support.
KEEPING_NONE = DefaultCookiePolicy(allowed_domains=[])
TEST_SECRET = "a secret of the test suite, thirty-two bytes at least"


# What a hash costs is the point of it, and nine tenths of what most tests would wait for.
SHIPPED_HASHES = passwords._context
CHEAP_HASHES = SHIPPED_HASHES.copy(argon2__memory_cost=64, argon2__time_cost=1)


# The apps of this process begin and end by the hundred. The first changes of each would wait for the leases of workers
# that it has not heard yet; here `running_app` waits until it has heard them, where there are any.
leases.LEASE_SECONDS, leases.BEAT_SECONDS = 0.3, 0.075
leases.SIT_OUT_SECONDS = leases.LEASE_SECONDS + leases.MARGIN_SECONDS
coherence.Leases = lambda me, _begun, lease, margin: leases.Leases(me, float("-inf"), lease, margin)  # type: ignore[misc,assignment]
_running: Counter[str] = Counter()  # apps of this process, by database


@pytest.fixture(scope="session", autouse=True)
def _cheap_hashes() -> Iterator[None]:
    """In this process, and for what the tests of a file share; each process of the service hashes as shipped."""
    passwords._context = CHEAP_HASHES
    yield
    passwords._context = SHIPPED_HASHES


@pytest.fixture(autouse=True)
def _shipped_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For `@pytest.mark.real_hashes`."""
    if request.node.get_closest_marker("real_hashes") is not None:
        monkeypatch.setattr(passwords, "_context", SHIPPED_HASHES)


@dataclass(frozen=True)
class Servers:
    """`database_url` is a maintenance database where this worker may create others."""

    database_url: str
    redis_url: str
    worker: str
    pooler: PgBouncer | None = None
    second_redis_url: str = ""  # a cluster has no databases, so there is another one for tests that flush

    def database(self, name: str) -> str:
        return urlunsplit(urlsplit(self.database_url)._replace(path=f"/{name}"))

    def database_settings(self, name: str) -> dict[str, str]:
        """For an app on it."""
        direct = self.database(name)
        if self.pooler is None:
            return {"database_url": direct}
        return {"database_url": self.pooler.url(direct), "database_direct_url": direct}

    def redis_db(self, offset: int) -> str:
        """Two Redis databases for each xdist worker: 0 the shared app's, 1 for tests that flush."""
        if self.second_redis_url:
            return (self.redis_url, self.second_redis_url)[offset]
        number = int(self.worker.removeprefix("gw") or 0) if self.worker.startswith("gw") else 0
        return urlunsplit(urlsplit(self.redis_url)._replace(path=f"/{2 * number + offset}"))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Servers]:
    database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if database_url and redis_url:
        yield Servers(database_url, redis_url, worker_id)
        return
    from auth_service.embedded.postgres import start_postgres
    from auth_service.embedded.redis import start_redis

    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        postgres = start_postgres(folder / "postgres", durable=False)
        stack.callback(postgres.stop)
        pooler = None
        if os.environ.get("TEST_POSTGRES") == "pgbouncer":
            pooler = stack.enter_context(pgbouncer(folder / "pgbouncer", postgres.url))
        match os.environ.get("TEST_REDIS", ""):
            case "cluster":
                first, second = (stack.enter_context(cluster(folder / name)) for name in ("first", "second"))
                yield Servers(postgres.url, first.url, worker_id, pooler, second.url)
            case "sentinel":
                sentinels = stack.enter_context(sentinel_set(folder / "redis"))
                yield Servers(postgres.url, sentinels.url, worker_id, pooler)
            case "":
                redis = start_redis(folder / "redis", durable=False)
                stack.callback(redis.stop)
                yield Servers(postgres.url, redis.url, worker_id, pooler)
            case other:
                raise pytest.UsageError(f"TEST_REDIS is cluster or sentinel, not {other}")


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with cluster(tmp_path_factory.mktemp("cluster")) as topology:
        yield topology


@pytest.fixture(scope="session")
def redis_sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with sentinel_set(tmp_path_factory.mktemp("sentinels")) as topology:
        yield topology


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of a migrated database that others are copied from."""
    name = f"auth_template_{servers.worker}"
    asyncio.run(_recreate(servers, name))
    migrated = subprocess.run(
        [sys.executable, "-m", "auth_service", "migrate"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": servers.database(name), "REDIS_URL": servers.redis_db(0)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stderr
    return name


async def _recreate(servers: Servers, name: str, template: str = "template0") -> None:
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    finally:
        await connection.close()


def test_settings(**overrides: Any) -> Settings:
    """Rate limits out of the way, timeouts for a busy machine; everything else as shipped."""
    values: dict[str, Any] = {
        "app_env": "test",
        "secret_key": TEST_SECRET,
        "rate_limit_login": "100000/minute",
        "rate_limit_register": "100000/minute",
        "rate_limit_refresh": "100000/minute",
        "rate_limit_token": "100000/minute",
        "database_timeout_seconds": 20,
        "redis_timeout_ms": 5000,
        "hash_queue": 1000,
        "database_pool_size": 3,  # each app connects its pools at its start
        "redis_pool_size": 4,
        "drain_seconds": 0,
        "login_address_failure_limit": 100_000,  # all tests of a worker have one address
    }
    return Settings(_env_file=None, **(values | overrides))


test_settings.__test__ = False  # type: ignore[attr-defined]  # pytest: a maker, not a test


@asynccontextmanager
async def running_app(settings: Settings, clock: Clock = utc_now) -> AsyncIterator[Api]:
    app = create_app(settings, clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 50000)),
            base_url="http://localhost",
            cookies=CookieJar(KEEPING_NONE),
        ) as http,
    ):
        resources: Resources = app.state.resources
        await resources.keys.load()
        with suppress(TimeoutError):  # without Postgres there is no lease
            async with asyncio.timeout(leases.LEASE_SECONDS):
                while not resources.coherence.hears():  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        database = settings.asyncpg_dsn.rpartition("/")[2]
        if _running[database]:
            await asyncio.sleep(2 * leases.BEAT_SECONDS)
        _running[database] += 1
        try:
            yield Api(http, resources, app)
        finally:
            _running[database] -= 1


@pytest.fixture(scope="session")
async def shared_settings(servers: Servers, template: str) -> Settings:
    name = f"auth_shared_{servers.worker}"
    await _recreate(servers, name, template)
    flush(servers.redis_db(0))
    return test_settings(**servers.database_settings(name), redis_url=servers.redis_db(0))


@pytest.fixture(scope="session")
async def api(shared_settings: Settings) -> AsyncIterator[Api]:
    """The app in this process, shared by all tests of the worker: make your own users, roles and services."""
    async with running_app(shared_settings) as api:
        yield api


class Fresh:
    """Apps on databases of their own, for tests that count superusers, flush Redis or move the clock."""

    def __init__(self, servers: Servers, template: str, stack: AsyncExitStack) -> None:
        self._servers = servers
        self._template = template
        self._stack = stack
        self._count = 0

    async def settings(self, **overrides: Any) -> Settings:
        """A newly migrated database and an empty Redis database."""
        self._count += 1
        name = f"auth_fresh_{self._servers.worker}_{self._count}"
        await _recreate(self._servers, name, self._template)
        flush(self._servers.redis_db(1))
        urls = {**self._servers.database_settings(name), "redis_url": self._servers.redis_db(1)}
        return test_settings(**(urls | overrides))

    async def api(self, clock: Clock = utc_now, **overrides: Any) -> Api:
        return await self.on(await self.settings(**overrides), clock)

    async def on(self, settings: Settings, clock: Clock = utc_now) -> Api:
        """One more app ("replica") on the stores of `settings`."""
        return await self._stack.enter_async_context(running_app(settings, clock))

    async def service(
        self, settings: Settings, *, workers: int = 1, port: int | None = None, **environment: str
    ) -> ServiceProcess:
        """The shipped command `auth-service serve` as a process of its own, over TCP."""
        return await self._stack.enter_async_context(running_service(settings, workers, environment, port))


@pytest.fixture
async def fresh(servers: Servers, template: str) -> AsyncIterator[Fresh]:
    async with AsyncExitStack() as stack:
        yield Fresh(servers, template, stack)


@pytest.fixture(scope="session")
async def well_installation(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> "AsyncIterator[WellStores]":
    from tests.support.installation import well_stores

    async with well_stores(servers, template, tmp_path_factory.mktemp("well")) as stores:
        yield stores


@pytest.fixture
def installation(well_installation: "WellStores", tmp_path: Path) -> "Installation":
    """In production and well, with a folder of its own; what a test changes of its stores it puts back."""
    return well_installation.installation(tmp_path)


@pytest.fixture
def app(shared_settings: Settings) -> FastAPI:
    """Not started: for what can be read off the routes."""
    return create_app(shared_settings)
