"""The primary of a synchronous pair dies, freezes or loses its standby, under load (REL-3, F9)."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from auth_service.config import Settings
from auth_service.embedded.redis import start_redis
from tests.conftest import test_settings
from tests.operations.acts import Ledger, Load
from tests.support.api import PASSWORD, Tokens, tokens_of, unique
from tests.support.command import Command
from tests.support.postgres_pair import Pair, Server, as_postgres, binary, run, running_pair
from tests.support.service_process import ServiceProcess, running_service

HEALED_SECONDS = 10


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[tuple[Pair, Settings, list[ServiceProcess], Tokens]]:
    """A synchronous pair, two service processes on it, and a superuser's tokens."""
    redis = start_redis(folder / "redis", durable=False)
    try:
        with running_pair(folder) as pair:
            await pair.be_synchronous()
            settings = test_settings(database_url=pair.url, redis_url=redis.url, database_timeout_seconds=2)
            await Command(settings).does("migrate")
            await Command(settings).does("users", "create", "boss", "boss@example.com", "--superuser", typed=PASSWORD)
            async with AsyncExitStack() as stack:
                services = [await stack.enter_async_context(running_service(settings, 1, {})) for _ in range(2)]
                answer = await services[0].http.post("/api/v1/auth/login", json={"login": "boss", "password": PASSWORD})
                yield pair, settings, services, tokens_of(answer)
    finally:
        redis.stop()


async def until_healed(services: list[ServiceProcess]) -> float:
    """Seconds until each service answers a registration and a login."""
    began = time.monotonic()

    async def heal(service: ServiceProcess) -> None:
        login = unique("healed")
        account = {"login": login, "password": PASSWORD}
        calls = [("register", account | {"email": f"{login}@example.com"}, {201, 409}), ("login", account, {200})]
        for path, body, well in calls:
            while (await service.http.post(f"/api/v1/auth/{path}", json=body)).status_code not in well:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async with asyncio.timeout(6 * HEALED_SECONDS):
        await asyncio.gather(*(heal(service) for service in services))
    return time.monotonic() - began


async def nothing_is_missing(pair: Pair, settings: Settings, services: list[ServiceProcess], ledger: Ledger) -> None:
    """Of what was acknowledged: accounts, passwords, events, audit rows; and the chain is whole."""

    async def can_log_in(login: str, password: str) -> bool:
        service = services[hash(login) % len(services)]
        answer = await service.http.post("/api/v1/auth/login", json={"login": login, "password": password})
        assert answer.status_code in {200, 401}, answer.text
        return answer.status_code == 200

    turn = asyncio.Semaphore(4)

    async def person_holds(number: int) -> list[str]:
        person = ledger.people[number]
        async with turn:
            known = [person.password, *person.doubtful]
            problems = [] if [one for one in known if await can_log_in(person.login, one)] else ["lost its password"]
            if person.former and await can_log_in(person.login, person.former[-1]):
                problems.append("kept its old password")
        return [f"{person.login} {problem}" for problem in problems]

    found = await asyncio.gather(*(person_holds(number) for number in range(len(ledger.people))))
    assert [problem for problems in found for problem in problems] == []

    connection = await asyncpg.connect(pair.primary.url)
    try:
        rows = await connection.fetch("SELECT kind, user_id FROM outbox WHERE user_id IS NOT NULL")
        granted = await connection.fetch("SELECT target_id FROM audit_log WHERE action = 'role.granted'")
    finally:
        await connection.close()
    events = [(row["kind"], str(row["user_id"])) for row in rows]
    for person in ledger.people:
        assert ("new_user", person.id) in events, person.login
        assert events.count(("password_changed", person.id)) >= person.changed, person.login
    assert {*ledger.granted} <= {row["target_id"].split(":")[0] for row in granted}
    assert "rows are whole" in await Command(settings).does("audit", "verify")


def kill(server: Server) -> None:
    server.kill()


def freeze(server: Server) -> None:
    server.freeze()


@pytest.mark.parametrize("fail", [kill, freeze], ids=["killed", "frozen"])
async def test_rel_3_a_promoted_standby_has_every_acknowledged_act(
    tmp_path: Path, fail: object, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rig(tmp_path) as (pair, settings, services, admin):
        load = Load(services, admin)
        async with load.going():
            await asyncio.sleep(random.uniform(5, 8))
            fail(pair.primary)  # type: ignore[operator]
            await asyncio.sleep(1)  # until somebody notices
            pair.standby.promote()
            seconds = await until_healed(services)
            pair.change_places()
            before = load.ledger.answers.copy()
            await asyncio.sleep(5)
        since = {key: count - before[key] for key, count in load.ledger.answers.items() if count > before[key]}
        with capsys.disabled():
            print(f"\nhealed {seconds:.1f} s after the promotion; slowest answer {load.ledger.slowest:.1f} s")
            print(f"answers: {load.ledger.figures()}")
            print(
                f"acknowledged: {len(load.ledger.people)} accounts, {sum(p.changed for p in load.ledger.people)} "
                f"password changes, {len(load.ledger.granted)} grants"
            )
        assert seconds < HEALED_SECONDS
        assert load.ledger.wrong == []
        assert {act for act, status in since if status < 300} >= {"register", "change_password", "log_in", "check"}

        await the_old_primary_gets_nothing(pair, settings, load)
        await nothing_is_missing(pair, settings, services, load.ledger)
        await it_becomes_the_standby(pair, load)
        await nothing_is_missing(pair, settings, services, load.ledger)


async def the_old_primary_gets_nothing(pair: Pair, settings: Settings, load: Load) -> None:
    """It is back and believes that it takes writes: neither running processes nor a new one believe it."""
    back = datetime.now(UTC)
    if pair.standby.process is not None and pair.standby.process.poll() is None:
        pair.standby.thaw()
    else:
        pair.standby.start()
    await asyncio.sleep(1)
    assert not await pair.standby.ask("SELECT pg_is_in_recovery()")
    count = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM sessions) + (SELECT count(*) FROM outbox)"
    rows = await pair.standby.ask(count)
    async with running_service(settings, 1, {}) as another:
        load.serving.append(another)
        before = load.ledger.answers.copy()
        async with load.going():
            await asyncio.sleep(4)
        load.serving.remove(another)
    since = {key for key, number in load.ledger.answers.items() if number > before[key]}
    assert {act for act, status in since if status < 300} >= {"register", "change_password", "log_in", "refresh"}
    assert load.ledger.wrong == []
    assert await pair.standby.ask(count) == rows
    # Nor does a new connection hang there, waiting for a standby that will never come; what froze there may.
    hanging = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth-service' AND backend_xid IS NOT NULL"
    )
    hanging += f" AND backend_start > '{back.isoformat()}'"
    assert await pair.standby.ask(hanging) == 0


async def it_becomes_the_standby(pair: Pair, load: Load) -> None:
    """As docs/operations.md has it: pg_rewind, or a new copy where that refuses; then commits wait for it again."""
    pair.standby.stop()
    source = pair.primary
    address = f"host=127.0.0.1 port={source.port} user=auth password={source.password} dbname=postgres"
    said = run(
        *as_postgres(pair.standby.data.parent),
        *(binary("pg_rewind"), "-D", str(pair.standby.data), "--source-server", f"{address}", "-R"),
    )
    assert "Done!" in said, said
    settings = pair.standby.data / "postgresql.auto.conf"
    settings.write_text(settings.read_text() + f"primary_conninfo = '{address} application_name=standby'\n")
    pair.standby.start()
    await pair.be_synchronous()
    async with load.going():
        await asyncio.sleep(3)
    assert load.ledger.wrong == []


async def test_rel_3_without_its_standby_the_primary_acknowledges_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Replication is cut first: what cannot reach the standby is 503, and so nothing is lost when it is promoted."""
    async with rig(tmp_path) as (pair, settings, services, admin):
        load = Load(services, admin)
        async with load.going():
            await asyncio.sleep(5)
            pair.standby.freeze()
            await asyncio.sleep(1)
            before = load.ledger.answers.copy()
            await asyncio.sleep(5)
            cut = {key: count - before[key] for key, count in load.ledger.answers.items() if count > before[key]}
            pair.primary.kill()
            pair.standby.thaw()
            pair.standby.promote()
            seconds = await until_healed(services)
            pair.change_places()
            await asyncio.sleep(3)
        with capsys.disabled():
            print(f"\nwhile replication was cut: {cut}")
            print(f"healed {seconds:.1f} s after the promotion; slowest answer {load.ledger.slowest:.1f} s")
        assert {status for act, status in cut if act in {"register", "change_password", "log_in", "grant"}} == {503}
        assert cut["check", 200]
        assert seconds < HEALED_SECONDS
        assert load.ledger.wrong == []
        await nothing_is_missing(pair, settings, services, load.ledger)
