"""Behind a real PgBouncer in transaction mode: right or 503, never a 500 (docs/operations.md).

TEST_POSTGRES=pgbouncer runs any other test behind one as well.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_service.config import ConfigError, Settings, load_settings
from auth_service.core.stores.postgres import IgnoresSettings, Primary
from auth_service.store_urls.postgres import read_postgres_url
from tests.conftest import Fresh, Servers
from tests.support.api import V1, Api, Tokens
from tests.support.installation import Installation
from tests.support.pgbouncer import MISSING, PROGRAM, PgBouncer, pgbouncer

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
LIMITS = {"application_name": "auth-service", "timezone": "UTC", "statement_timeout": "2000"}
DIRECT = "postgresql://auth:auth@db:5432/auth"


@pytest.fixture
def pooler(servers: Servers, tmp_path: Path) -> Iterator[PgBouncer]:
    with pgbouncer(tmp_path / "pooler", servers.database_url) as one:
        yield one


async def behind(pooler: PgBouncer, fresh: Fresh, **more: object) -> Settings:
    direct = (await fresh.settings()).direct_address.dsn
    return await fresh.settings(
        database_url=pooler.url(direct), database_direct_url=direct, database_pool_size=6, **more
    )


def test_the_direct_url_is_wanted_where_a_pooler_is_told_of() -> None:
    with pytest.raises(ConfigError, match="DATABASE_DIRECT_URL must be the server's own address"):
        load_settings(database_url=f"{DIRECT}?pgbouncer=true")
    load_settings(database_url=f"{DIRECT}?pgbouncer=true", database_direct_url=DIRECT)


def test_one_pooler_is_named_and_the_hosts_stand_behind_it() -> None:
    two = "postgresql://auth:auth@one:6432,two:6432/auth"
    with pytest.raises(ConfigError, match="DATABASE_URL must name one pooler"):
        load_settings(database_url=two, database_direct_url=DIRECT)
    assert len(load_settings(database_url=DIRECT, database_direct_url=two).direct_address.hosts) == 2


@needs_pgbouncer
async def test_many_callers_get_right_answers_from_few_connections(fresh: Fresh, pooler: PgBouncer) -> None:
    """Each statement of a connection may be met by another connection to the server."""
    api = await fresh.on(await behind(pooler, fresh))
    callers = await asyncio.gather(*(_new_caller(api) for _ in range(12)))
    statuses = Counter(status for one in await asyncio.gather(*(_visit(api, *c) for c in callers)) for status in one)
    assert statuses == {200: 12 * 16}


@needs_pgbouncer
async def test_news_of_changes_come_over_the_direct_url(fresh: Fresh, pooler: PgBouncer) -> None:
    settings = await behind(pooler, fresh)
    one, other = await fresh.on(settings), await fresh.on(settings)
    _, root = await one.as_role("superuser")
    user, tokens = await one.as_role()
    assert (await other.check(tokens, "films:watch"))["allowed"] is False
    path = f"{V1}/users/{user.id}/roles/subscriber"
    assert (await one.http.put(path, json={}, headers=root.bearer)).status_code == 200
    assert (await other.check(tokens, "films:watch"))["allowed"] is True
    assert other.resources.coherence.hears()


@needs_pgbouncer
@pytest.mark.parametrize(
    "options", [{}, {"ignore_startup_parameters": "statement_timeout"}], ids=["refuses", "ignores"]
)
async def test_a_pooler_that_nobody_told_of_is_no_500(
    fresh: Fresh, servers: Servers, tmp_path: Path, options: dict[str, str]
) -> None:
    direct = (await fresh.settings()).direct_address.dsn
    with pgbouncer(tmp_path / "pooler", servers.database_url, **options) as pooler:
        settings = await fresh.settings(database_url=pooler.url(direct), database_direct_url=None)
        primary = Primary(settings.postgres_address)
        with pytest.raises(IgnoresSettings if options else Exception, match=r"ignored|unsupported startup parameter"):
            await primary.connect(timeout=5, server_settings=LIMITS)


@needs_pgbouncer
async def test_a_session_pooler_may_stand_for_the_server(fresh: Fresh, servers: Servers, tmp_path: Path) -> None:
    """Such as Supabase's: it leaves out our settings, so they are made in the session."""
    direct = (await fresh.settings()).direct_address.dsn
    ignored = "statement_timeout,idle_in_transaction_session_timeout"
    with pgbouncer(tmp_path / "pooler", servers.database_url, mode="session", ignore_startup_parameters=ignored) as one:
        primary = Primary(read_postgres_url(one.url(direct)), has_sessions=True)
        connection = await primary.connect(timeout=20, server_settings=LIMITS)
        assert await connection.fetchval("SHOW statement_timeout") == "2s"
        connection.terminate()


@needs_pgbouncer
@pytest.mark.long
async def test_restarted_and_paused_it_costs_503_and_nothing_else(fresh: Fresh, pooler: PgBouncer) -> None:
    api = await fresh.on(await behind(pooler, fresh, database_timeout_seconds=2))
    callers = await asyncio.gather(*(_new_caller(api) for _ in range(6)))
    ending = asyncio.Event()
    load = asyncio.gather(*(_keep_visiting(api, *caller, ending) for caller in callers))
    await asyncio.sleep(0.5)
    pooler.stop()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(pooler.start)
    await _until_well(api, callers[0])
    await pooler.admin("PAUSE")
    await asyncio.sleep(2.5)
    await pooler.admin("RESUME")
    await _until_well(api, callers[0])
    ending.set()
    statuses = Counter(status for visit in await load for status in visit)
    assert set(statuses) == {200, 503}


@needs_pgbouncer
async def test_the_doctor_knows_a_pooler(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    direct, numbers = installation.database_url(), itertools.count()

    async def findings(mode: str, direct_url: str | None, **options: str) -> list[tuple[str, ...]]:
        with pgbouncer(tmp_path / f"pooler{next(numbers)}", direct, mode=mode, **options) as pooler:
            installation.secret("DATABASE_URL", pooler.url(direct))
            installation.variables.pop("DATABASE_DIRECT_URL_FILE", None)
            if direct_url is not None:
                installation.secret("DATABASE_DIRECT_URL", direct_url.replace("POOLER", pooler.url(direct)))
            report = await installation.doctor("--json")
            return [tuple(found) for found in report.findings]

    limits = ("warning", "postgres_limits", "DATABASE_URL")
    assert await findings("transaction", None) == [("problem", "postgres", "DATABASE_URL")]
    assert await findings("transaction", direct) == [limits]
    assert await findings("statement", direct) == [("problem", "postgres", "DATABASE_URL")]
    other = installation.at("postgres")
    assert ("problem", "postgres_direct", "DATABASE_DIRECT_URL") in await findings("transaction", other)
    assert ("problem", "postgres_direct", "DATABASE_DIRECT_URL") in await findings("transaction", "POOLER")


async def _new_caller(api: Api) -> tuple[Tokens, str]:
    user, tokens = await api.as_role("moderator")
    return tokens, str(user.id)


async def _visit(api: Api, tokens: Tokens, user_id: str) -> list[int]:
    """Answers are of the caller, whoever else asks."""
    statuses = []
    for _ in range(4):
        me = await api.http.get(f"{V1}/users/me", headers=tokens.bearer)
        if me.status_code == 200:
            assert me.json()["id"] == user_id
        answers = [
            me,
            await api.http.get(f"{V1}/users/me/sessions", headers=tokens.bearer),
            await api.http.get(f"{V1}/users/{user_id}/permissions", headers=tokens.bearer),
            await api.http.post(f"{V1}/permissions/check", json={"permission": "films:read"}, headers=tokens.bearer),
        ]
        if answers[3].status_code == 200:
            assert answers[3].json()["allowed"] is True, json.dumps(answers[3].json())
        statuses += [answer.status_code for answer in answers]
    return statuses


async def _keep_visiting(api: Api, tokens: Tokens, user_id: str, ending: asyncio.Event) -> list[int]:
    statuses = []
    while not ending.is_set():
        statuses += await _visit(api, tokens, user_id)
        await asyncio.sleep(0.02)
    return statuses


async def _until_well(api: Api, caller: tuple[Tokens, str]) -> None:
    async with asyncio.timeout(60):
        while set(await _visit(api, *caller)) != {200}:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.05)
