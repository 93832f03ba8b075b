"""Replicas of the shipped service behind a real nginx, and viewers who use it without a pause."""

import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from auth_service.config import Settings
from tests.conftest import ROOT
from tests.support.api import PASSWORD, V1
from tests.support.service_process import environment_of, free_port

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

START_SECONDS = 90
STOP_SECONDS = 60
FAIL_SECONDS = 2  # for so long nginx leaves a replica alone that refused it
_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream auth {{
{servers}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://auth;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host localhost;
            # Asked of another replica: what was not sent, and of what was sent only methods that may be repeated.
            proxy_next_upstream error timeout;
        }}
    }}
}}
"""


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Replica:
    """One `auth-service serve` of the code in `folder`."""

    def __init__(self, name: str, settings: Settings, logs: Path) -> None:
        self.name, self.port = name, free_port()
        self._settings, self._logs = settings, logs
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, folder: Path = ROOT) -> None:
        """Returns when it is ready."""
        with (self._logs / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "auth_service", "serve", "--port", str(self.port)),
                cwd=folder,
                env={**os.environ, **environment_of(self._settings)},
                stdout=log,
                stderr=log,
            )
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(START_SECONDS):
            while True:
                assert self._process.returncode is None, self.log()
                with suppress(httpx.TransportError):
                    if (await http.get(f"http://127.0.0.1:{self.port}/health/ready")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def stop(self) -> int | None:
        """SIGTERM, and the exit code."""
        if self._process is None:
            return None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            raise

    def log(self) -> str:
        return (self._logs / f"{self.name}.log").read_text(encoding="utf-8")


class Nginx:
    def __init__(self, folder: Path, replicas: Sequence[Replica]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder, self._replicas = folder, replicas

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._write(())
        process = await asyncio.create_subprocess_exec(
            "nginx", "-e", str(self._folder / "error.log"), "-c", str(self._folder / "nginx.conf")
        )
        self._pid = process.pid
        try:
            async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(START_SECONDS):
                while True:
                    assert process.returncode is None, self.errors()
                    with suppress(httpx.TransportError):
                        await http.get(f"{self.url}/health/live")
                        break
                    await asyncio.sleep(0.1)
            yield
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()

    async def leave_out(self, *replicas: Replica) -> None:
        """A reload, as an operator does it: the workers of before finish what they have."""
        self._write(replicas)
        os.kill(self._pid, signal.SIGHUP)
        await asyncio.sleep(2)

    def errors(self) -> str:
        return (self._folder / "error.log").read_text(encoding="utf-8")

    def _write(self, left_out: Sequence[Replica]) -> None:
        lines = [
            f"        server 127.0.0.1:{replica.port} max_fails=1 fail_timeout={FAIL_SECONDS}s"
            + (" down;" if replica in left_out else ";")
            for replica in self._replicas
        ]
        port = self.url.rpartition(":")[2]
        text = _CONFIGURATION.format(folder=self._folder, port=port, servers="\n".join(lines))
        (self._folder / "nginx.conf").write_text(text, encoding="utf-8")


@dataclass
class Load:
    """What viewers saw: every call by its kind, each failure in words, and how long the longest took."""

    calls: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.calls.values())

    def report(self, title: str) -> None:
        ordered = sorted(self.seconds)
        p99 = ordered[int(len(ordered) * 0.99)]
        say(
            f"{title}: {self.requests} requests {dict(self.calls)}, {len(self.failures)} failed, "
            f"p99 {p99 * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms"
        )
        for failure in self.failures[:20]:
            say(f"  failed: {failure}")


@asynccontextmanager
async def viewers(url: str, logins: Sequence[str], per_second: float) -> AsyncIterator[Load]:
    """One viewer for each login; together about `per_second` requests, on connections of their own."""
    load = Load()
    stop = asyncio.Event()
    # To nginx a new connection each: the race looked for is between nginx and the service.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as http:
        pause = len(logins) / per_second
        tasks = [asyncio.create_task(_watch(http, login, load, stop, pause)) for login in logins]
        try:
            yield load
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def _watch(http: httpx.AsyncClient, login: str, load: Load, stop: asyncio.Event, pause: float) -> None:
    dice = random.Random(login)
    access = refresh = ""
    while not stop.is_set():
        kind = "login" if not access else dice.choices(("login", "refresh", "check", "me", "roles"), (1, 2, 4, 2, 1))[0]
        body = await _call(http, load, kind, login=login, access=access, refresh=refresh)
        if kind in {"login", "refresh"} and body is not None:
            access, refresh = body["access_token"], body["refresh_token"]
        elif body is None:
            access = ""  # counted; begins anew
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), dice.uniform(0.5, 1.5) * pause)


async def _call(
    http: httpx.AsyncClient, load: Load, kind: str, *, login: str, access: str, refresh: str
) -> dict[str, str] | None:
    bearer = {"Authorization": f"Bearer {access}"}
    started = time.perf_counter()
    try:
        match kind:
            case "login":
                answer = await http.post(f"{V1}/auth/login", json={"login": login, "password": PASSWORD})
            case "refresh":
                answer = await http.post(f"{V1}/auth/refresh", json={"refresh_token": refresh})
            case "check":
                answer = await http.post(f"{V1}/permissions/check", json={"permission": "films:read"}, headers=bearer)
            case "me":
                answer = await http.get(f"{V1}/users/me", headers=bearer)
            case _:
                answer = await http.get(f"{V1}/roles", headers=bearer)
        failure = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"
    except httpx.TransportError as error:
        failure = repr(error)
    seconds = time.perf_counter() - started
    load.calls[kind] += 1
    load.seconds.append(seconds)
    if failure:
        load.failures.append(f"{time.strftime('%H:%M:%S')} {kind} after {seconds:.2f} s: {failure}")
        return None
    found: dict[str, str] = answer.json() if kind in {"login", "refresh"} else {}
    return found
