"""A service of one's own for a measurement: Postgres, Redis and the shipped command in a temporary folder."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis

START_SECONDS = 60
COMMAND = [sys.executable, "-m", "auth_service"]


@dataclass(frozen=True)
class OwnStores:
    database_url: str
    redis_url: str
    folder: Path


@dataclass(frozen=True)
class OwnService:
    """`pid` is the one that `auth-service serve` has: the worker's, where there is one."""

    base: str
    pid: int
    database_url: str
    redis_url: str


@contextmanager
def own_service(*, workers: int = 1, **environment: str) -> Iterator[OwnService]:
    """Migrated, with the demo accounts, ready; all of it ends with the block."""
    with own_stores(**environment) as stores, own_workers(stores, workers=workers, **environment) as service:
        yield service


@contextmanager
def own_stores(**environment: str) -> Iterator[OwnStores]:
    """Migrated, with the demo accounts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = start_postgres(folder / "postgres", durable=True)
        stack.callback(postgres.stop)
        redis = start_redis(folder / "redis", durable=True)
        stack.callback(redis.stop)
        stores = OwnStores(postgres.url, redis.url, folder)
        for step in ("migrate", "seed-users"):
            subprocess.run(
                [*COMMAND, step],
                env=_variables(stores, {"LOG_LEVEL": "WARNING", **environment}),
                check=True,
                stdout=subprocess.DEVNULL,
            )
        yield stores


@contextmanager
def own_workers(stores: OwnStores, *, workers: int = 1, **environment: str) -> Iterator[OwnService]:
    """Of the shipped command on these stores; several of these may run beside each other."""
    port = free_port()
    arguments = ["serve", "--port", str(port), "--workers", str(workers)]
    service = subprocess.Popen(
        [*COMMAND, *arguments],
        env=_variables(stores, environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{base}/health/ready")
        yield OwnService(base, service.pid, stores.database_url, stores.redis_url)
    finally:
        service.terminate()
        service.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    sys.exit(f"nothing answered at {url} after {START_SECONDS} s")


def _variables(stores: OwnStores, environment: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": stores.database_url, "REDIS_URL": stores.redis_url, **environment}
