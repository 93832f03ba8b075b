"""The shipped service as real processes over TCP: for races between workers, kills and restarts."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from auth_service.config import Settings
from auth_service.embedded.server import free_port

START_SECONDS = 180  # a busy machine is no failure


@contextmanager
def held_port() -> Iterator[int]:
    """For a service that has to know its address before it starts.

    A `free_port` may be that of somebody's outgoing connection a second later, and the service could not listen there.
    This one is kept, in a way that lets a server listen beside it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@dataclass
class ServiceProcess:
    """`http` keeps many connections, so that parallel calls spread over the workers."""

    base_url: str
    pid: int
    http: httpx.AsyncClient
    log_path: Path
    process: asyncio.subprocess.Process

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as a shell would give them."""
    plain = settings.model_dump(exclude_defaults=True)
    values = {}
    for name, value in plain.items():
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        values[name.upper()] = ",".join(text) if isinstance(text, tuple) else str(text)
    return values


@asynccontextmanager
async def running_service(
    settings: Settings, workers: int, environment: dict[str, str], port: int | None = None
) -> AsyncIterator[ServiceProcess]:
    port = port or free_port()
    log_path = Path(tempfile.gettempdir()) / f"auth-service-{os.getpid()}-{port}.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "auth_service", "serve", "--port", str(port), "--workers", str(workers)),
            env={**os.environ, **environment_of(settings), **environment},
            stdout=log,
            stderr=log,
        )
    base_url = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=60, trust_env=False) as http:
        service = ServiceProcess(base_url, process.pid, http, log_path, process)
        try:
            await _until_ready(service, process)
            yield service
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 30)
                except TimeoutError:
                    process.kill()
                    await process.wait()
            log_path.unlink()


async def _until_ready(service: ServiceProcess, process: asyncio.subprocess.Process) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        assert process.returncode is None, service.log()
        with suppress(httpx.TransportError):  # not listening yet
            if (await service.http.get("/health/ready")).status_code == 200:
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not ready after {START_SECONDS} s:\n{service.log()}")
