"""What the login history costs when it is long, and what dropping a month of it costs those who log in meanwhile.

    make bench-history                 10,000,000 rows against 100,000; about ten minutes and 5 GB in the temp folder
    make bench-history ARGS="--rows 500000"

Both sizes lie in one Postgres of its own, in a database each, over the same 24 months and with the same number of rows
for each user; a worker of the service answers for each. Blocks of requests take turns, so that the machine's moods hit
both alike. CPU is the worker's and its Postgres backends', from the operating system. Then the oldest month is
dropped while sessions start at 50 a second through the service's own code (all of a login but the password hash), and
one client logs in over HTTP as fast as it is answered. Everything is removed at the end.
"""

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import httpx
import psutil
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from auth_service.config import Settings
from auth_service.core.connections import Resources, open_resources
from auth_service.core.passwords.hashing import hash_now
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import EmbeddedServer
from auth_service.models import new_id
from auth_service.sessions.client import Client
from auth_service.sessions.partition_state import month_of, name_of
from auth_service.sessions.partition_upkeep import drop_old_months
from auth_service.sessions.start import Proof, start_session

MONTHS = 24
ROWS_EACH = 200
MEASURED_USERS = 100
BLOCK = 50
LOGINS_PER_SECOND = 50
BEFORE_SECONDS = DURING_SECONDS = 20.0
PASSWORD = "a password of this benchmark"
SECRET = "a secret of this benchmark, thirty-two bytes at least"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
HISTORY = "/api/v1/users/me/login-history"
MOST_SECONDS = 3600
READ_LIMIT, DROP_LIMIT = 1.3, 2.0


@dataclass
class Side:
    """One size of history with the worker that answers for it."""

    rows: int
    settings: Settings
    users: list[UUID]
    worker: psutil.Process
    http: httpx.AsyncClient
    tokens: list[str] = field(default_factory=list)
    first: list[float] = field(default_factory=list)  # seconds
    deep: list[float] = field(default_factory=list)
    cpu: float = 0.0
    requests: int = 0


# --- loading


def lines(rows: int, users: list[UUID], start: datetime, end: datetime) -> Iterator[bytes]:
    """In the order of time, as life writes them; each user gets the same number."""
    names = [str(user) for user in users]
    dice = random.Random(rows)
    dice.shuffle(names)
    span = (end - start) / rows
    for first in range(0, rows, 10_000):
        ids = os.urandom(16 * 10_000).hex()
        chunk = []
        for number in range(first, min(first + 10_000, rows)):
            at = 32 * (number - first)
            moment = start + span * number
            user = names[number * 7919 % len(names)]
            chunk.append(f"{ids[at : at + 32]}\t{moment.isoformat()}\t{user}\tt\t{AGENT}\t10.1.2.3\n")
        yield "".join(chunk).encode()


async def load(side_settings: Settings, rows: int) -> list[UUID]:
    """The ids of its users."""
    users = [new_id() for _ in range(max(rows // ROWS_EACH, MEASURED_USERS))]
    now = datetime.now(UTC)
    connection = await asyncpg.connect(side_settings.asyncpg_dsn, command_timeout=MOST_SECONDS)
    try:
        hashed = hash_now(PASSWORD)
        records = [(u, f"b{u.hex}", f"b{u.hex}", f"{u.hex}@a.example", f"{u.hex}@a.example", hashed) for u in users]
        columns = ["id", "login", "login_key", "email", "email_key", "password_hash"]
        await connection.copy_records_to_table("users", records=records, columns=columns)
        for offset in range(-MONTHS + 1, 0):
            start, end = month_of(now, offset), month_of(now, offset + 1)
            await connection.execute(
                f"CREATE TABLE {name_of(start)} PARTITION OF login_history FOR VALUES FROM ('{start}') TO ('{end}')"
            )
        with Progress(
            TextColumn(f"loading {rows:,} rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as progress:
            task = progress.add_task("", total=rows)

            async def source() -> AsyncIterator[bytes]:
                for chunk in lines(rows, users, month_of(now, -MONTHS + 1), now):
                    yield chunk
                    progress.advance(task, chunk.count(b"\n"))

            names = ["id", "login_at", "user_id", "succeeded", "user_agent", "ip"]
            await connection.copy_to_table("login_history", source=source(), columns=names, timeout=MOST_SECONDS)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return users


# --- reading


def cpu_of(side: Side, postgres: EmbeddedServer) -> dict[int, float]:
    """CPU seconds by process, of the worker and of Postgres; only this side is busy now."""
    found = {}
    for process in (side.worker, *psutil.Process(postgres.pid).children()):
        times = process.cpu_times()
        found[process.pid] = times.user + times.system
    return found


async def read_pages(side: Side, postgres: EmbeddedServer) -> None:
    """A block of requests: the first page, and the fifth by its cursors."""
    before = cpu_of(side, postgres)
    for _ in range(BLOCK):
        token = {"Authorization": f"Bearer {random.choice(side.tokens)}"}
        cursor: str | None = None
        for number in range(5):
            started = time.perf_counter()
            page = await side.http.get(HISTORY, headers=token, params={} if cursor is None else {"cursor": cursor})
            elapsed = time.perf_counter() - started
            page.raise_for_status()
            cursor = page.json()["next_cursor"]
            assert len(page.json()["items"]) == 20
            if number == 0:
                side.first.append(elapsed)
            elif number == 4:
                side.deep.append(elapsed)
            side.requests += 1
    side.cpu += sum(spent - before[pid] for pid, spent in cpu_of(side, postgres).items() if pid in before)


async def measure_reads(small: Side, big: Side, postgres: EmbeddedServer, blocks: int) -> bool:
    for side in (small, big):
        for user in random.Random(1).sample(side.users, MEASURED_USERS):
            body = {"login": f"b{user.hex}", "password": PASSWORD}
            answer = await side.http.post("/api/v1/auth/login", json=body)
            side.tokens.append(answer.raise_for_status().json()["access_token"])
        await read_pages(side, postgres)  # the first of everything is slower
        side.first, side.deep, side.cpu, side.requests = [], [], 0.0, 0
    for number in range(blocks):
        for side in (small, big) if number % 2 else (big, small):
            await read_pages(side, postgres)
    print(f"\n{'a page of 20':<26}{small.rows:>14,}{big.rows:>14,}{'ratio':>8}")
    good = True
    for name, figures, unit in (
        ("first page, p50", [statistics.median(side.first) * 1000 for side in (small, big)], "ms"),
        ("fifth page, p50", [statistics.median(side.deep) * 1000 for side in (small, big)], "ms"),
        ("CPU for each request", [side.cpu / side.requests * 1000 for side in (small, big)], "ms"),
    ):
        ratio = figures[1] / figures[0]
        good = good and ratio <= READ_LIMIT
        print(f"{name:<26}{figures[0]:>11.2f} {unit}{figures[1]:>11.2f} {unit}{ratio:>8.2f}")
    print(f"{'PASS' if good else 'FAIL'}: the long history costs at most {READ_LIMIT} times the short one")
    return good


# --- dropping a month under load


@dataclass
class Load:
    """(started, seconds) of each login; failures by their kind."""

    times: list[tuple[float, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def p99(self, since: float, until: float) -> float:
        chosen = sorted(took for started, took in self.times if since <= started < until)
        return chosen[round(0.99 * (len(chosen) - 1))] * 1000

    def overlapping(self, since: float, until: float) -> list[float]:
        return [took * 1000 for started, took in self.times if started < until and started + took > since]


async def steady_logins(resources: Resources, users: list[UUID], load: Load, stop: asyncio.Event) -> None:
    """50 a second whatever comes back: a slow answer must not slow the arrivals."""
    client = Client("10.1.2.3", AGENT, "bench")

    async def one() -> None:
        started = time.perf_counter()
        try:
            await start_session(resources, random.choice(users), client, Proof(credentials_version=0))
        except Exception as error:  # noqa: BLE001  counted and printed
            load.failed.append(type(error).__name__)
        load.times.append((started, time.perf_counter() - started))

    begun, count = time.perf_counter(), 0
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            group.create_task(one())
            count += 1
            await asyncio.sleep(max(0.0, begun + count / LOGINS_PER_SECOND - time.perf_counter()))


async def real_logins(side: Side, load: Load, stop: asyncio.Event) -> None:
    while not stop.is_set():
        user = random.choice(side.users)
        started = time.perf_counter()
        answer = await side.http.post("/api/v1/auth/login", json={"login": f"b{user.hex}", "password": PASSWORD})
        load.times.append((started, time.perf_counter() - started))
        if answer.status_code != 200:
            load.failed.append(str(answer.status_code))


async def measure_drop(side: Side) -> bool:
    steady, real, stop = Load(), Load(), asyncio.Event()
    settings = side.settings.model_copy(update={"history_months_kept": MONTHS - 2})
    async with open_resources(settings) as resources:
        await resources.keys.load()
        tasks = [
            asyncio.create_task(steady_logins(resources, side.users, steady, stop)),
            asyncio.create_task(real_logins(side, real, stop)),
        ]
        await asyncio.sleep(2)  # the first of everything is slower
        begin = time.perf_counter()
        await asyncio.sleep(BEFORE_SECONDS)
        drop = time.perf_counter()
        dropped = await drop_old_months(resources)
        done = time.perf_counter()
        await asyncio.sleep(DURING_SECONDS - (done - drop))
        end = time.perf_counter()
        stop.set()
        await asyncio.gather(*tasks)
    assert len(dropped) == 1, dropped
    print(f"\ndropped {dropped[0]} in {(done - drop) * 1000:.0f} ms")
    print(f"{'logins':<34}{'count':>7}{'a second':>10}{'p99 before':>12}{'p99 with drop':>15}{'ratio':>7}{'failed':>8}")
    good = True
    for name, load in (("sessions started (no hash)", steady), ("whole logins over HTTP", real)):
        before, during = load.p99(begin, drop), load.p99(drop, end)
        good = good and not load.failed and during <= before * DROP_LIMIT
        rate = sum(begin <= started < end for started, _ in load.times) / (end - begin)
        print(
            f"{name:<34}{len(load.times):>7}{rate:>10.1f}{before:>9.1f} ms{during:>12.1f} ms"
            f"{during / before:>7.2f}{len(load.failed):>8}"
        )
    touched = steady.overlapping(drop, done) + real.overlapping(drop, done)
    if touched:
        print(f"open while the month went: {len(touched)}, the slowest {max(touched):.1f} ms")
    print(f"failures: {sorted(set(steady.failed + real.failed)) or 'none'}")
    print(f"{'PASS' if good else 'FAIL'}: no login failed, and p99 is at most {DROP_LIMIT:.0f} times that before")
    return good


# --- starting and stopping


def settings_for(postgres: EmbeddedServer, redis: EmbeddedServer, name: str, number: int) -> Settings:
    return Settings(
        _env_file=None,
        database_url=urlunsplit(urlsplit(postgres.url)._replace(path=f"/{name}")),
        redis_url=urlunsplit(urlsplit(redis.url)._replace(path=f"/{number}")),
        secret_key=SECRET,
        redis_timeout_ms=2000,
    )


def environment_of(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "SECRET_KEY": SECRET,
        "REDIS_TIMEOUT_MS": str(settings.redis_timeout_ms),
        "RATE_LIMIT_LOGIN": "1000000/minute",
    }


@contextmanager
def worker_of(settings: Settings) -> Iterator[tuple[psutil.Process, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "auth_service", "serve", "--port", port]
    process = subprocess.Popen(
        command, env=environment_of(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        base, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            assert process.poll() is None, "the service ended"
            assert time.monotonic() < until, "the service is not ready"
            with suppress(httpx.TransportError):  # not listening yet
                if httpx.get(f"{base}/health/ready", trust_env=False).status_code == 200:
                    break
            time.sleep(0.2)
        yield psutil.Process(process.pid), base
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def side_of(settings: Settings, rows: int) -> AsyncIterator[Side]:
    users = await load(settings, rows)
    with worker_of(settings) as (worker, base):
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
            yield Side(rows, settings, users, worker, http)


async def run(postgres: EmbeddedServer, redis: EmbeddedServer, rows: int, small_rows: int, blocks: int) -> bool:
    settings = []
    for number, name in enumerate(("bench_small", "bench_big")):
        connection = await asyncpg.connect(postgres.url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        settings.append(settings_for(postgres, redis, name, number))
        migrate = [sys.executable, "-m", "auth_service", "migrate"]
        subprocess.run(migrate, env=environment_of(settings[-1]), check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
    async with (
        asyncio.timeout(MOST_SECONDS),
        side_of(settings[0], small_rows) as small,
        side_of(settings[1], rows) as big,
    ):
        reads = await measure_reads(small, big, postgres, blocks)
        return await measure_drop(big) and reads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="20,000 to 20,000,000")
    parser.add_argument("--small", type=int, default=100_000, help="what it is compared with")
    parser.add_argument("--blocks", type=int, default=20, help=f"of {BLOCK} first and {BLOCK} fifth pages each")
    arguments = parser.parse_args()
    least = ROWS_EACH * MEASURED_USERS
    if not all(least <= count <= 20_000_000 for count in (arguments.rows, arguments.small)) or arguments.blocks < 1:
        parser.error(f"--rows and --small from {least:,} to 20,000,000; --blocks at least 1")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = start_postgres(folder / "postgres", durable=False)
        stack.callback(postgres.stop)
        redis = start_redis(folder / "redis", durable=False)
        stack.callback(redis.stop)
        good = asyncio.run(run(postgres, redis, arguments.rows, arguments.small, arguments.blocks))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
