"""What a page costs beside the REST calls that tell the same, and whether it stays so with a million users.

    .venv/bin/python -m bench.pages                          1,000 and 1,000,000 users; some minutes
    .venv/bin/python -m bench.pages --users 1000             the smaller number alone
    .venv/bin/python -m bench.pages --only /account --only /console/grants

A page that tells what several calls tell is compared with the sum of them. Each page and its calls are asked of one
worker over HTTP, by the cookies of an admin; both numbers of users and all pages in turns. CPU is that of the worker
and of the processes of Postgres that answer it: what others do on the machine is not in it, and neither is what the
filling left to be cleaned up. The median of several rounds counts. Everything is removed at the end.
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import psutil
from rich.progress import track

from auth_service.config import load_settings
from auth_service.seed import DEMO_USERS, DemoUser
from auth_service.testing.processes import OwnStores, own_stores, own_workers
from bench.lists import cpu_of, fill, postmaster
from bench.people import People
from bench.stand import LIMITS, Side, admin_token

SMALL = 1_000
BLOCK, ROUNDS = 15, 6
MOST_OF_CALLS, MOST_GROWTH = 3.0, 1.3
FIRST_LOAD = 100 * 1024
API = "/api/v1"
JOB_SECONDS = 30
# Each page with what tells the same over REST; no call at all tells what the charts of sign-ins do. What a page offers
# to choose from in its fields is in its own cost only.
PAGES: dict[str, tuple[str, ...]] = {
    "/account": ("/users/me", "/mfa", "/users/me/sessions"),
    "/account/email": ("/users/me",),
    "/account/second-factor": ("/mfa",),
    "/account/sessions": ("/users/me/sessions", "/users/me/devices"),
    "/account/history": ("/users/me/login-history",),
    "/console/users": ("/admin/users",),
    "/console/users?role=subscriber": ("/admin/users?role=subscriber",),
    "/console/users/{viewer}": ("/admin/users/{viewer}",),
    "/console/users/{viewer}?permission=films:watch": (
        "/admin/users/{viewer}",
        "/users/{viewer}/permissions/films:watch",
    ),
    "/console/users/{viewer}/sessions": ("/admin/users/{viewer}/sessions",),
    "/console/users/{viewer}/history": ("/admin/users/{viewer}/login-history",),
    "/console/roles": ("/roles",),
    "/console/roles/subscriber": ("/roles",),  # children and what is inherited are not in the call for one role
    "/console/permissions": ("/permissions",),
    "/console/permissions/films:watch": ("/permissions/films:watch", "/roles"),
    "/console/permissions/films:watch/people": ("/permissions/films:watch/users",),
    "/console/grants": ("/grants",),
    "/console/grants?state=active&role=subscriber": ("/grants?state=active&role=subscriber",),
    "/console/grants?state=ended": ("/grants?state=ended",),
    "/console/grants/jobs": ("/grants/jobs",),
    "/console/grants/jobs/{job}": ("/grants/jobs/{job}", "/grants/jobs/{job}/rows"),
    "/console/services": ("/services",),
    "/console/services/{service}": ("/services",),
    "/console/webhooks": ("/admin/webhooks",),
    "/console/webhooks/{webhook}": ("/admin/webhooks/{webhook}", "/admin/webhooks/{webhook}/deliveries"),
    "/console/audit": ("/admin/audit",),
    "/console/audit/{row}": ("/admin/audit?action=grant_job.created&limit=1",),
    "/console/audit/{row}/people": ("/admin/audit/{row}/people",),
    "/console/sign-ins": (),
    "/console/health": ("/health/ready", "/.well-known/jwks.json"),
}


@dataclass
class Costs:
    """Milliseconds of CPU for one, by block; `size`: bytes of the page and of all that it loads."""

    page: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    size: int = 0

    def of_page(self) -> float:
        return statistics.median(self.page)

    def of_calls(self) -> float:
        return statistics.median(self.calls)


class Stand:
    """Stores with so many users and one worker, signed in at as an admin. All of it ends with the stack."""

    def __init__(self, stack: ExitStack, stores: OwnStores) -> None:
        service = stack.enter_context(own_workers(stores, workers=1, **LIMITS, DATABASE_TIMEOUT_SECONDS="20"))
        self._side = Side(service.base, psutil.Process(service.pid))
        self._postgres = postmaster(stores.database_url)
        self._http = stack.enter_context(httpx.Client(base_url=service.base, trust_env=False, timeout=60))
        self._names = made(self._side)
        for demo in (DEMO_USERS[3], DEMO_USERS[0]):  # the last one's cookies are those that are sent
            sign_in(self._http, demo)

    def cost(self, *paths: str) -> float:
        """Milliseconds of CPU for one of each."""
        spent = 0.0
        for path in (one.format(**self._names) for one in paths):
            before = cpu_of(self._side, self._postgres)
            for _ in range(BLOCK):
                self._http.get(path).raise_for_status()
            spent += cpu_of(self._side, self._postgres) - before
        return spent / BLOCK

    def first_load(self, path: str) -> int:
        """Bytes of the page, its styles, scripts and icon, as they were sent to a browser that has none of them."""
        page = self._http.get(path.format(**self._names)).raise_for_status()
        loads = re.findall(r'<(?:link|script|img)[^>]* (?:href|src)="([^"]+)"', page.text)
        files = [self._http.get(one).raise_for_status() for one in loads]
        return sum(answer.num_bytes_downloaded for answer in (page, *files))


def filled(stores: OwnStores, users: int) -> OwnStores:
    asyncio.run(fill(People(stores), users))
    return stores


def measure(stands: Sequence[Stand], pages: Collection[str]) -> list[dict[str, Costs]]:
    """Of each stand; they are asked in turns, so that the machine's moods hit all alike."""
    found = [{page: Costs() for page in pages} for _ in stands]
    for stand, costs in zip(stands, found, strict=True):
        for page in pages:  # templates and plans are prepared once
            costs[page].size = stand.first_load(page)
            stand.cost(page, *map(address, PAGES[page]))
    for _ in track(range(ROUNDS), "asking"):
        for page in pages:
            for stand, costs in zip(stands, found, strict=True):
                costs[page].page.append(stand.cost(page))
                costs[page].calls.append(stand.cost(*map(address, PAGES[page])))
    return found


def sign_in(http: httpx.Client, demo: DemoUser) -> None:
    http.cookies.clear()
    http.post(
        f"{API}/auth/login",
        json={"login": demo.login, "password": demo.password},
        headers={"X-Token-Transport": "cookie", "Origin": load_settings().issuer},
    ).raise_for_status()


def made(service: Side) -> dict[str, str]:
    """Ids of what the pages show one of: somebody, and, made here, a service, a webhook that is off, a job that has
    ended, and the row of the trail that tells of it.
    """
    headers = {"Authorization": f"Bearer {admin_token(service)}"}
    with httpx.Client(base_url=f"{service.base}{API}", headers=headers, trust_env=False, timeout=60) as http:

        def make(path: str, **body: object) -> str:
            answer = http.post(path, json=body).raise_for_status().json()
            return str(answer["client_id"] if path == "/services" else answer["id"])

        viewer = http.get("/admin/users/viewer").raise_for_status().json()["id"]
        webhook = make("/admin/webhooks", url="https://hooks.cinema.example/")
        http.patch(f"/admin/webhooks/{webhook}", json={"enabled": False}).raise_for_status()
        job = make("/grants/jobs", role="subscriber", users=["viewer"])
        until = time.monotonic() + JOB_SECONDS
        while http.get(f"/grants/jobs/{job}").raise_for_status().json()["finished_at"] is None:
            assert time.monotonic() < until, "the job does not end"
            time.sleep(0.1)
        row = http.get("/admin/audit?action=grant_job.created&limit=1").raise_for_status().json()["items"][0]["id"]
        service_id = make("/services", name=f"bench-{job[:8]}")
    return {"viewer": viewer, "webhook": webhook, "job": job, "service": service_id, "row": str(row)}


def address(call: str) -> str:
    return ("" if call.startswith(("/health", "/.well-known")) else API) + call


def show(few: dict[str, Costs], many: dict[str, Costs], users: int) -> bool:
    """The table; whether all is within the bounds. `many` is empty where the smaller number alone was asked for."""
    good = True
    print(f"{'':<52}{f'{SMALL:,} users':^22}{f'{users:,} users' if many else '':^20}{'growth of':^14}{'first':>7}")
    print(f"{'CPU in ms':<52}{'page':>7}{'calls':>7}{'ratio':>7} ", end="")
    print(f"{'page':>9}{'calls':>9}{'page':>8}{'calls':>7}{'KiB':>7}" if many else f"{'':>33}{'KiB':>7}")
    for path, costs in few.items():
        page, calls = costs.of_page(), costs.of_calls()
        ratio = page / calls if PAGES[path] else 0.0
        line = f"{path:<52}{page:>7.1f}{calls:>7.1f}{ratio:>7.2f} "
        growth = 1.0
        if many:
            later = many[path]
            growth = later.of_page() / page
            of_calls = later.of_calls() / calls if PAGES[path] else 0.0
            line += f"{later.of_page():>9.1f}{later.of_calls():>9.1f}{growth:>8.2f}{of_calls:>7.2f}"
        else:
            line += f"{'':>33}"
        well = ratio <= MOST_OF_CALLS and growth <= MOST_GROWTH and costs.size <= FIRST_LOAD
        good = good and well
        print(f"{line}{costs.size // 1024:>7}{'' if well else '  TOO MUCH'}")
    print("\nbeside more than the one call of the same name:")
    for path in few:
        if len(PAGES[path]) != 1 or not path.endswith(PAGES[path][0]):
            print(f"  {path:<50} {' + '.join(PAGES[path]) or 'nothing'}")
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_OF_CALLS} of the calls, {MOST_GROWTH} with more users")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000, help=f"At most {SMALL:,}: measured once.")
    parser.add_argument("--only", action="append", choices=PAGES, metavar="PAGE", help="As in the table; repeatable.")
    arguments = parser.parse_args()
    numbers = [SMALL, *([arguments.users] if arguments.users > SMALL else [])]
    with ExitStack() as stack:
        stores = [filled(stack.enter_context(own_stores(durable=False)), users) for users in numbers]
        few, *many = measure([Stand(stack, one) for one in stores], arguments.only or list(PAGES))
    sys.exit(not show(few, many[0] if many else {}, arguments.users))


if __name__ == "__main__":
    main()
