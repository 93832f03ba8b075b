"""The migrations as the command runs them: up, down, up again, in a race; and what they leave behind."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from alembic import command
from auth_service.config import Settings
from auth_service.models import Base
from auth_service.permissions.patterns import EVERYTHING, is_code, is_pattern
from tests.conftest import ROOT, Fresh, Servers
from tests.support.api import PASSWORD, error_of, tokens_of
from tests.support.viewer import Watch, enrol

ROLES = {"guest", "viewer", "subscriber", "moderator", "content-manager", "admin", "superuser"}


@pytest.fixture
async def empty(servers: Servers) -> AsyncIterator[str]:
    """The URL of a database without anything."""
    name = f"auth_empty_{servers.worker}"
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield servers.database(name)
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def _migrate(url: str) -> str:
    """The shipped command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auth_service", "migrate"),
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def _move(settings: Settings, revision: str) -> None:
    """Up or down; in a thread, because the migrations bring an event loop of their own."""
    config = Config(str(ROOT / "alembic.ini"), attributes={"settings": settings})
    move = command.upgrade if revision == "head" else command.downgrade
    await asyncio.to_thread(move, config, revision)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _schema(url: str) -> dict[str, list[str]]:
    """All that the catalogue knows of our tables, as text; the partitions are not of the migrations' making."""
    questions = {
        "columns": "SELECT table_name, column_name, data_type, udt_name, column_default, is_nullable,"
        " generation_expression FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name !~ '^login_history_|^alembic_'",
        "constraints": "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '^login_history_|^alembic_'",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename !~ '^login_history_|^alembic_'",
        "sequences": "SELECT relname FROM pg_class WHERE relkind = 'S'",
        "types": "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'",
        "functions": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    }
    async with _connected(url) as connection:
        return {
            name: sorted(str(tuple(row)) for row in await connection.fetch(question))
            for name, question in questions.items()
        }


async def test_up_down_and_up_again(fresh: Fresh) -> None:
    settings = await fresh.settings()
    first = await _schema(settings.direct_address.dsn)
    assert len(first["columns"]) > 60
    await _move(settings, "base")
    left = await _schema(settings.direct_address.dsn)
    assert [line for name in left for line in left[name] if "alembic_version" not in line] == []
    await _move(settings, "head")
    assert await _schema(settings.direct_address.dsn) == first


async def test_down_with_users_and_roles_of_the_cinema_own(fresh: Fresh) -> None:
    """Before the seed and up again, with data that no migration made."""
    api = await fresh.api()
    settings = api.resources.settings
    account, tokens = await api.as_role("superuser")
    own = {"name": "projectionist", "title": "Projectionist", "permissions": ["films:read"], "parents": ["guest"]}
    created = await api.http.post("/api/v1/roles", json=own, headers=tokens.bearer)
    assert created.status_code == 201
    await _move(settings, "0001")
    await _move(settings, "head")
    async with _connected(settings.direct_address.dsn) as connection:
        assert await connection.fetchval("SELECT login FROM users WHERE id = $1", account.id) == account.login
        assert await connection.fetchval("SELECT title FROM roles WHERE name = 'projectionist'") == "Projectionist"
        assert await connection.fetchval("SELECT count(*) FROM roles") == len(ROLES) + 1


async def test_rel_8_sessions_and_logins_of_the_schema_before_go_on(fresh: Fresh) -> None:
    """Down with rows in every table of 0005, and up again: nobody is logged out, and no old session seems fresh."""
    watch = Watch()
    api = await fresh.api(watch)
    settings = api.resources.settings
    viewer = await enrol(api, watch)
    trusted = await viewer.log_in(trust_device=True)
    challenge = await viewer.challenge()
    account, tokens = await api.as_role()
    other = await api.log_in(account)
    change = {"email": f"new.{account.email}", "current_password": PASSWORD}
    await api.http.post("/api/v1/users/me/email", json=change, headers=tokens.bearer)

    await _move(settings, "0004")
    await _move(settings, "head")

    api = await fresh.on(settings, watch)
    refreshed = tokens_of(await api.refresh(tokens.refresh))
    ending = await api.http.delete(f"/api/v1/users/me/sessions/{other.session_id}", headers=refreshed.bearer)
    assert error_of(ending) == (403, "step_up_required")
    history = await api.http.get("/api/v1/users/me/login-history", headers=refreshed.bearer)
    assert [item["session_id"] for item in history.json()["items"]] == [other.session_id, tokens.session_id]
    proof = {"current_password": PASSWORD}
    stepped = tokens_of(await api.http.post("/api/v1/auth/step-up", json=proof, headers=refreshed.bearer))
    assert (await api.http.get("/api/v1/users/me/export", headers=stepped.bearer)).status_code == 200
    viewer.api = api
    assert (await viewer.answer(challenge, viewer.code())).status_code == 200
    # Its devices are gone with their table: the token of one is only a stranger's.
    known = await viewer.give_password(trusted.device_token)
    assert known.json()["mfa_required"] is True


async def test_rel_8_0005_holds_no_lock_for_as_long_as_there_are_sessions(fresh: Fresh) -> None:
    """Counted and not timed: not one row of the old sessions is written again."""
    settings = await fresh.settings()
    await _move(settings, "0004")
    async with _connected(settings.direct_address.dsn) as connection:
        await connection.execute(
            "INSERT INTO users (id, login, login_key, email, email_key, password_hash)"
            " VALUES (gen_random_uuid(), 'old', 'old', 'old@example.com', 'old@example.com', '')"
        )
        await connection.execute(
            "INSERT INTO sessions (id, user_id, expires_at)"
            " SELECT gen_random_uuid(), id, now() + interval '1 day' FROM users, generate_series(1, 100)"
        )
        question = "SELECT array_agg(xmin::text ORDER BY id) FROM sessions"
        before = await connection.fetchval(question)
    await _move(settings, "head")
    async with _connected(settings.direct_address.dsn) as connection:
        assert len(before) == 100
        assert await connection.fetchval(question) == before
        assert await connection.fetchval("SELECT count(*) FROM sessions WHERE authenticated_at < created_at") == 100


@pytest.mark.filterwarnings("ignore:Computed default on")  # the next test compares them
async def test_models_and_migrations_are_equal(fresh: Fresh) -> None:
    settings = await fresh.settings()

    def ours(_item: object, name: str | None, kind: str, _reflected: bool, _compared: object) -> bool:
        return not (kind in {"table", "index"} and (name or "").startswith("login_history_"))

    def differences(connection: Connection) -> Any:
        options = {"compare_type": True, "compare_server_default": True, "include_object": ours}
        context = MigrationContext.configure(connection, opts={**options, "target_metadata": Base.metadata})
        found = compare_metadata(context, Base.metadata)
        return found, render_python_code(produce_migrations(context, Base.metadata).upgrade_ops)

    engine = create_async_engine(settings.asyncpg_dsn.replace("://", "+asyncpg://"))
    try:
        async with engine.connect() as connection:
            found, code = await connection.run_sync(differences)
    finally:
        await engine.dispose()
    assert found == [], code


async def test_models_alone_make_the_same_schema(fresh: Fresh, empty: str) -> None:
    """What autogenerate does not compare as well: checks, computed columns, partial and descending indexes."""
    migrated = await _schema((await fresh.settings()).direct_address.dsn)
    engine = create_async_engine(empty.replace("://", "+asyncpg://"))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
    finally:
        await engine.dispose()
    made = await _schema(empty)

    assert made == migrated


def test_one_line_of_revisions() -> None:
    script = ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini")))
    assert len(script.get_heads()) == 1
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert revisions[-1] == "0001"


@pytest.mark.long
async def test_migrates_at_once_are_safe(empty: str) -> None:
    """As many replicas do at a deployment: one migrates, the others wait and find it done."""
    outputs = await asyncio.gather(*(_migrate(empty) for _ in range(3)))
    assert sorted("migrated, 0 new" in output for output in outputs) == [False, True, True]
    async with _connected(empty) as connection:
        assert await connection.fetchval("SELECT count(*) FROM roles") == len(ROLES)
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
        assert await connection.fetchval("SELECT count(*) FROM store_generation") == 1


async def test_login_history_is_partitioned_by_month(fresh: Fresh) -> None:
    settings = await fresh.settings()
    async with _connected(settings.direct_address.dsn) as connection:
        strategy = await connection.fetchrow(
            "SELECT partstrat::text, partdefid::regclass::text AS default, pg_get_partkeydef(partrelid) AS key"
            " FROM pg_partitioned_table WHERE partrelid = 'login_history'::regclass"
        )
        assert dict(strategy) == {"partstrat": "r", "default": "login_history_default", "key": "RANGE (login_at)"}
        months = await connection.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
            " WHERE inhparent = 'login_history'::regclass ORDER BY name"
        )
        now = await connection.fetchval("SELECT to_char(now(), 'YYYY_MM')")
        names = [row["name"] for row in months]
        assert len(names) >= settings.history_months_ahead + 2
        assert f"login_history_{now}" in names
        for sent, partition in (("now()", f"login_history_{now}"), ("'1999-01-01'", "login_history_default")):
            query = f"INSERT INTO login_history (id, login_at, succeeded) VALUES (gen_random_uuid(), {sent}, true)"  # noqa: S608
            assert await connection.fetchval(f"{query} RETURNING tableoid::regclass::text") == partition


async def test_the_seed_is_whole(fresh: Fresh) -> None:
    settings = await fresh.settings()
    async with _connected(settings.direct_address.dsn) as connection:
        roles = {row["name"]: row["built_in"] for row in await connection.fetch("SELECT name, built_in FROM roles")}
        codes = {row["code"] for row in await connection.fetch("SELECT code FROM permissions")}
        patterns = {row["pattern"] for row in await connection.fetch("SELECT pattern FROM role_permissions")}
        untitled = await connection.fetchval("SELECT count(*) FROM permissions WHERE title = ''")
        everything = await connection.fetch("SELECT role_name FROM role_permissions WHERE pattern = '*'")
    assert roles.keys() == ROLES
    assert roles["superuser"]
    assert len(codes) >= 40
    assert untitled == 0
    assert all(is_code(code) for code in codes)
    assert [row["role_name"] for row in everything] == ["superuser"]
    resources = {code.partition(":")[0] for code in codes}
    for pattern in patterns - {EVERYTHING}:
        assert is_pattern(pattern)
        assert pattern in codes or (pattern.endswith(":*") and pattern.removesuffix(":*") in resources), pattern
    assert settings.default_role in ROLES
