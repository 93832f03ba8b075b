"""Whether the lists of admins stay flat: the first page and one far behind it, at a million users and grants.

    .venv/bin/python -m bench.lists                    1,000,000 users; some minutes and 3 GB in the temp folder
    .venv/bin/python -m bench.lists --users 100000

Every user has two grants, of which some have ended, some are to come, and few have a rare role, a rare granter or an
end this week; the trail has as many rows as there are users. Pages of 20 are asked of one worker over HTTP, those of
all lists in turns, so that the machine's moods hit all alike. A far page begins behind PAGES_BETWEEN pages, by a cursor
as the service gives it. Then the whole list of grants is taken as CSV, while somebody else asks for little. Everything
is removed at the end.
"""

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil
from rich.progress import track

from auth_service.audit.service import _write_cursor as write_row
from auth_service.models import new_id
from auth_service.roles.grant_list import Order, Place
from auth_service.roles.grant_list import write_cursor as write_place
from auth_service.testing.processes import own_stores, own_workers
from auth_service.users.search import write_cursor
from bench.people import COPY_SECONDS, People, login_of
from bench.stand import LIMITS, Side, admin_token

PAGES_BETWEEN = 1000
BLOCK, ROUNDS = 15, 4
FLAT = 1.3
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
DEMO_ROWS = 100
BY_ITSELF = ("checkpointer", "background writer", "walwriter", "autovacuum")
RARE = 997  # of so many users one has what is rare


@dataclass
class Pages:
    """Milliseconds: until each was there, and of CPU for one, by block."""

    waits: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    items: int = 0


@dataclass
class List:
    """One list with its filters; `far`: the cursor of a page far behind the first, where there is one."""

    path: str
    far: str | None = None
    first: Pages = field(default_factory=Pages)
    behind: Pages = field(default_factory=Pages)


def grants(users: list[UUID], granter: UUID) -> Iterator[tuple[Any, ...]]:
    """(user, role, from, until, by): 2 of 10 have ended, 1 of 10 is to come, the rest goes on; and one more each, of a
    role that has ended for nearly all.
    """
    for number, user in enumerate(users):
        role = "bench-rare" if number % RARE == 1 else ("viewer", "subscriber", "viewer")[number % 3]
        begun, until = NOW - 400 * DAY + timedelta(seconds=number), None
        if number % 10 in {2, 3}:
            until = NOW - 200 * DAY + timedelta(seconds=number)
        elif number % 10 == 4:
            begun = NOW + 10 * DAY + timedelta(seconds=number)
        elif number % RARE == 6:
            until = NOW + DAY + timedelta(seconds=number / 10)
        yield user, role, begun, until, granter if number % RARE == 7 else None
        over = NOW - 300 * DAY + timedelta(seconds=number / 10)
        yield user, "bench-over", NOW - 400 * DAY, over if number % (30 * RARE) else None, None


def trail(rows: int, users: list[UUID]) -> Iterator[tuple[Any, ...]]:
    """A row each minute, behind those of the demo accounts; the chain is not what is measured."""
    for number in range(DEMO_ROWS, rows + 1):
        actor = users[0] if number % RARE == 1 else users[number % 50 + 1]
        at = NOW - timedelta(minutes=rows - number)
        yield number, at, "user", str(actor), "role.granted", "user", str(users[-number]), b""


async def fill(people: People, count: int) -> list[UUID]:
    connection = await asyncpg.connect(people.settings.asyncpg_dsn, command_timeout=COPY_SECONDS)
    users = [new_id() for _ in range(count)]
    columns = {
        "users": ["id", "login", "login_key", "email", "email_key", "password_hash"],
        "user_roles": ["user_id", "role_name", "valid_from", "valid_until", "granted_by"],
        "audit_log": ["id", "at", "actor_kind", "actor_id", "action", "target_kind", "target_id", "hash"],
    }
    named = (
        (user, login_of(user), login_of(user), f"{login_of(user)}@a", f"{login_of(user)}@a", "x") for user in users
    )
    try:
        await connection.execute("""
            INSERT INTO roles (name, title) VALUES ('bench-rare', 'rare'), ('bench-over', 'nearly all have ended');
            INSERT INTO role_parents VALUES ('bench-rare', 'subscriber');
            INSERT INTO permissions (code, title) VALUES ('bench:rare', 'rare'), ('bench:over', 'over');
            INSERT INTO role_permissions VALUES ('bench-rare', 'bench:rare'), ('bench-over', 'bench:over');
        """)
        records = {"users": named, "user_roles": grants(users, users[0]), "audit_log": trail(count, users)}
        for table in track(columns, "loading"):
            await connection.copy_records_to_table(table, records=records[table], columns=columns[table])
        # All that filling leaves to whoever reads first, and to Postgres in the background, is done here.
        await connection.execute("VACUUM (ANALYZE, FREEZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    return users


def lists(users: list[UUID]) -> list[List]:
    """Those of every filter; where few match, the first page is all there is to measure."""
    behind = 20 * PAGES_BETWEEN
    user, login = write_cursor(users[behind]), login_of(users[0])
    by_user = write_place(Place(Order.USER, None, users[behind], "viewer"))
    by_end = write_place(Place(Order.END, NOW - 200 * DAY + timedelta(seconds=5 * behind), users[0], "viewer"))
    by_start = write_place(Place(Order.START, NOW + 10 * DAY + timedelta(seconds=10 * behind), users[0], "viewer"))
    week = f"ends_since={NOW:%Y-%m-%dT%H:%M:%SZ}&ends_until={NOW + 7 * DAY:%Y-%m-%dT%H:%M:%SZ}"
    hour, year = (f"{NOW - ago:%Y-%m-%dT%H:%M:%SZ}" for ago in (timedelta(minutes=10), 365 * DAY))
    old = f"{NOW - timedelta(minutes=len(users) - DEMO_ROWS - 10):%Y-%m-%dT%H:%M:%SZ}"
    row = write_row(len(users) - behind)
    return [
        List("/permissions/films:read/users", user),
        List("/permissions/films:watch/users", user),
        List("/permissions/films:watch/users?role=subscriber", user),
        List("/permissions/bench:rare/users"),
        List("/permissions/bench:over/users"),
        List(f"/permissions/films:watch/users?at={NOW + 100 * DAY:%Y-%m-%dT%H:%M:%SZ}", user),
        List("/grants", by_user),
        List("/grants?role=subscriber", by_user),
        List("/grants?role=bench-rare"),
        List(f"/grants?user={login}"),
        List(f"/grants?granted_by={login}"),
        List("/grants?state=active", by_user),
        List("/grants?state=active&role=bench-over"),
        List("/grants?state=coming", by_start),
        List("/grants?state=ended", by_end),
        List(f"/grants?{week}"),
        List(f"/grants?{week}&role=subscriber"),
        List("/grants?state=ended&role=subscriber", by_end),
        List("/grants?state=ended&role=bench-rare"),
        List("/grants?state=active&role=bench-rare"),
        List(f"/grants?state=ended&granted_by={login}"),
        List(f"/grants?role=bench-rare&granted_by={login}"),
        List("/admin/users", user),
        List("/admin/users?role=subscriber", user),
        List("/admin/users?role=bench-rare"),
        List("/admin/audit", row),
        List(f"/admin/audit?actor={login_of(users[5])}", row),
        List(f"/admin/audit?actor={login}"),
        List(f"/admin/audit?target={users[20]}"),
        List(f"/admin/audit?since={hour}"),
        List(f"/admin/audit?since={year}", row),
        List(f"/admin/audit?until={old}"),
        List(f"/admin/audit?actor={login}&since={hour}"),
    ]


def postmaster(url: str) -> int:
    """Its process: of the one Postgres that listens there."""

    async def ask() -> int:
        connection = await asyncpg.connect(url)
        try:
            backend: int = await connection.fetchval("SELECT pg_backend_pid()")
            return psutil.Process(backend).ppid()
        finally:
            await connection.close()

    return asyncio.run(ask())


def cpu_of(service: Side, postgres: int) -> float:
    """Milliseconds, of the worker and of what answers it in Postgres: what others do on the machine is not in it, nor
    what Postgres does by itself.
    """
    spent = _nanoseconds(service.process.pid)
    for process in psutil.Process(postgres).children():
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            if not any(name in " ".join(process.cmdline()) for name in BY_ITSELF):
                spent += _nanoseconds(process.pid)
    return spent / 1_000_000


def _nanoseconds(pid: int) -> int:
    """Of all threads, as Linux schedules them; its other figures are in hundredths of a second."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def measure(service: Side, found: list[List], postgres: int) -> None:
    headers = {"Authorization": f"Bearer {admin_token(service)}"}
    with httpx.Client(base_url=f"{service.base}/api/v1", headers=headers, trust_env=False, timeout=60) as http:

        def ask(path: str, into: Pages) -> None:
            before = cpu_of(service, postgres)
            for _ in range(BLOCK):
                started = time.perf_counter()
                answer = http.get(path)
                into.waits.append((time.perf_counter() - started) * 1000)
                into.items = len(answer.raise_for_status().json()["items"])
            into.cpu.append((cpu_of(service, postgres) - before) / BLOCK)

        for one in found:  # what is asked for the first time is prepared, with a plan of its own
            http.get(one.path).raise_for_status()
        for _ in track(range(ROUNDS), "asking"):
            for one in found:
                ask(one.path, one.first)
                if one.far is not None:
                    ask(f"{one.path}{'&' if '?' in one.path else '?'}cursor={one.far}", one.behind)
                    assert one.behind.items, one.path


def measure_csv(service: Side, rows: int) -> None:
    """Of all grants: time and memory; and how long another call takes meanwhile."""
    headers = {"Authorization": f"Bearer {admin_token(service)}"}
    before, most, waits = service.process.memory_info().rss, 0, []
    ended = threading.Event()

    def ask_for_little() -> None:
        with httpx.Client(base_url=f"{service.base}/api/v1", headers=headers, trust_env=False, timeout=60) as other:
            while not ended.is_set():
                started = time.perf_counter()
                other.get("/roles/guest").raise_for_status()
                waits.append((time.perf_counter() - started) * 1000)
                time.sleep(0.05)

    asking = threading.Thread(target=ask_for_little)
    asking.start()
    started, lines, size = time.perf_counter(), 0, 0
    with httpx.stream(
        "GET", f"{service.base}/api/v1/grants?format=csv", headers=headers, trust_env=False, timeout=60
    ) as answer:
        for piece in answer.raise_for_status().iter_raw():
            lines += piece.count(b"\r\n")
            size += len(piece)
            most = max(most, service.process.memory_info().rss)
    seconds = time.perf_counter() - started
    ended.set()
    asking.join()
    assert lines > rows, lines
    print(f"\n/grants?format=csv: {lines:,} lines, {size / 2**20:.0f} MiB in {seconds:.0f} s; the worker had")
    print(f"{before / 2**20:.0f} MiB before and at most {most / 2**20:.0f} MiB meanwhile; another call took")
    print(f"{statistics.median(waits):.0f} ms (p50), {statistics.quantiles(waits, n=100)[98]:.0f} ms (p99)")


def show(found: list[List]) -> bool:
    good = True
    print(f"{'a page of 20: CPU (p50 of the time)':<80}{'items':>6}{'first':>20}{'far':>20}{'ratio':>7}")
    for one in found:
        first = statistics.mean(one.first.cpu)
        shown = f"{one.path[:79]:<80}{one.first.items:>6}{first:>8.1f} ({statistics.median(one.first.waits):>6.1f}) ms"
        if one.far is not None:
            far = statistics.mean(one.behind.cpu)
            good = good and far / first <= FLAT
            shown += f"{far:>8.1f} ({statistics.median(one.behind.waits):>6.1f}) ms{far / first:>7.2f}"
        print(shown)
    print(f"{'PASS' if good else 'FAIL'}: a far page costs at most {FLAT} times the first")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--pages", action="store_true", help="Leave out the whole list, which takes longest.")
    arguments = parser.parse_args()
    count = max(arguments.users, 30 * PAGES_BETWEEN)
    with own_stores(durable=False, **LIMITS) as stores:
        people = People(stores)
        users = asyncio.run(fill(people, count))
        with own_workers(stores, workers=1, **LIMITS, DATABASE_TIMEOUT_SECONDS="20") as service:
            side = Side(service.base, psutil.Process(service.pid))
            found = lists(users)
            measure(side, found, postmaster(stores.database_url))
            if not arguments.pages:
                measure_csv(side, count)
    raise SystemExit(0 if show(found) else 1)


if __name__ == "__main__":
    main()
