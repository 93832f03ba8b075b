"""The upkeep of the login history's months: no login fails and no row is lost, whoever is at it and dies of it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import structlog

from auth_service.config import Settings
from auth_service.core.clock import Clock, utc_now
from auth_service.core.connections import Resources, open_resources
from auth_service.locks import Advisory
from auth_service.sessions import partition_upkeep as upkeep
from auth_service.sessions import partitions as steps
from auth_service.sessions.client import Client
from auth_service.sessions.history import record_failure
from auth_service.sessions.partition_state import DEFAULT, SPENT, month_of, name_of
from auth_service.sessions.partition_upkeep import PostgresRefuses
from auth_service.sessions.partitions import HistoryInUse
from auth_service.users.service import delete_user
from tests.conftest import Fresh
from tests.support.access import moment
from tests.support.api import V1, Account, Api, StoppedClock
from tests.support.command import Command
from tests.support.logged import until_logged

PATIENCE_SECONDS = 60
SOMEWHERE = Client("192.0.2.7", "a test")


@asynccontextmanager
async def resources_of(settings: Settings, clock: Clock = utc_now) -> AsyncIterator[Resources]:
    """Without the jobs of an app, which would be at the partitions too."""
    async with open_resources(settings, clock) as resources:
        await resources.keys.load()
        yield resources


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def another_is_at_it(settings: Settings) -> AsyncIterator[Any]:
    """The lock is held, so the jobs of the apps that run meanwhile skip their turn."""
    async with connected(settings) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", Advisory.HISTORY_PARTITIONS)
        yield connection


async def write_entries(database: Any, month: datetime, count: int, user_id: UUID | None = None) -> None:
    """Spread over the first three weeks of the month."""
    await database.execute(
        "INSERT INTO login_history (id, user_id, login_at, succeeded)"
        " SELECT gen_random_uuid(), $1, $2::timestamptz + i % 21 * interval '1 day', true"
        " FROM generate_series(1, $3) i",
        user_id,
        month,
        count,
    )


async def rows_in(database: Any, table: str, user_id: UUID | None = None) -> int:
    query = f"SELECT count(*) FROM {table} WHERE $1::uuid IS NULL OR user_id = $1"  # noqa: S608
    return int(await database.fetchval(query, user_id))


async def tables_of(database: Any) -> set[str]:
    """All that begin like ours, attached or not; without the parent."""
    rows = await database.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'login_history_%'")
    return {row["relname"] for row in rows}


async def partitions_of(database: Any) -> set[str]:
    rows = await database.fetch("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid")
    return {row[0] for row in rows} & await tables_of(database)


async def make_month(database: Any, month: datetime) -> str:
    name = name_of(month)
    bounds = f"FROM ('{month.isoformat()}') TO ('{month_of(month, 1).isoformat()}')"
    await database.execute(f"CREATE TABLE {name} PARTITION OF login_history FOR VALUES {bounds}")
    return name


# --- what is missing ---


async def test_rel_1_a_missing_partition_breaks_no_login_and_ensure_repairs_it(fresh: Fresh) -> None:
    settings, clock = await fresh.settings(), StoppedClock()
    command = Command(settings)
    before = (await command("partitions", "list", "--json")).rows
    assert [row["name"] for row in before][-1] == DEFAULT
    assert len(before) == 5  # this month, three to come, the default one
    coming = before[1]["name"]

    year, month = coming.removeprefix("login_history_").split("_")
    clock.now = datetime(int(year), int(month), 2, tzinfo=UTC)
    async with another_is_at_it(settings) as database:
        api = await fresh.on(settings, clock)
        account = await api.create_user()
        await database.execute(f"DROP TABLE {coming}")
        await api.log_in(account)
        wrong = {"login": account.login, "password": "wrong password"}
        assert (await api.http.post(f"{V1}/auth/login", json=wrong)).status_code == 401
        assert await rows_in(database, DEFAULT, account.id) == 2
    said = await command.does("partitions", "ensure")
    assert coming in said
    assert "moved 2 rows" in said
    async with connected(settings) as database:
        assert (await rows_in(database, DEFAULT), await rows_in(database, coming, account.id)) == (0, 2)
        assert "nothing" in await command.does("partitions", "ensure")
        tokens = await api.log_in(account)
        history = await api.http.get(f"{V1}/users/me/login-history", headers=tokens.bearer)
        assert [item["succeeded"] for item in history.json()["items"]] == [True, False, True]
        assert await rows_in(database, coming, account.id) == 3


async def test_rel_1_ensure_also_repairs_months_that_are_over(fresh: Fresh) -> None:
    """Nobody ran it for half a year, or old entries were brought along: they are moved all the same."""
    settings = await fresh.settings()
    command = Command(settings)
    async with connected(settings) as database:
        for days in (40, 100, 400, 1100):
            await write_entries(database, month_of(moment(days=-days)), 1)
        made = (await command.does("partitions", "ensure")).splitlines()[0].replace(",", "").split()[1:]
        assert made == sorted({name_of(moment(days=-days)) for days in (40, 100, 400, 1100)})
        assert await rows_in(database, DEFAULT) == 0
        assert await rows_in(database, "login_history") == 4


async def test_ensure_makes_as_many_months_as_are_asked_for(fresh: Fresh) -> None:
    command = Command(await fresh.settings())
    await command.does("partitions", "ensure", "--months", "14")
    rows = (await command("partitions", "list", "--json")).rows
    assert len(rows) == 16
    assert rows[0].keys() == {"name", "bounds", "rows", "bytes"}
    assert DEFAULT in await command.does("partitions", "list")
    for months in ("0", "61"):
        assert (await command("partitions", "ensure", "--months", months)).code == 2


async def test_rel_1_the_workers_repair_it_by_themselves_and_one_of_them_does(fresh: Fresh) -> None:
    settings = await fresh.settings()
    async with connected(settings) as database:
        month = month_of(utc_now(), 1)
        await database.execute(f"DROP TABLE {name_of(month)}")
        await write_entries(database, month, 50)
        old = await make_month(database, month_of(utc_now(), -25))
        with structlog.testing.capture_logs() as logged:
            replicas = await asyncio.gather(*(fresh.on(settings) for _ in range(3)))
            await until_logged(logged, "history_months_dropped")
        assert await rows_in(database, DEFAULT) == 0
        assert old not in await tables_of(database)
        assert await rows_in(database, name_of(month)) == 50
    events = {entry["event"]: entry for entry in logged if entry["event"].startswith("history_")}
    assert len(events) == sum(entry["event"].startswith("history_") for entry in logged) == 3
    assert events["history_partitions_made"]["partitions"] == [name_of(month)]
    assert events["history_rows_moved"]["rows"] == 50
    assert events["history_months_dropped"]["partitions"] == [old]
    assert (await replicas[0].http.get("/health/ready")).json()["login_history"] == "ok"


async def test_rel_1_a_worker_skips_what_another_is_at(fresh: Fresh) -> None:
    settings = await fresh.settings()
    month = name_of(month_of(utc_now(), 2))
    async with resources_of(settings) as resources:
        async with another_is_at_it(settings) as database:
            await database.execute(f"DROP TABLE {month}")
            await upkeep.keep_up(resources)
            assert month not in await tables_of(database)
        await upkeep.keep_up(resources)
        assert month in await partitions_of(resources.hot)


async def test_rel_1_commands_wait_for_each_other(fresh: Fresh) -> None:
    settings = await fresh.settings()
    async with resources_of(settings) as resources:
        months = [month_of(utc_now(), offset) for offset in (1, 2)]
        for month in months:
            await resources.hot.execute(f"DROP TABLE {name_of(month)}")
            await write_entries(resources.hot, month, 500)
        done = await asyncio.gather(*(upkeep.ensure_partitions(resources) for _ in range(4)))
        assert sorted(len(one.made) for one in done) == [0, 0, 0, 2]
        assert sum(one.moved for one in done) == 1000
        assert await rows_in(resources.hot, "login_history") == 1000


# --- under load ---


async def test_rel_1_a_full_default_partition_is_emptied_while_people_log_in(fresh: Fresh) -> None:
    """Every login succeeds, readers see every old entry at any time, and nothing is lost or doubled."""
    settings = await fresh.settings()
    api = await fresh.on(settings)
    account, tokens = await api.as_role()
    people = [await api.create_user() for _ in range(5)]
    stop = asyncio.Event()
    written = 0

    async def log_in(person: Account) -> None:
        nonlocal written
        while not stop.is_set():
            await api.log_in(person)
            await record_failure(api.resources, person.id, "wrong_password", SOMEWHERE)
            written += 2

    async def read() -> None:
        until = f"{month_of(utc_now()):%Y-%m-%d}T00:00:00Z"
        while not stop.is_set():
            page = await api.http.get(
                f"{V1}/users/me/login-history", params={"until": until, "limit": 100}, headers=tokens.bearer
            )
            assert len(page.json()["items"]) == 60, page.text
            await asyncio.sleep(0.01)

    async with another_is_at_it(settings) as database:
        this_month = name_of(utc_now())
        before = [month_of(utc_now(), -offset) for offset in (1, 2, 3)]
        await database.execute(f"DROP TABLE {this_month}")  # with the entry of `tokens`
        for month in before:
            await write_entries(database, month, 7000)
            await write_entries(database, month, 20, account.id)
        async with asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(log_in(person))
            group.create_task(read())
            await asyncio.sleep(0.3)
            await database.execute("SELECT pg_advisory_unlock($1)", Advisory.HISTORY_PARTITIONS)
            done = await upkeep.ensure_partitions(api.resources)
            await asyncio.sleep(0.3)
            stop.set()
        assert {this_month, *map(name_of, before)} <= set(done.made)
        assert done.moved >= 3 * 7020
        assert await rows_in(database, DEFAULT) == 0
        assert await rows_in(database, "login_history") == 3 * 7020 + written
        assert await database.fetchval("SELECT count(DISTINCT id) FROM login_history") == 3 * 7020 + written
        assert await tables_of(database) == await partitions_of(database)


async def test_rel_1_an_entry_on_its_way_to_the_default_partition_is_not_refused(fresh: Fresh) -> None:
    """One is not committed yet when its month is made, others arrive meanwhile."""
    settings = await fresh.settings()
    async with resources_of(settings) as resources, connected(settings) as database:
        month = name_of(utc_now())
        await database.execute(f"DROP TABLE {month}")
        transaction = database.transaction()
        await transaction.start()
        await write_entries(database, month_of(utc_now()), 1)
        ensuring = asyncio.create_task(upkeep.ensure_partitions(resources))
        await asyncio.sleep(0.2)
        others = [asyncio.create_task(record_failure(resources, None, "unknown_login", SOMEWHERE)) for _ in range(5)]
        await asyncio.sleep(0.1)
        await transaction.commit()
        await asyncio.gather(ensuring, *others)
        assert await rows_in(database, month) == 6
        assert await rows_in(database, DEFAULT) == 0


async def test_rel_1_upkeep_gives_way_to_what_lasts(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup holds the history for hours: logins wait for half a second at most, and the next run does it."""
    monkeypatch.setattr(steps, "LOCK_TRIES", 2)
    settings = await fresh.settings()
    month = name_of(month_of(utc_now(), 1))
    async with resources_of(settings) as resources, connected(settings) as backup:
        await backup.execute(f"DROP TABLE {month}")
        transaction = backup.transaction()
        await transaction.start()
        await backup.execute("LOCK TABLE login_history IN ACCESS SHARE MODE")
        ensuring = asyncio.create_task(upkeep.ensure_partitions(resources))
        while not ensuring.done():
            await asyncio.wait_for(record_failure(resources, None, "unknown_login", SOMEWHERE), 2)
        with pytest.raises(HistoryInUse):
            await ensuring
        with structlog.testing.capture_logs() as logged:
            await upkeep.keep_up(resources)
        assert [entry["event"] for entry in logged] == ["history_upkeep_gave_up"]
        await transaction.rollback()
        assert (await upkeep.ensure_partitions(resources)).made == [month]
        assert await tables_of(backup) == await partitions_of(backup)


# --- killed half-way ---


class Killed(Exception):
    pass


class Dying:
    """A connection whose process is gone at its n-th statement; `just before` the switch somebody logs in."""

    def __init__(self, connection: Any, at: int, late: Any) -> None:
        self._connection, self._left, self._late = connection, at, late
        self.transaction = connection.transaction

    async def _count(self, statement: str) -> None:
        if statement.startswith("SET LOCAL lock_timeout = '5s'"):
            await self._late()
        self._left -= 1
        if self._left == 0:
            self._connection.terminate()
            raise Killed

    async def execute(self, statement: str, *arguments: Any) -> Any:
        await self._count(statement)
        return await self._connection.execute(statement, *arguments)

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        await self._count(statement)
        return await self._connection.fetch(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        await self._count(statement)
        return await self._connection.fetchval(statement, *arguments)


@pytest.mark.long
async def test_rel_1_killed_at_any_statement_the_next_run_completes_it(fresh: Fresh) -> None:
    """For each statement of a whole upkeep: a full month in the default partition, one to drop, and a late login."""
    settings = await fresh.settings()
    now = utc_now()
    async with resources_of(settings) as resources, connected(settings) as database:
        account = await Api(None, resources).create_user()  # type: ignore[arg-type]  # no HTTP here
        expected = deaths = 0
        for number in range(1, 100):
            month = month_of(now, 12 + number)
            await write_entries(database, month, 25, account.id)
            expected += 25
            old = await make_month(database, month_of(now, -25 - number))
            come = 0

            async def late(month: datetime = month) -> None:
                nonlocal come
                if not come:
                    come = 2
                    await write_entries(database, month, come, account.id)

            async with connected(settings) as connection:
                await connection.execute("SELECT pg_advisory_lock($1)", Advisory.HISTORY_PARTITIONS)
                dying: Any = Dying(connection, number, late)
                died = True
                with suppress(Killed, asyncpg.InterfaceError):
                    await steps.ensure(dying, now, 3)
                    await steps.drop_expired(dying, now, 24)
                    died = False
            expected += come
            deaths += died
            seen = await rows_in(database, "login_history", account.id)
            assert expected - come <= seen <= expected, "only the late ones may be on their way"
            await upkeep.keep_up(resources)
            assert await rows_in(database, name_of(month), account.id) == 25 + come, number
            assert await rows_in(database, "login_history", account.id) == expected
            assert await rows_in(database, DEFAULT) == 0
            assert old not in await tables_of(database)
            assert await tables_of(database) == await partitions_of(database)
            if not died:
                break
    assert not died
    assert deaths > 20


@pytest.mark.long
@pytest.mark.parametrize(
    ("held", "mode", "left"), [("login_history", "ACCESS SHARE", False), ("users", "ACCESS EXCLUSIVE", True)]
)
async def test_rel_1_kill_9_before_and_after_the_switch(fresh: Fresh, held: str, mode: str, left: bool) -> None:
    """The command as a process, stopped by a lock where it is to die."""
    settings = await fresh.settings()
    command = Command(settings)
    month = month_of(utc_now(), 1)
    async with connected(settings) as database, connected(settings) as holder:
        await database.execute(f"DROP TABLE {name_of(month)}")
        await write_entries(database, month, 5000)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(f"LOCK TABLE {held} IN {mode} MODE")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "auth_service", "partitions", "ensure"),
            env={**os.environ, **command.environment},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth-service partitions'"
            " AND datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await database.fetchval(waiting):  # noqa: ASYNC110  Postgres has no event for it
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await transaction.rollback()
        assert await rows_in(database, "login_history") == 5000
        assert (SPENT in await tables_of(database)) is left
        assert await tables_of(database) != await partitions_of(database)
        await command.does("partitions", "ensure")
        assert await rows_in(database, name_of(month)) == await rows_in(database, "login_history") == 5000
        assert await tables_of(database) == await partitions_of(database)


# --- users who are deleted meanwhile ---


@pytest.mark.parametrize("when", ["after the copy", "after the switch"])
async def test_rel_1_a_user_deleted_during_the_move_leaves_nothing(fresh: Fresh, when: str) -> None:
    settings = await fresh.settings()
    async with resources_of(settings) as resources, connected(settings) as connection:
        maker = Api(None, resources)  # type: ignore[arg-type]  # no HTTP here
        leaver, stayer = await maker.create_user(), await maker.create_user()
        stranger = uuid4()  # of an older system: whose entries nobody deletes but the retention
        month = month_of(utc_now(), 1)
        await connection.execute(f"DROP TABLE {name_of(month)}")
        for user_id in (leaver.id, stayer.id, stranger, None):
            await write_entries(connection, month, 30, user_id)
        await steps._prepare(connection, month)
        for user_id in (leaver.id, stayer.id):
            await write_entries(connection, month, 3, user_id)  # late
        if when == "after the copy":
            await delete_user(resources, leaver.id)
        await steps._switch(connection, [month])
        if when == "after the switch":
            await delete_user(resources, leaver.id)
        await steps._settle(connection)
        for user_id, count in ((leaver.id, 0), (stayer.id, 33), (stranger, 30)):
            assert await rows_in(connection, "login_history", user_id) == count
        assert await rows_in(connection, "login_history") == 93


# --- retention ---


async def test_rel_1_months_beyond_the_retention_are_dropped_and_no_others(fresh: Fresh) -> None:
    settings = await fresh.settings(history_months_kept=3)
    command = Command(settings)
    async with connected(settings) as database:
        months = [await make_month(database, month_of(utc_now(), -offset)) for offset in range(1, 7)]
        keeps = await tables_of(database) - set(months[3:])
        await database.execute("CREATE TABLE login_history_2001_archive (id int)")
        assert "nothing" in await Command(await fresh.settings()).does("partitions", "drop-old", "--yes")
        said = await command.does("partitions", "drop-old")
        assert all(month in said for month in months[3:])
        assert "--yes" in said
        assert set(months) <= await tables_of(database)
        said = await command.does("partitions", "drop-old", "--yes")
        assert said.split()[1:] == ", ".join(reversed(months[3:])).split()
        assert await tables_of(database) == keeps | {"login_history_2001_archive"}
        assert "nothing" in await command.does("partitions", "drop-old", "--yes")


async def test_rel_1_a_clock_that_is_years_ahead_drops_nothing(fresh: Fresh) -> None:
    settings, clock = await fresh.settings(), StoppedClock()
    clock.forward(days=20_000)
    async with resources_of(settings, clock) as resources:
        await write_entries(resources.hot, month_of(utc_now()), 5)
        await upkeep.keep_up(resources)
        assert name_of(clock.now) in await partitions_of(resources.hot)
        assert await rows_in(resources.hot, "login_history") == 5


# --- what an operator has to see ---


async def test_rel_1_readiness_says_what_is_wrong_and_stays_200(fresh: Fresh) -> None:
    settings = await fresh.settings()
    async with another_is_at_it(settings) as database:
        api = await fresh.on(settings)

        async def said() -> str:
            answer = await api.http.get("/health/ready")
            assert answer.status_code == 200
            body = answer.json()
            assert body["status"] == ("ready" if body["login_history"] == "ok" else "degraded")
            return str(body["login_history"])

        assert await said() == "ok"
        this, following = month_of(utc_now()), month_of(utc_now(), 1)
        await database.execute(f"DROP TABLE {name_of(following)}")
        assert f"{following:%Y-%m}" in await said()
        assert "auth-service partitions ensure" in await said()
        await database.execute(f"DROP TABLE {name_of(this)}")
        assert f"{this:%Y-%m} and {following:%Y-%m}" in await said()
        await api.as_role()
        assert "default partition: 1:" in await said()
        await write_entries(database, following, 1500)
        assert "more than 1000" in await said()
        await database.execute(f"CREATE TABLE {SPENT} (LIKE login_history)")
        assert "not finished" in await said()
    await Command(settings).does("partitions", "ensure")
    assert await said() == "ok"


async def test_rel_1_a_table_in_the_way_is_named(fresh: Fresh) -> None:
    settings = await fresh.settings()
    month = name_of(month_of(utc_now(), 1))
    async with resources_of(settings) as resources:
        await resources.hot.execute(f"ALTER TABLE login_history DETACH PARTITION {month}")
        with pytest.raises(PostgresRefuses, match=month):
            await upkeep.ensure_partitions(resources)
        with structlog.testing.capture_logs() as logged:
            await upkeep.keep_up(resources)
        assert [entry["event"] for entry in logged] == ["history_upkeep_gave_up"]
        assert month in logged[0]["why"]
    assert month in await Command(settings).refuses("partitions", "ensure")
