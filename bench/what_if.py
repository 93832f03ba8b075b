"""What a dry run costs where there are a million users and ten thousand roles, and whom it holds up.

    .venv/bin/python -m bench.what_if [--users 1000000] [--roles 10000]

Everybody has the role viewer, three in ten another one until some day, and one in five one of the many roles, all of
which inherit from viewer. The changes are the widest that there are. Meanwhile somebody grants and revokes, over and
over. On stores of its own, through the service's own code; everything is removed at the end.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import psutil

from auth_service.config import load_settings
from auth_service.core.connections import Resources, open_resources
from auth_service.models import new_id
from auth_service.permissions import catalogue
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.catalogue import PermissionSpec
from auth_service.permissions.what_if.effect import Effect
from auth_service.permissions.what_if.trial import Trial
from auth_service.roles import grants, service
from auth_service.testing.processes import own_stores

CODES = 500
EACH = 3
AT_ONCE = 100
MOST_SECONDS, MOST_MEGABYTES, MOST_WAIT = 5.0, 200.0, 2.0
GRANTS_ALONE = 5
LOAD_SECONDS = 1800
Change = Callable[[Resources, Trial | None], Awaitable[object]]


# --- the world


def roles_of(number: int, user: UUID, roles: int, dice: random.Random, now: datetime) -> Iterator[tuple[object, ...]]:
    yield user, "viewer", now, None
    if number % 10 < 3:
        yield user, "subscriber", now, now + timedelta(seconds=dice.randrange(60, 10**7))
    if number % 10 == 4:
        start = now + timedelta(seconds=dice.randrange(60, 10**7))
        yield user, "moderator", start, start + timedelta(days=dice.randrange(1, 300))
    if number % 5 == 0:
        yield user, f"bench-{dice.randrange(roles)}", now, None


async def load(connection: asyncpg.Connection, users: int, roles: int) -> None:
    dice, now = random.Random(1), datetime.now(UTC)
    codes = [f"bench:code-{number}" for number in range(CODES)]
    ids = [new_id() for _ in range(users)]

    async def copy(table: str, columns: list[str], records: Iterator[tuple[object, ...]]) -> None:
        await connection.copy_records_to_table(table, records=records, columns=columns, timeout=LOAD_SECONDS)

    await copy("permissions", ["code", "title"], ((code, code) for code in [*codes, "wild:one"]))
    names = [f"bench-{number}" for number in range(roles)]
    await copy("roles", ["name", "title"], ((name, name) for name in [*names, "bench-base"]))
    await copy("role_parents", ["role_name", "parent_name"], ((name, "viewer") for name in names))
    patterns = ((name, code) for name in names for code in dice.sample(codes[AT_ONCE:], EACH))
    await copy("role_permissions", ["role_name", "pattern"], patterns)
    # A hundred codes that a role of its own gives each, so that no two of them are alike; and what everybody has.
    apart = [(names[number], codes[number]) for number in range(AT_ONCE)]
    more = [("viewer", "wild:*"), ("bench-base", codes[-1]), ("bench-base", codes[-2])]
    await copy("role_permissions", ["role_name", "pattern"], iter([*apart, *more]))
    columns = ["id", "login", "login_key", "email", "email_key", "password_hash"]
    logins = ((user, f"b{user.hex}") for user in ids)
    await copy(
        "users", columns, ((user, name, name, f"{name}@a.example", f"{name}@a.example", "x") for user, name in logins)
    )
    rows = (row for number, user in enumerate(ids) for row in roles_of(number, user, roles, dice, now))
    await copy("user_roles", ["user_id", "role_name", "valid_from", "valid_until"], rows)
    await connection.execute("VACUUM ANALYZE", timeout=LOAD_SECONDS)


# --- the changes


def viewer(**parts: object) -> Change:
    async def change(resources: Resources, trial: Trial | None) -> object:
        return await service.update_role(resources, OPERATOR, "viewer", trial=trial, **parts)  # type: ignore[arg-type]

    return change


async def new_code(resources: Resources, trial: Trial | None) -> object:
    return await catalogue.create_permission(resources, OPERATOR, "wild:two", PermissionSpec("x"), trial=trial)


async def mark(resources: Resources, trial: Trial | None) -> object:
    parts = {"title": None, "description": None, "step_up": True}
    return await catalogue.update_permission(resources, OPERATOR, "wild:one", **parts, trial=trial)  # type: ignore[arg-type]


async def changes(resources: Resources) -> dict[str, Change]:
    own = (await service.get_role(resources, "viewer")).permissions
    alike = [*own, *(f"bench:code-{number}" for number in range(AT_ONCE))]
    return {
        "everybody's role gets a code": viewer(permissions=[*own, f"bench:code-{CODES - 1}"]),
        "everybody's role loses a code": viewer(permissions=[code for code in own if code != "reviews:write"]),
        "everybody's role gets a parent": viewer(parents=["guest", "bench-base"]),
        f"everybody's role gets {AT_ONCE} codes, no two alike": viewer(permissions=alike),
        "everybody's role loses all": viewer(permissions=[], parents=[]),
        "a new code below a wildcard of everybody's": new_code,
        "a mark on a code of everybody's": mark,
    }


# --- measuring


@dataclass
class Beside:
    """What somebody else waits for a grant, in seconds."""

    waits: list[float] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)  # there are some of before the change


@asynccontextmanager
async def granting_beside(dsn: dict[str, str]) -> AsyncIterator[Beside]:
    """By connections and code of another process's kind: a pool of its own."""
    beside, done = Beside(), asyncio.Event()

    async def go_on(resources: Resources, user: UUID) -> None:
        while not done.is_set():
            began = time.perf_counter()
            await grants.grant_role(resources, OPERATOR, user, "guest")
            beside.waits.append(time.perf_counter() - began)
            if len(beside.waits) >= GRANTS_ALONE:
                beside.begun.set()
            await asyncio.sleep(0.01)

    async with open_resources(load_settings(**dsn, database_timeout_seconds=60)) as resources:
        user = await resources.hot.fetchval("SELECT id FROM users LIMIT 1")
        task = asyncio.create_task(go_on(resources, UUID(int=user.int)))
        try:
            yield beside
        finally:
            done.set()
            await task


async def cpu_seconds(resources: Resources) -> float:
    """Of this process and of the connections of Postgres: what a busy machine does not change much."""
    rows = await resources.hot.fetch("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    times = [psutil.Process(row["pid"]).cpu_times() for row in rows] + [psutil.Process().cpu_times()]
    return sum(one.user + one.system for one in times)


async def measure(name: str, change: Change, resources: Resources, dsn: dict[str, str]) -> bool:
    process = psutil.Process()
    before = process.memory_info().rss
    most = before

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    trial, spent = Trial(), await cpu_seconds(resources)
    began = time.perf_counter()
    await change(resources, trial)
    tried = time.perf_counter()
    effect: Effect = await trial.effect(resources, OPERATOR)
    ended = time.perf_counter()
    watching.cancel()
    cpu = await cpu_seconds(resources) - spent
    async with granting_beside(dsn) as beside:
        await beside.begun.wait()
        alone = max(beside.waits)
        beside.waits.clear()
        again = Trial()
        await change(resources, again)
        await again.effect(resources, OPERATOR)
        held_up = max(beside.waits, default=0.0)
    megabytes = (most - before) / 2**20
    good = ended - began <= MOST_SECONDS and megabytes <= MOST_MEGABYTES and held_up <= MOST_WAIT
    print(
        f"{name:<48}{tried - began:>8.2f}{ended - tried:>8.2f}{ended - began:>8.2f}{cpu:>8.2f}{megabytes:>8.0f}"
        f"{alone:>8.2f}{held_up:>8.2f}{effect.gains.users:>10,}{effect.loses.users:>10,}  {'' if good else 'TOO MUCH'}",
        flush=True,
    )
    return good


async def run(dsn: dict[str, str], users: int, roles: int) -> bool:
    connection = await asyncpg.connect(dsn["database_url"], command_timeout=LOAD_SECONDS)
    try:
        await load(connection, users, roles)
    finally:
        await connection.close()
    print(f"{users:,} users, {roles:,} roles; seconds, MiB, users")
    names = ("tried", "asked", "both", "CPU", "memory", "a grant", "beside")
    print(f"{'':<48}{''.join(f'{name:>8}' for name in names)}{'gain':>10}{'lose':>10}")
    good = True
    async with open_resources(load_settings(**dsn, database_timeout_seconds=60)) as resources:
        for name, change in (await changes(resources)).items():
            good = await measure(name, change, resources, dsn) and good
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--roles", type=int, default=10_000)
    arguments = parser.parse_args()
    with own_stores(durable=False) as stores:
        dsn = {"database_url": stores.database_url, "redis_url": stores.redis_url}
        good = asyncio.run(run(dsn, arguments.users, arguments.roles))
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_SECONDS} s, {MOST_MEGABYTES} MiB, {MOST_WAIT} s beside")
    sys.exit(not good)


if __name__ == "__main__":
    main()
