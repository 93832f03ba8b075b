"""What a page costs beside the REST call that tells the same, and whether it stays so with a million users.

    .venv/bin/python -m bench.pages                    1,000 and 1,000,000 users; some minutes
    .venv/bin/python -m bench.pages --users 100000

Each page and its call are asked of one worker over HTTP, by the cookies of an admin, in turns. CPU is that of the
worker and of Postgres' backends: what others do on the machine is not in it. Everything is removed at the end.
"""

import argparse
import asyncio
import statistics
import sys
from dataclasses import dataclass, field

import httpx
import psutil
from rich.progress import track

from auth_service.config import load_settings
from auth_service.seed import DEMO_USERS
from auth_service.testing.processes import own_stores, own_workers
from bench.lists import cpu_of, fill, postmaster
from bench.people import People
from bench.stand import LIMITS, Side

SMALL = 1_000
BLOCK, ROUNDS = 15, 4
MOST_OF_CALL, MOST_GROWTH = 3.0, 1.3
FIRST_LOAD = 100 * 1024
API = "/api/v1"
PAGES = {
    "/account": "/users/me",
    "/account/history": "/users/me/login-history",
    "/console/users": "/admin/users",
    "/console/users?role=subscriber": "/admin/users?role=subscriber",
    "/console/users/{viewer}": "/admin/users/{viewer}",
    "/console/roles": "/roles",
    "/console/roles/subscriber": "/roles/subscriber",
    "/console/permissions": "/permissions",
    "/console/permissions/films:watch/people": "/permissions/films:watch/users",
    "/console/grants": "/grants",
    "/console/services": "/services",
    "/console/webhooks": "/admin/webhooks",
    "/console/audit": "/admin/audit",
}


@dataclass
class Costs:
    """Milliseconds of CPU for one, by block."""

    page: list[float] = field(default_factory=list)
    call: list[float] = field(default_factory=list)
    size: int = 0


def measure(users: int) -> dict[str, Costs]:
    found = {path: Costs() for path in PAGES}
    with own_stores(durable=False) as stores:
        asyncio.run(fill(People(stores), users))
        with own_workers(stores, workers=1, **LIMITS, DATABASE_TIMEOUT_SECONDS="20") as worker:
            service = Side(worker.base, psutil.Process(worker.pid))
            postgres = postmaster(stores.database_url)
            with httpx.Client(base_url=service.base, trust_env=False, timeout=60) as http:
                admin = DEMO_USERS[0]
                http.post(
                    f"{API}/auth/login",
                    json={"login": admin.login, "password": admin.password},
                    headers={"X-Token-Transport": "cookie", "Origin": load_settings().issuer},
                ).raise_for_status()

                viewer = http.get(f"{API}/admin/users/viewer").raise_for_status().json()["id"]

                def cost(path: str) -> float:
                    path = path.replace("{viewer}", viewer)  # a page goes by the id, since a login can change hands
                    before = cpu_of(service, postgres)
                    for _ in range(BLOCK):
                        http.get(path).raise_for_status()
                    return (cpu_of(service, postgres) - before) / BLOCK

                for page, call in PAGES.items():  # templates and plans are prepared once
                    answer = http.get(page.replace("{viewer}", viewer))
                    found[page].size = len(answer.raise_for_status().content)
                    cost(f"{API}{call}")
                for _ in track(range(ROUNDS), f"asking, {users:,} users"):
                    for page, call in PAGES.items():
                        found[page].page.append(cost(page))
                        found[page].call.append(cost(f"{API}{call}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    users = parser.parse_args().users
    few, many = measure(SMALL), measure(users)
    good = True
    print(f"{'CPU in ms':<44}{'page':>8}{'call':>8}{'ratio':>8}{f'at {users:,}':>14}{'grows':>8}{'KiB':>6}")
    for path, costs in few.items():
        page, call, later = (statistics.mean(times) for times in (costs.page, costs.call, many[path].page))
        ratio, growth = page / call, later / page
        well = ratio <= MOST_OF_CALL and growth <= MOST_GROWTH and costs.size <= FIRST_LOAD
        good = good and well
        words = "" if well else "  TOO MUCH"
        print(
            f"{path:<44}{page:>8.1f}{call:>8.1f}{ratio:>8.2f}{later:>14.1f}{growth:>8.2f}{costs.size // 1024:>6}{words}"
        )
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_OF_CALL} of the call, {MOST_GROWTH} with more users")
    sys.exit(not good)


if __name__ == "__main__":
    main()
