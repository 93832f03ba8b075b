"""Postgres, Redis and the shipped command as processes of their own, in a temporary folder; without a container."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import free_port

START_SECONDS = 60
STOP_SECONDS = 30
COMMAND = [sys.executable, "-m", "auth_service"]


class NotReady(Exception):
    """Says what did not answer, and what it said instead."""


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
def own_stores(*, durable: bool = True, **environment: str) -> Iterator[OwnStores]:
    """Migrated, with the demo accounts; all of it ends with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = start_postgres(folder / "postgres", durable=durable)
        stack.callback(postgres.stop)
        redis = start_redis(folder / "redis", durable=durable)
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
def own_workers(
    stores: OwnStores, *, workers: int = 1, port: int | None = None, **environment: str
) -> Iterator[OwnService]:
    """Of the shipped command on these stores; several of these may run beside each other."""
    port = port or free_port()
    log = stores.folder / f"service-{port}.log"
    with log.open("wb") as output:
        service = subprocess.Popen(
            [*COMMAND, "serve", "--port", str(port), "--workers", str(workers)],
            env=_variables(stores, environment),
            stdout=output,
            stderr=output,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{base}/health/ready", service, log)
        yield OwnService(base, service.pid, stores.database_url, stores.redis_url)
    finally:
        service.terminate()
        try:
            service.wait(STOP_SECONDS)
        finally:
            service.kill()
            service.wait()


def wait_until_ready(url: str, process: "subprocess.Popen[bytes] | None" = None, log: Path | None = None) -> None:
    """Raises NotReady, with the end of `log`."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and (process is None or process.poll() is None):
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    said = log.read_text(errors="replace")[-2000:] if log is not None else ""
    raise NotReady(f"nothing answered at {url}; {said}")


def _variables(stores: OwnStores, environment: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": stores.database_url, "REDIS_URL": stores.redis_url, **environment}
