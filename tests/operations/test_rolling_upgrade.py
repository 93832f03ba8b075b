"""The version before and this one, live on one database with a million history rows: no request fails (REL-8, F17)."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from auth_service.config import Settings
from tests.conftest import ROOT, Servers, flush, test_settings
from tests.operations.replicas import FAIL_SECONDS, Nginx, Replica, needs_nginx, say, viewers
from tests.support.api import password_hash, unique
from tests.support.planted_migrations import NEWEST, VERSIONS

ROWS = int(os.environ.get("UPGRADE_ROWS", "1000000"))
AT_ONCE = 100_000
PER_SECOND = 30


def _git(*arguments: str) -> str:
    found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _old_code(folder: Path) -> str:
    """Unpacks the last commit that has all revisions but the newest, and says which it is."""
    older = sorted(path.name for path in VERSIONS.glob("[0-9]*.py"))[:-1]
    for commit in _git("rev-list", "HEAD").split():
        listed = _git("ls-tree", "--name-only", commit, "alembic/versions/").split()
        if sorted(Path(name).name for name in listed if name.endswith(".py")) == older:
            break
    else:
        pytest.skip("this clone has no commit from before the newest migration: fetch the history")
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return commit[:9]


async def _migrate(folder: Path, settings: Settings) -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auth_service", "migrate"),
        cwd=folder,
        env={**os.environ, "DATABASE_URL": settings.asyncpg_dsn, "REDIS_URL": settings.redis_url.get_secret_value()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return time.perf_counter() - started


async def _fill(connection: asyncpg.Connection) -> list[str]:
    """Accounts and their history, in the words of SQL: the old schema is none that this code could write."""
    logins = [unique("viewer") for _ in range(20)]
    for login in logins:
        await connection.execute(
            "INSERT INTO users (id, login, login_key, email, email_key, password_hash)"
            " VALUES (gen_random_uuid(), $1, $1, $1 || '@example.com', $1 || '@example.com', $2)",
            login,
            password_hash(),
        )
    await connection.execute("INSERT INTO user_roles (user_id, role_name) SELECT id, 'admin' FROM users")
    for done in range(0, ROWS, AT_ONCE):
        await connection.execute(
            "INSERT INTO login_history (id, login_at, user_id, succeeded)"
            " SELECT gen_random_uuid(), now() - n * interval '1 second', ids[1 + n % cardinality(ids)], true"
            " FROM generate_series($1::int, $2::int) AS n, (SELECT array_agg(id) AS ids FROM users) AS all_users",
            done,
            min(done + AT_ONCE, ROWS) - 1,
        )
        say(f"{min(done + AT_ONCE, ROWS):,} history rows")
    return logins


@needs_nginx
async def test_rel_8_a_rolling_upgrade_and_the_way_back_fail_no_request(servers: Servers, tmp_path: Path) -> None:
    commit = _old_code(tmp_path / "old")
    name = f"auth_upgrade_{servers.worker}"
    maintenance = await asyncpg.connect(servers.database_url)
    await maintenance.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await maintenance.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    await maintenance.close()
    flush(servers.redis_db(1))
    settings = test_settings(
        database_url=servers.database(name),
        redis_url=servers.redis_db(1),
        drain_seconds=5,
    )
    await _migrate(tmp_path / "old", settings)
    connection = await asyncpg.connect(settings.direct_address.dsn)
    old = await connection.fetchval("SELECT version_num FROM alembic_version")
    assert old != NEWEST
    logins = await _fill(connection)

    replicas = [Replica(f"replica-{number}", settings, tmp_path) for number in range(2)]
    nginx = Nginx(tmp_path, replicas)
    async with AsyncExitStack() as stack:
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        for replica in replicas:
            await replica.start(tmp_path / "old")
        await stack.enter_async_context(nginx.running())
        say(f"two replicas of {commit} on schema {old}")
        async with viewers(nginx.url, logins, PER_SECOND) as load:
            await asyncio.sleep(3)
            seconds = await _migrate(ROOT, settings)
            assert await connection.fetchval("SELECT version_num FROM alembic_version") == NEWEST
            say(f"schema {NEWEST} after {seconds:.1f} s; {load.requests} requests, {len(load.failures)} failed")
            await asyncio.sleep(3)
            for folder in (ROOT, tmp_path / "old"):
                for replica in replicas:
                    # A version that does not drain is taken out of the proxy first; it does no harm to one that does.
                    await nginx.leave_out(replica)
                    await replica.stop()
                    await replica.start(folder)
                    await nginx.leave_out()
                    say(f"{replica.name} runs {folder.name}; {load.requests} requests, {len(load.failures)} failed")
                    await asyncio.sleep(FAIL_SECONDS)
        load.report(f"rolling upgrade {old} to {NEWEST} and back, {ROWS:,} history rows, migration {seconds:.1f} s")
        assert load.failures == [], nginx.errors()
        assert load.requests > 300
    assert await connection.fetchval("SELECT count(*) FROM login_history") >= ROWS
    await connection.close()
