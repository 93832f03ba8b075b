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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = start_postgres(folder / "postgres", durable=True)
        stack.callback(postgres.stop)
        redis = start_redis(folder / "redis", durable=True)
        stack.callback(redis.stop)
        variables = {**os.environ, "DATABASE_URL": postgres.url, "REDIS_URL": redis.url, **environment}
        command = [sys.executable, "-m", "auth_service"]
        for step in ("migrate", "seed-users"):
            subprocess.run([*command, step], env=variables, check=True, stdout=subprocess.DEVNULL)
        port = _free_port()
        arguments = ["serve", "--port", str(port), "--workers", str(workers)]
        service = subprocess.Popen(
            [*command, *arguments], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(_stop, service)
        base = f"http://127.0.0.1:{port}"
        _wait_until_ready(base)
        yield OwnService(base, service.pid, postgres.url, redis.url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(base: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(f"{base}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    sys.exit(f"the service was not ready after {START_SECONDS} s")


def _stop(service: "subprocess.Popen[bytes]") -> None:
    service.terminate()
    service.wait()
