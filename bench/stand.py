"""The stand of a measurement: stores, the service, and the sides it is compared with, each a process of its own.

All of them run at once and take turns at being asked. Each that is measured is started on the server's core; stores
and load are on the other one.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import psutil

from auth_service.embedded.server import free_port
from auth_service.seed import DEMO_USERS
from auth_service.testing.processes import OwnStores, own_stores, own_workers, wait_until_ready
from bench.cores import on_core
from bench.load import Call
from bench.people import People
from bench.rules import Rules, rules_of

ROOT = Path(__file__).parents[1]
# As shipped, but for two things: limits by address would refuse a load that comes from one, and stopping may be quick.
LIMITS = {f"RATE_LIMIT_{name}": "100000000/minute" for name in ("LOGIN", "REFRESH", "TOKEN", "REGISTER")}
LIMITS["DRAIN_SECONDS"] = "0"
UNCACHED = {"CHECK_CACHE_BYTES": "0"}


@dataclass(frozen=True)
class Side:
    base: str
    process: psutil.Process

    def ask(self, call: Call) -> httpx.Response:
        """One request; raises unless it is answered with a 2xx."""
        answer = self.try_to_ask(call)
        answer.raise_for_status()
        return answer

    def try_to_ask(self, call: Call) -> httpx.Response:
        """One request, whatever is answered."""
        with httpx.Client(base_url=self.base, trust_env=False, timeout=30) as http:
            return http.request(call.method, call.path, headers=call.headers, content=call.body or None)


class Stand:
    """`core`: where servers run; None: nothing is pinned. Everything ends with the stack."""

    def __init__(self, stack: ExitStack, stores: OwnStores, core: int | None) -> None:
        self._stack = stack
        self._core = core
        self.stores = stores
        self.people = People(stores)
        self.rules: Rules = rules_of(stores.database_url)

    def service(self, **environment: str) -> Side:
        """One worker of the shipped command."""
        with on_core(self._core):
            service = self._stack.enter_context(own_workers(self.stores, workers=1, **LIMITS, **environment))
        return Side(service.base, psutil.Process(service.pid))

    def app(self, name: str, ready: str, python: Path | None = None, **environment: str) -> Side:
        """An app of bench.peers; `ready`: a path that it answers with 200."""
        port = free_port()
        command = [str(python or sys.executable), "-m", "bench.peers.serve", name, "--port", str(port)]
        stores = {"DATABASE_URL": self.stores.database_url, "REDIS_URL": self.stores.redis_url}
        return self.program(command, port, ready, **stores, **environment)

    def program(self, command: list[str], port: int, ready: str, **environment: str) -> Side:
        with on_core(self._core):
            process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                cwd=self.stores.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._stack.callback(_stop, process)
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{base}{ready}")
        return Side(base, psutil.Process(process.pid))

    def raw(self, service: Side, calls: list[Call], session: UUID) -> Side:
        """The raw app, with what the service answered to these calls."""
        recorded = {}
        for call in calls:
            answer = service.ask(call)
            headers = [(name.decode(), value.decode()) for name, value in answer.headers.raw if name != b"date"]
            recorded[call.path.partition("?")[0]] = (answer.status_code, headers, answer.text)
        path = self.stores.folder / "answers.json"
        path.write_text(json.dumps(recorded), encoding="utf-8")
        plain = next(call.path for call in calls if call.method == "GET")
        return self.app("bench.peers.raw:app", plain, BENCH_ANSWERS=str(path), BENCH_SESSION=str(session))

    async def add_database(self, name: str) -> str:
        """An empty one on the same Postgres: its URL."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.stores.database_url.rpartition("/")[0] + f"/{name}"


@contextmanager
def stand(core: int | None) -> Iterator[Stand]:
    with ExitStack() as stack:
        stores = stack.enter_context(own_stores(**LIMITS))
        yield Stand(stack, stores, core)


def admin_token(service: Side) -> str:
    admin = next(user for user in DEMO_USERS if user.role == "superuser")
    body = json.dumps({"login": admin.login, "password": admin.password}).encode()
    answer = service.ask(Call("POST", "/api/v1/auth/login", {"Content-Type": "application/json"}, body))
    return str(answer.json()["access_token"])


class ServiceAccount:
    """Another cinema service, which may ask about anyone. `credentials`: its id and secret."""

    def __init__(self, service: Side, **more: object) -> None:
        """`more`: what else it is made with, such as its scopes."""
        self._base = service.base
        headers = {"Authorization": f"Bearer {admin_token(service)}"}
        name = f"bench-{secrets.token_hex(4)}"
        body = {"name": name, **more}
        made = httpx.post(f"{service.base}/api/v1/services", headers=headers, json=body, trust_env=False, timeout=30)
        made.raise_for_status()
        self.credentials = (made.json()["client_id"], made.json()["client_secret"])

    def token(self) -> str:
        given = httpx.post(
            f"{self._base}/api/v1/auth/token",
            auth=self.credentials,
            data={"grant_type": "client_credentials"},
            trust_env=False,
            timeout=30,
        )
        given.raise_for_status()
        return str(given.json()["access_token"])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
