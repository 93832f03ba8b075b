"""What a check reads does not grow with the number of roles: plans of the statements, with ten thousand roles."""

import re
from uuid import UUID

import asyncpg

from auth_service.permissions import repository
from tests.conftest import Fresh

MOST_PAGES = 60  # with what 10,000 roles give it is more than a hundred
INTEREST, CODES = ["*", "films:*", "films:watch"], ["films:watch"]
_MAKE = (
    "INSERT INTO roles (name, title) SELECT 'r' || n, 'x' FROM generate_series(1, 10000) n",
    "INSERT INTO role_permissions (role_name, pattern) SELECT name, 'films:watch' FROM roles WHERE name LIKE 'r_%'"
    " ON CONFLICT DO NOTHING",
    "INSERT INTO role_parents (role_name, parent_name) SELECT 'r' || n, 'viewer' FROM generate_series(1, 10000) n",
    "INSERT INTO users (id, login, login_key, email, email_key, password_hash) SELECT gen_random_uuid(), 'u' || n,"
    " 'u' || n, 'u' || n || '@a.example', 'u' || n || '@a.example', 'x' FROM generate_series(1, 1000) n",
    "INSERT INTO user_roles (user_id, role_name) SELECT id, 'r' || substr(login, 2) FROM users WHERE login LIKE 'u%'",
    "ANALYZE",
)


async def test_what_is_read_is_of_the_users_own_roles(fresh: Fresh) -> None:
    settings = await fresh.settings()
    connection = await asyncpg.connect(settings.asyncpg_dsn)
    try:
        for statement in _MAKE:
            await connection.execute(statement)
        users = [row["id"] for row in await connection.fetch("SELECT id FROM users WHERE login LIKE 'u%' LIMIT 2")]
        one, many = f"'{users[0]}'", f"ARRAY['{users[0]}', '{users[1]}']::uuid[]"
        # One plan for all users is what Postgres goes over to after five; of many users it makes one each time.
        for plan in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {plan}")
            assert await _pages(connection, repository._FACTS_OF_ONE, "uuid", one) < MOST_PAGES
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        assert await _pages(connection, repository._FACTS_OF_MANY, "uuid[]", many) < MOST_PAGES
        # And both find the same.
        each = [await _found(connection, [user]) for user in users]
        assert {**each[0], **each[1]} == await _found(connection, users)
        assert all(subject.active and "films:watch" in subject.grants for one in each for subject in one.values())
    finally:
        await connection.close()


async def _found(connection: asyncpg.Connection, users: list[UUID]) -> dict[UUID, repository.Subject]:
    subjects, known = await repository.load_facts(connection, users, patterns=INTEREST, codes=CODES)
    assert known == {"films:watch": False}
    return subjects


async def _pages(connection: asyncpg.Connection, statement: str, kind: str, users: str) -> int:
    """How many pages the statement touches, the second time: the first one reads the catalogue of Postgres too."""
    await connection.execute(f"PREPARE facts ({kind}, text[], text[]) AS {statement}")
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE facts ({users}, ARRAY{INTEREST}, ARRAY{CODES})"
    await connection.fetch(explain)
    lines = [row[0] for row in await connection.fetch(explain)]
    await connection.execute("DEALLOCATE facts")
    (whole,) = re.findall(r"shared hit=(\d+)", lines[1])
    return int(whole)
