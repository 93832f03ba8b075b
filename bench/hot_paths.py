"""CPU of the service for each request of the hot paths, in one run, as µs and as a ratio to /health/live.

    .venv/bin/python bench/hot_paths.py [--requests 2000]

Starts its own Postgres, Redis and one worker of the service, and stops them. The worker's CPU time is read from the
operating system, so the client's cost and the machine's noise in wall time stay out.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import psutil

from auth_service.embedded import start_postgres, start_redis
from auth_service.seed import DEMO_USERS

CONCURRENCY = 4
Call = Callable[[], Awaitable[httpx.Response]]


async def measure(process: psutil.Process, call: Call, count: int) -> float:
    """µs of the worker's CPU for each request; raises if an answer is not 200."""
    for _ in range(count // 10):
        (await call()).raise_for_status()

    async def client(share: int) -> None:
        for _ in range(share):
            (await call()).raise_for_status()

    before = process.cpu_times()
    await asyncio.gather(*(client(count // CONCURRENCY) for _ in range(CONCURRENCY)))
    after = process.cpu_times()
    spent = (after.user + after.system) - (before.user + before.system)
    return spent / count * 1e6


async def run(base: str, process: psutil.Process, count: int) -> None:
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
        admin = next(user for user in DEMO_USERS if user.role == "superuser")
        login = await http.post("/api/v1/auth/login", json={"login": admin.login, "password": admin.password})
        token = {"Authorization": f"Bearer {login.json()['access_token']}"}
        user_id = (await http.get("/api/v1/users/me", headers=token)).json()["id"]
        made = await http.post("/api/v1/services", headers=token, json={"name": "bench"})
        given = await http.post(
            "/api/v1/auth/token",
            auth=(made.json()["client_id"], made.json()["client_secret"]),
            data={"grant_type": "client_credentials"},
        )
        service = {"Authorization": f"Bearer {given.json()['access_token']}"}
        current = login.json()["refresh_token"]
        turn = asyncio.Lock()

        async def refresh() -> httpx.Response:
            nonlocal current
            async with turn:
                answer = await http.post("/api/v1/auth/refresh", json={"refresh_token": current})
                current = answer.json()["refresh_token"]
            return answer

        one = {"permission": "films:watch"}
        hundred = {"checks": [{"permission": "films:watch", "user_id": user_id}] * 100}
        check = "/api/v1/permissions/check"
        cases: dict[str, Call] = {
            "/health/live (floor)": lambda: http.get("/health/live"),
            "GET /users/me": lambda: http.get("/api/v1/users/me", headers=token),
            "check, own": lambda: http.post(check, headers=token, json=one),
            "check, by a service": lambda: http.post(check, headers=service, json=one | {"user_id": user_id}),
            "check, batch of 100": lambda: http.post(f"{check}/batch", headers=service, json=hundred),
            "refresh": refresh,
        }
        floor = 0.0
        print(f"{'path':<24}{'CPU µs/request':>16}{'ratio':>8}")
        for name, call in cases.items():
            cost = await measure(process, call, count)
            floor = floor or cost
            print(f"{name:<24}{cost:>16.0f}{cost / floor:>8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    count = min(parser.parse_args().requests, 50_000)
    with tempfile.TemporaryDirectory() as folder:
        postgres = start_postgres(Path(folder) / "postgres", durable=True)
        redis = start_redis(Path(folder) / "redis", durable=True)
        environment = {
            **os.environ,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "RATE_LIMIT_REFRESH": "1000000/minute",
            "LOG_LEVEL": "INFO",
        }
        command = [sys.executable, "-m", "auth_service"]
        worker = None
        try:
            for step in ("migrate", "seed-users"):
                subprocess.run([*command, step], env=environment, check=True, stdout=subprocess.DEVNULL)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = str(probe.getsockname()[1])
            worker = subprocess.Popen([*command, "serve", "--port", port], env=environment, stderr=subprocess.DEVNULL)
            base = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    if httpx.get(f"{base}/health/ready", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            asyncio.run(run(base, psutil.Process(worker.pid), count))
        finally:
            if worker is not None:
                worker.terminate()
                worker.wait()
            redis.stop()
            postgres.stop()


if __name__ == "__main__":
    main()
