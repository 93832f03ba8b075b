"""What questions about the past cost where there are a million users and a million rows of the audit trail.

    .venv/bin/python -m bench.then [--users 1000000]

Everybody has the role viewer. Half of the users were granted subscriber by hand, one in twenty of them lost it again
later, one in a thousand was disabled, and roles changed a hundred times in between: a row a minute. Asked through the
service's own code, of a moment in the middle of the trail, on stores of its own; everything is removed at the end.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from auth_service.admin.holders import list_holders, who_has
from auth_service.admin.holders_schemas import HoldersQuery
from auth_service.admin.trail_people import people_of_row
from auth_service.config import load_settings
from auth_service.core.connections import Resources, open_resources
from auth_service.models import new_id
from auth_service.permissions import why
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.what_if.effect import EffectTimeout
from auth_service.testing.processes import own_stores
from auth_service.users.search import write_cursor

LOAD_SECONDS = 1800
ROUNDS = 15
SLOW = 3  # of what takes long
COLUMNS = ["id", "at", "actor_kind", "actor_id", "action", "target_kind", "target_id", "before", "after", "hash"]
Row = tuple[str, str, str, dict[str, Any] | None, dict[str, Any] | None]  # action, target's kind and id, before, after
Question = Callable[[], Awaitable[object]]


def acts(users: list[UUID], start: datetime) -> Iterator[Row]:
    grant = {"role": "subscriber", "valid_from": start.isoformat(), "valid_until": None}
    every, half = max(1, len(users) // 100), len(users) // 2
    for number, user in enumerate(users):
        if number % 2 == 0:
            yield "role.granted", "user", str(user), None, grant
        if number % 20 == 10 and number > half:
            yield "role.revoked", "user", str(users[(number - half) // 20 * 20]), grant, None
        if number % 1000 == 999:
            facts = {"is_active": True}, {"changed": ["is_active"], "is_active": False}
            yield "user.disabled", "user", str(user), *facts
        if number % every == 0:
            yield "role.updated", "role", "guest", {"title": "Guest"}, {"title": "Guest"}
        # Filled up to a row for each user with what is about sessions.
        if number % 2 and number % 20 != 11:
            yield "user.logged_out", "user", str(user), None, None


async def load(connection: asyncpg.Connection, users: list[UUID], end: datetime) -> int:
    begun = end - timedelta(minutes=2 * len(users))

    async def copy(table: str, columns: list[str], records: Iterator[tuple[object, ...]]) -> None:
        await connection.copy_records_to_table(table, records=records, columns=columns, timeout=LOAD_SECONDS)

    columns = ["id", "login", "login_key", "email", "email_key", "password_hash", "created_at"]
    named = ((user, f"b{user.hex}") for user in users)
    await copy("users", columns, ((u, n, n, f"{n}@a.example", f"{n}@a.example", "x", begun) for u, n in named))
    rows = list(acts(users, begun))
    at = [end - timedelta(minutes=len(rows) - number) for number in range(len(rows))]
    await copy(
        "user_roles",
        ["user_id", "role_name", "valid_from", "granted_at"],
        ((user, "viewer", begun, begun) for user in users),
    )
    held: dict[str, datetime] = {}
    for moment, (action, _, target, _, _) in zip(at, rows, strict=True):
        if action == "role.granted":
            held[target] = moment
        elif action == "role.revoked":
            held.pop(target, None)
    columns = ["user_id", "role_name", "valid_from", "granted_at"]
    await copy("user_roles", columns, ((UUID(user), "subscriber", begun, since) for user, since in held.items()))
    # Those of the demo accounts are younger.
    await connection.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only; TRUNCATE audit_log")
    json = [tuple(None if facts is None else orjson.dumps(facts).decode() for facts in row[3:]) for row in rows]
    await copy(
        "audit_log",
        COLUMNS,
        (
            (number, moment, "operator", "bench", *row[:3], *facts, b"")
            for number, (moment, row, facts) in enumerate(zip(at, rows, json, strict=True), start=1)
        ),
    )
    for table in ("roles", "permissions"):  # and the installation is older than all of it
        await connection.execute(f"UPDATE {table} SET created_at = $1", begun)  # noqa: S608
    off = "UPDATE users SET is_active = false WHERE id IN (SELECT target_id::uuid FROM audit_log WHERE action = $1)"
    await connection.execute(off, "user.disabled", timeout=LOAD_SECONDS)
    await connection.execute("VACUUM ANALYZE", timeout=LOAD_SECONDS)
    return len(rows)


async def measure(name: str, question: Question, rounds: int = ROUNDS) -> None:
    await question()
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await question()
        took.append(time.perf_counter() - began)
    print(f"{name:<52}{statistics.median(took) * 1000:>10.1f}{max(took) * 1000:>10.1f}", flush=True)


async def ask(resources: Resources, users: list[UUID], rows: int, end: datetime) -> None:
    then, user = end - timedelta(minutes=rows // 2), users[len(users) // 3]

    async def holders(code: str, at: datetime | None, cursor: str | None = None) -> int:
        query = HoldersQuery(at=at, cursor=cursor, limit=20)
        return len((await list_holders(await who_has(resources, code, query), query)).items)

    async def count(code: str) -> int:
        return await (await who_has(resources, code, HoldersQuery(at=then))).count()

    async def people(row: int) -> object:
        return await people_of_row(resources, row, cursor=None, limit=20)

    far = write_cursor(users[len(users) * 3 // 4])
    of_role = await resources.hot.fetchval(
        "SELECT id FROM audit_log WHERE action = 'role.updated' AND id > $1", rows // 2
    )
    of_grant = await resources.hot.fetchval(
        "SELECT id FROM audit_log WHERE action = 'role.granted' AND id > $1", rows // 2
    )
    print(f"{len(users):,} users, {rows:,} rows; milliseconds: median, slowest")
    await measure("why, now", lambda: why.explain(resources, OPERATOR, user, "films:watch"))
    await measure("why, then", lambda: why.explain(resources, OPERATOR, user, "films:watch", at=then))
    await measure("permissions, then", lambda: why.permissions_at(resources, user, then))
    for code in ("films:watch", "tickets:buy"):
        await measure(f"who has {code}, now", lambda code=code: holders(code, None))
        await measure(f"who had {code}, first page", lambda code=code: holders(code, then))
        await measure(f"who had {code}, far page", lambda code=code: holders(code, then, far))
        await measure(f"how many had {code}", lambda code=code: count(code), SLOW)
    await measure("people of a row about a user's grant", lambda: people(of_grant))
    await measure("people of a row about a role, which changed nothing", lambda: people(of_role), SLOW)
    changed = await resources.hot.fetchval("SELECT max(id) FROM audit_log") + 1
    await resources.hot.execute(
        "INSERT INTO audit_log (id, at, actor_kind, actor_id, action, target_kind, target_id, before, after, hash)"
        " VALUES ($1, $2, 'operator', 'bench', 'role.updated', 'role', 'viewer', $3, $4, '')",
        *(changed, end, '{"permissions": []}', '{"permissions": ["tickets:buy"]}'),
    )
    try:
        await measure("people of a row about everybody's role", lambda: people(changed), SLOW)
    except EffectTimeout as error:
        print(error.detail)


async def run(dsn: dict[str, str], count: int) -> None:
    users, end = sorted(new_id() for _ in range(count)), datetime.now(UTC) - timedelta(minutes=1)
    connection = await asyncpg.connect(dsn["database_url"], command_timeout=LOAD_SECONDS)
    try:
        rows = await load(connection, users, end)
    finally:
        await connection.close()
    async with open_resources(load_settings(**dsn, database_timeout_seconds=60)) as resources:
        await ask(resources, users, rows, end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with own_stores(durable=False) as stores:
        dsn = {"database_url": stores.database_url, "redis_url": stores.redis_url}
        asyncio.run(run(dsn, arguments.users))


if __name__ == "__main__":
    main()
