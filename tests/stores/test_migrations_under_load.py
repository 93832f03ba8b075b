"""Migrations beside live traffic: a lock that cannot be had is asked for again, and nobody queues behind it (REL-8)."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic.config import Config

from alembic import command
from auth_service.config import Settings
from auth_service.core.stores import migrating
from auth_service.core.stores.migrating import StillLocked
from tests.conftest import ROOT, Fresh
from tests.support.planted_migrations import NEWEST, plant
from tests.support.service_process import environment_of

pytestmark = pytest.mark.long

HELD_SECONDS = 10
ADD_COLUMN = ("op.add_column('users', sa.Column('planted', sa.Text()))", "op.drop_column('users', 'planted')")


async def _upgrade(config: Config, settings: Settings) -> None:
    """In a thread: migrations bring an event loop of their own."""
    config.attributes["settings"] = settings
    await asyncio.to_thread(command.upgrade, config, "head")


async def _upgrade_elsewhere(config: Config, settings: Settings) -> None:
    """In a process of its own: alembic runs one migration at a time in each."""
    script = (
        "import sys; from alembic import command; from alembic.config import Config;"
        "config = Config('alembic.ini');"
        "config.set_main_option('version_locations', sys.argv[1]); command.upgrade(config, 'head')"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, config.get_main_option("version_locations")),
        cwd=ROOT,
        env={**os.environ, **environment_of(settings)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output


@asynccontextmanager
async def _reading_users(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A report that somebody runs: its transaction holds ACCESS SHARE, before which ALTER TABLE has to wait."""
    connection = await asyncpg.connect(
        settings.direct_address.dsn, server_settings={"application_name": "a long report"}
    )
    try:
        await connection.execute("BEGIN; SELECT count(*) FROM users")
        yield connection
    finally:
        await connection.close()


async def test_rel_8_a_blocking_reader_makes_the_migration_retry_and_not_the_traffic_stall(
    fresh: Fresh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api = await fresh.api()
    settings = api.resources.settings
    _, tokens = await api.as_role()
    account = await api.create_user()  # another one, whose many sessions end no session of the first
    seconds: list[float] = []
    stopped = asyncio.Event()  # a cancellation may get lost in a library that is just done waiting

    async def traffic() -> None:
        while not stopped.is_set():
            started = time.perf_counter()
            assert (await api.me(tokens)).status_code == 200
            assert (await api.log_in_as(account.login, account.password)).status_code == 200
            seconds.append(time.perf_counter() - started)

    async with _reading_users(settings) as reader:
        pid = reader.get_server_pid()
        callers = [asyncio.create_task(traffic()) for _ in range(3)]
        migration = asyncio.create_task(_upgrade(plant(tmp_path, *ADD_COLUMN), settings))
        await asyncio.sleep(HELD_SECONDS)
        assert not migration.done()
        assert len(seconds) > 3  # else they stood in the queue behind it
    await migration
    answered = len(seconds)
    for _ in range(400):  # plans that were prepared before are good after it
        if len(seconds) >= answered + 6 or any(caller.done() for caller in callers):
            break
        await asyncio.sleep(0.05)
    stopped.set()
    await asyncio.gather(*callers)
    assert max(seconds) < HELD_SECONDS
    tries = [record.getMessage() for record in caplog.records if record.name == "auth_service.migrating"]
    assert len(tries) >= 2
    assert f"pid {pid} (a long report, idle in transaction" in tries[0]
    assert "SELECT" not in "".join(tries)
    assert await _fetch(settings, "SELECT count(planted) FROM users") == 0


async def _fetch(settings: Settings, question: str) -> object:
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def _until(settings: Settings, question: str) -> None:
    async with asyncio.timeout(60):
        while not await _fetch(settings, question):  # noqa: ASYNC110  Postgres has no event for it
            await asyncio.sleep(0.05)


async def test_rel_8_a_migration_that_never_gets_its_lock_says_who_is_in_the_way(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "PAUSES", (0.1,))
    settings = await fresh.settings()
    config = plant(tmp_path, *ADD_COLUMN)
    async with _reading_users(settings) as reader:
        with pytest.raises(StillLocked, match=f"pid {reader.get_server_pid()} .*pg_terminate_backend"):
            await _upgrade(config, settings)
    assert await _fetch(settings, "SELECT version_num FROM alembic_version") == NEWEST
    await _upgrade(config, settings)
    assert await _fetch(settings, "SELECT version_num FROM alembic_version") == "planted"


async def test_rel_8_an_index_is_built_beside_writers_and_other_migrators(fresh: Fresh, tmp_path: Path) -> None:
    """Two migrators at once, a writer that holds its rows, and the invalid index of a run that was killed."""
    settings = await fresh.settings()
    config = plant(
        tmp_path,
        "op.create_index_concurrently('ix_planted', 'users', ['full_name'], postgresql_where=sa.text('is_active'))",
        "op.drop_index('ix_planted')",
    )
    async with _reading_users(settings) as writer:
        await writer.execute("COMMIT")
        await writer.execute("CREATE INDEX ix_planted ON users (login)")
        await writer.execute("BEGIN; DELETE FROM users")
        migrators = [asyncio.create_task(_upgrade_elsewhere(config, settings)) for _ in range(2)]
        await _until(settings, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        await asyncio.sleep(2 * migrating.LOCK_SECONDS)  # longer than the lock timeout, which is off for this
        assert not any(migrator.done() for migrator in migrators)
        await writer.execute("COMMIT")
        await asyncio.gather(*migrators)
    definition = await _fetch(settings, "SELECT pg_get_indexdef('ix_planted'::regclass)")
    assert "(full_name) WHERE is_active" in str(definition)
    assert await _fetch(settings, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_planted'::regclass")


async def test_rel_8_many_rows_are_changed_in_many_transactions(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "BATCH", 10)
    api = await fresh.api()
    settings = api.resources.settings
    owner, _ = await api.as_role()
    connection = await asyncpg.connect(settings.direct_address.dsn)
    await connection.execute(
        "INSERT INTO sessions (id, user_id, expires_at)"
        " SELECT gen_random_uuid(), $1, now() + interval '1 day' FROM generate_series(1, 95)",
        owner.id,
    )
    await connection.close()
    config = plant(tmp_path, "op.update_in_batches('sessions', assign='generation = 7', where='generation <> 7')")
    await _upgrade(config, settings)
    # A row's xmin is the transaction that wrote it.
    assert await _fetch(settings, "SELECT count(*) FROM sessions WHERE generation = 7") == 96
    assert await _fetch(settings, "SELECT count(DISTINCT xmin::text) FROM sessions") == 10
