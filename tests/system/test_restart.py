"""How the service stops: readiness first, then no new connections, then what is in hand; and never with a failure."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import httpx
import psutil
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support.api import V1, Tokens
from tests.support.processes import is_alive
from tests.support.service_process import ServiceProcess

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 60


@asynccontextmanager
async def held_up(settings: Settings) -> AsyncIterator[None]:
    """Whoever reads a user waits as long as this is open."""
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def waiting(settings: Settings) -> None:
    """Returns when somebody stands before that lock."""
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1"
            name = await connection.fetchval("SELECT current_database()")
            while not await connection.fetchval(question, name):  # noqa: ASYNC110  Postgres has no event for it
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def left_in_postgres(settings: Settings) -> int:
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        return await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> ''"
        )
    finally:
        await connection.close()


async def until_refused(service: ServiceProcess) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await service.http.get("/health/live")
            except httpx.ConnectError:
                return
            await asyncio.sleep(0.02)


async def until_draining(service: ServiceProcess) -> httpx.Response:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            ready = await service.http.get("/health/ready")
            if ready.status_code != 200:
                return ready
            await asyncio.sleep(0.02)


async def me(service: ServiceProcess, tokens: Tokens) -> httpx.Response:
    return await service.http.get(f"{V1}/users/me", headers=tokens.bearer)


def lines(service: ServiceProcess) -> list[str]:
    return [json.loads(line)["event"] for line in service.log().splitlines() if line.startswith("{")]


@pytest.mark.parametrize("workers", [1, 2])
async def test_rel_7_readiness_fails_first_and_what_is_in_hand_is_finished(fresh: Fresh, workers: int) -> None:
    settings = await fresh.settings(drain_seconds=1.5)
    _, tokens = await (await fresh.on(settings)).as_role("viewer")
    service = await fresh.service(settings, workers=workers)
    async with httpx.AsyncClient(base_url=service.base_url, trust_env=False, timeout=60) as kept:
        assert (await kept.get("/health/ready")).status_code == 200  # a connection that stays idle

        service.process.send_signal(signal.SIGTERM)
        ready = await until_draining(service)
        assert ready.status_code == 503
        assert ready.json() == {"status": "draining"}
        assert ready.headers["retry-after"] == "1"
        # New connections still pass, and those of before are let go with their next answer.
        assert (await me(service, tokens)).status_code == 200
        async with asyncio.timeout(2):  # the other worker hears of it a moment later
            while "connection" not in (answer := await kept.get(f"{V1}/users/me", headers=tokens.bearer)).headers:
                assert answer.status_code == 200
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")

    async with held_up(settings):
        in_hand = asyncio.create_task(me(service, tokens))
        await waiting(settings)
        await until_refused(service)
        assert not in_hand.done()
        assert service.process.returncode is None
    assert (await in_hand).status_code == 200
    assert await asyncio.wait_for(service.process.wait(), PATIENCE_SECONDS) == 0
    said = lines(service)
    assert "draining" in said  # by each worker that had started
    assert said.count("stopped") == workers


async def test_rel_7_nothing_is_left_in_postgres(fresh: Fresh) -> None:
    settings = await fresh.settings()
    service = await fresh.service(settings, workers=2)
    assert await left_in_postgres(settings) > 0
    service.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(service.process.wait(), PATIENCE_SECONDS) == 0
    assert await left_in_postgres(settings) == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_rel_7_a_second_signal_ends_it_at_once(fresh: Fresh, workers: int) -> None:
    settings = await fresh.settings(drain_seconds=60)
    service = await fresh.service(settings, workers=workers)
    family = [psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True)]
    service.process.send_signal(signal.SIGTERM)
    await until_draining(service)
    service.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(service.process.wait(), 30) == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(is_alive(process) for process in family):  # noqa: ASYNC110  some are no children of ours
            await asyncio.sleep(0.05)


async def test_rel_7_a_signal_for_the_whole_group_is_one_signal(fresh: Fresh) -> None:
    """As a terminal and systemd send it: the workers hear of it twice, and drain all the same."""
    settings = await fresh.settings(drain_seconds=1)
    _, tokens = await (await fresh.on(settings)).as_role("viewer")
    service = await fresh.service(settings, workers=2)
    supervisor = psutil.Process(service.pid)
    async with held_up(settings):
        in_hand = asyncio.create_task(me(service, tokens))
        await waiting(settings)
        for process in (*supervisor.children(recursive=True), supervisor):
            process.terminate()
        await until_refused(service)
    assert (await in_hand).status_code == 200
    assert await asyncio.wait_for(service.process.wait(), PATIENCE_SECONDS) == 0


async def test_rel_7_a_connection_that_has_yet_to_speak_is_heard(fresh: Fresh) -> None:
    """The race that a proxy loses: it connects, the service stops, and only then the request arrives."""
    settings = await fresh.settings(drain_seconds=1)
    service = await fresh.service(settings)
    port = int(service.base_url.rpartition(":")[2])
    service.process.send_signal(signal.SIGTERM)
    calls = []
    with suppress(ConnectionRefusedError):
        while True:
            calls.append(await asyncio.open_connection("127.0.0.1", port))
            await asyncio.sleep(0.01)
    assert calls
    for _, writer in calls[-10:]:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for reader, _ in calls[-10:]:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    for _, writer in calls:
        writer.close()
    assert await asyncio.wait_for(service.process.wait(), PATIENCE_SECONDS) == 0
