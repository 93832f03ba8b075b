"""CPU of the service for each request of the hot paths, in one run, as µs and as a ratio to /health/live.

    .venv/bin/python -m bench.hot_paths [--requests 2000]

Starts its own Postgres, Redis and one worker of the service, and stops them. The worker's CPU time is read from the
operating system, so the client's cost and the machine's noise in wall time stay out.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

import httpx
import psutil

from auth_service.seed import DEMO_USERS
from bench.own_service import own_service

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
    with own_service(RATE_LIMIT_REFRESH="1000000/minute") as service:
        asyncio.run(run(service.base, psutil.Process(service.pid), count))


if __name__ == "__main__":
    main()
