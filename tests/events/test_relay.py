"""The relay against a real broker: in time, in order, nothing lost; over outages, kills and rivals (REL-4).

EVENTS_OUTAGE_SECONDS and EVENTS_KILLS make the outage longer and the kills more: `make test-events-long`.
"""

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from auth_service.config import Settings
from auth_service.core.connections import Resources, open_resources
from auth_service.core.upkeep import Job, running
from auth_service.events.cloud_event import Sent, to_message
from auth_service.events.kafka import BadKafkaOptions, Kafka
from auth_service.events.kinds import LoginChanged, NewUser, ProfileChanged
from auth_service.events.outbox import record
from auth_service.events.positions import Positioned
from auth_service.events.relay import MOST_TRIES, RESTART_SECONDS, delete_old_events, run_relay
from auth_service.models import new_id
from auth_service.moving_in.arrival import Wishes, take_in
from auth_service.moving_in.newcomers import Newcomer
from auth_service.users.service import update_profile
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, StoppedClock, password_hash, unique
from tests.support.kafka import Broker, Reader, reading
from tests.support.logged import until_logged
from tests.support.service_process import environment_of

pytestmark = pytest.mark.long

OUTAGE_SECONDS = float(os.environ.get("EVENTS_OUTAGE_SECONDS", "3"))
KILLS = int(os.environ.get("EVENTS_KILLS", "6"))
PER_SECOND = 50


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker.at(tmp_path / "kafka")
    await broker.start()
    yield broker
    await broker.stop()


async def register(resources: Resources) -> UUID:
    """All that a registration writes, without its 36 ms of hashing; in the transaction of the service."""
    login = unique("crowd")
    address = f"{login}@example.com"
    user = Newcomer("line 2", login, address, password_hash=password_hash())
    await take_in(resources, [user], lambda _count: None, Wishes())
    user_id: UUID = await resources.hot.fetchval("SELECT id FROM users WHERE login = $1", login)
    return user_id


async def outbox_of(resources: Resources) -> dict[str, list[str]]:
    """Ids by key, in the order of the changes."""
    rows = await resources.hot.fetch("SELECT key, id FROM outbox ORDER BY number")
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(str(row["id"]))
    return found


async def all_arrived_in_order(resources: Resources, reader: Reader) -> None:
    """Of every key: the first occurrences on each topic are those of the outbox, none more, none less, none earlier."""
    expected = await outbox_of(resources)
    await reader.until(lambda: {i for ids in expected.values() for i in ids} <= reader.ids)
    kinds = {str(row["id"]): row["kind"] for row in await resources.hot.fetch("SELECT id, kind FROM outbox")}
    assert reader.ids == set(kinds)
    for key, ids in expected.items():
        for is_new in (True, False):
            wanted = [number for number in ids if (kinds[number] == "new_user") is is_new]
            came = [event.id for event in reader.first_of(key) if (event.kind == "new_user") is is_new]
            assert came == wanted, key


async def unsent(resources: Resources) -> int:
    return int(await resources.hot.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL"))


async def until_sent(resources: Resources, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while await unsent(resources):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@asynccontextmanager
async def stores(settings: Settings, clock: Any = None) -> AsyncIterator[Resources]:
    """Without an app, and so without its relay."""
    async with open_resources(settings, clock) if clock else open_resources(settings) as resources:
        yield resources


@asynccontextmanager
async def relaying(resources: Resources) -> AsyncIterator[None]:
    async def relay() -> None:
        await run_relay(resources)

    async with running([Job("relay", relay, RESTART_SECONDS)]):
        yield


async def test_rel_4_new_user_is_read_within_a_second_of_the_registration(fresh: Fresh, broker: Broker) -> None:
    api = await fresh.api(kafka_bootstrap=broker.address)
    async with reading(broker) as reader:
        await register(api.resources)  # the topics are made, the producer is connected
        await reader.until(lambda: len(reader.events) == 2)
        body = {"login": unique("neo"), "email": f"{unique('neo')}@example.com", "password": PASSWORD}
        response = await api.http.post(f"{V1}/auth/register", json=body | {"full_name": "Томас А."})
        answered = time.monotonic()
        user = response.json()
        await reader.until(lambda: len(reader.first_of(user["id"])) == 2)
        (came,) = [event for event in reader.first_of(user["id"]) if event.kind == "new_user"]
        assert came.topic == "uploading_data"
        assert came.moment - answered < 1
        assert set(came.data) == {"user_id", "username", "full_name", "created_at"}
        assert (came.data["user_id"], came.data["username"]) == (user["id"], body["login"])
        assert came.data["full_name"] == "Томас А."
        assert came.data["created_at"].endswith("Z") or "+" in came.data["created_at"]
        await all_arrived_in_order(api.resources, reader)


async def test_rel_4_a_refused_registration_is_never_published(fresh: Fresh, broker: Broker) -> None:
    api = await fresh.api(kafka_bootstrap=broker.address)
    account = await api.create_user()
    body = {"login": account.login, "email": f"{unique('x')}@example.com", "password": PASSWORD}
    async with reading(broker) as reader:
        assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 409
        last = await register(api.resources)
        await reader.until(lambda: len(reader.first_of(str(last))) == 2)
        assert {event.key for event in reader.events} == {str(last)}


async def test_rel_4_a_broker_that_is_away_is_felt_by_nobody_and_gets_all_later(fresh: Fresh, tmp_path: Path) -> None:
    """There, then away under load, then there again, empty: a new one on the old address."""
    broker = Broker.at(tmp_path / "kafka")
    settings = await fresh.settings(kafka_bootstrap=broker.address)
    api = await fresh.on(settings)
    reader = Reader()
    await broker.start()
    try:
        async with reading(broker, reader):
            users = [await register(api.resources) for _ in range(5)]
            await until_sent(api.resources)
            await all_arrived_in_order(api.resources, reader)
        await broker.stop()
        count, slowest = await _load(api, users, OUTAGE_SECONDS)
        assert await unsent(api.resources) > 0
        await broker.start()
        async with reading(broker, reader):
            await until_sent(api.resources, 120)
            await all_arrived_in_order(api.resources, reader)
    finally:
        await broker.stop()
    twice = len(reader.events) - len(reader.ids)
    print(f"{count} registrations in {OUTAGE_SECONDS} s, the slowest with a change after it {slowest:.3f} s")
    print(f"{len(reader.ids)} events, {twice} twice")


async def _load(api: Api, users: list[UUID], seconds: float) -> tuple[int, float]:
    """PER_SECOND registrations if the machine bears it, and a change for each fourth: how many, and the slowest."""
    start = time.monotonic()
    times: list[float] = []
    numbers = itertools.count()

    async def client() -> None:
        while (number := next(numbers)) < PER_SECOND * seconds and time.monotonic() < start + seconds:
            await asyncio.sleep(max(0.0, start + number / PER_SECOND - time.monotonic()))
            began = time.monotonic()
            users.append(await register(api.resources))
            if number % 4 == 0:
                await update_profile(api.resources, random.choice(users), {"full_name": unique("name")})
            times.append(time.monotonic() - began)

    await asyncio.gather(*(client() for _ in range(6)))
    return len(times), max(times)


async def test_rel_4_several_relays_at_once_keep_each_user_in_order(fresh: Fresh, broker: Broker) -> None:
    settings = await fresh.settings(kafka_bootstrap=broker.address)
    async with (
        stores(settings) as resources,
        relaying(resources),
        relaying(resources),
        relaying(resources),
        reading(broker) as reader,
    ):
        users = [await register(resources) for _ in range(20)]

        async def changes(user_id: UUID) -> None:
            for number in range(10):
                await update_profile(resources, user_id, {"full_name": f"Name {number}"})

        await asyncio.gather(*(changes(user_id) for user_id in users))
        await until_sent(resources)
        await all_arrived_in_order(resources, reader)
        names = [e.data["full_name"] for e in reader.first_of(str(users[0])) if e.kind == "profile_changed"]
        assert names == [f"Name {number}" for number in range(10)]


async def test_rel_4_a_killed_relay_loses_nothing(fresh: Fresh, broker: Broker) -> None:
    """kill -9 of `auth-service relay`, each time at another point of its work."""
    settings = await fresh.settings(kafka_bootstrap=broker.address)
    command = (sys.executable, "-m", "auth_service", "relay")
    environment = {**os.environ, **environment_of(settings)}
    points = [0.2 + 0.25 * number / KILLS for number in range(KILLS)]
    async with stores(settings) as resources, reading(broker) as reader:
        users = [await register(resources) for _ in range(10)]
        finished = asyncio.Event()

        async def changes() -> None:
            while not finished.is_set():
                await register(resources)
                for user_id in users:
                    await update_profile(resources, user_id, {"full_name": unique("name")})
                await asyncio.sleep(0.05)

        load = asyncio.create_task(changes())
        for point in points:
            before = len(reader.events)
            process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
            await reader.until(lambda before=before: len(reader.events) > before)  # type: ignore[misc]
            await asyncio.sleep(point)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        finished.set()
        await load
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        await until_sent(resources)
        process.terminate()
        assert await process.wait() == 0
        await all_arrived_in_order(resources, reader)
        print(f"{len(reader.ids)} events, {len(reader.events) - len(reader.ids)} twice, {KILLS} kills")


async def test_rel_4_what_was_sent_and_not_marked_comes_twice_under_one_id(fresh: Fresh, broker: Broker) -> None:
    settings = await fresh.settings(kafka_bootstrap=broker.address)
    async with stores(settings) as resources, reading(broker) as reader:
        user_id = await register(resources)
        async with relaying(resources):
            await until_sent(resources)
        await resources.hot.execute("UPDATE outbox SET sent_at = NULL")  # as after a crash before the mark
        async with relaying(resources):
            await until_sent(resources)
        await reader.until(lambda: len(reader.events) == 4)
        assert len(reader.first_of(str(user_id))) == 2


async def test_rel_4_what_the_broker_refuses_is_parked_and_the_rest_goes_on(fresh: Fresh, broker: Broker) -> None:
    settings = await fresh.settings(kafka_bootstrap=broker.address)
    user_id = new_id()
    async with stores(settings) as resources, reading(broker) as reader:
        async with resources.db.begin() as session:
            await record(resources, session, ProfileChanged(user_id=user_id, full_name="before"))
            await record(resources, session, ProfileChanged(user_id=user_id, full_name="x" * 2_000_000))
            await record(resources, session, LoginChanged(user_id=user_id, username="after"))
        with structlog.testing.capture_logs() as logs:
            async with relaying(resources):
                other = await register(resources)
                await reader.until(lambda: len(reader.first_of(str(other))) == 2)
                await reader.until(lambda: len(reader.first_of(str(user_id))) == 2)
                await until_logged(logs, "event_parked")
        parked = await resources.hot.fetch("SELECT id, tries FROM outbox WHERE parked_at IS NOT NULL")
        assert [row["tries"] for row in parked] == [MOST_TRIES]
        assert [event.kind for event in reader.first_of(str(user_id))] == ["profile_changed", "login_changed"]
        (line,) = [entry for entry in logs if entry["event"] == "event_parked"]
        assert line["event_id"] == str(parked[0]["id"])
        assert "xxx" not in str(logs)


async def test_rel_4_no_try_is_counted_while_the_broker_is_away(fresh: Fresh, tmp_path: Path) -> None:
    away = Broker.at(tmp_path)
    settings = await fresh.settings(kafka_bootstrap=away.address)
    async with stores(settings) as resources:
        message = to_message(settings, _event(NewUser.kind))
        async with Kafka(settings) as kafka:
            began = time.monotonic()
            task = asyncio.create_task(kafka.send([message]))
            while not task.done():  # the loop is free meanwhile
                before = time.monotonic()
                await asyncio.sleep(0.05)
                assert time.monotonic() - before < 2
            assert await task == [Sent.FAILED]
            assert time.monotonic() - began < 10
        await register(resources)
        async with relaying(resources):
            await asyncio.sleep(7)
        assert await resources.hot.fetch("SELECT FROM outbox WHERE tries > 0 OR parked_at IS NOT NULL") == []
        assert await unsent(resources) == 2


async def test_aud_2_an_option_that_librdkafka_refuses_is_not_shown(fresh: Fresh) -> None:
    canary = "canary-of-the-broker"
    options = f'{{"sasl.mechanism": "PLAIN", "security.protocol": "{canary}"}}'
    settings = await fresh.settings(kafka_bootstrap="127.0.0.1:1", kafka_options=options)
    with structlog.testing.capture_logs() as logs:
        async with stores(settings) as resources, relaying(resources):
            await asyncio.sleep(0.5)
    assert {entry["kind"] for entry in logs if entry["event"] == "upkeep_failed"} == {"BadKafkaOptions"}
    assert canary not in str(logs)
    with pytest.raises(BadKafkaOptions) as caught:
        Kafka(settings)
    assert canary not in str(caught.value)
    assert caught.value.__suppress_context__


def _event(kind: str) -> Positioned:
    data = {"user_id": "u", "username": "n", "full_name": None, "created_at": "2026-01-01T00:00:00Z"}
    return Positioned(1, new_id(), kind, "u", data, StoppedClock()())


async def test_rel_4_old_events_go_only_when_they_were_sent(fresh: Fresh) -> None:
    clock = StoppedClock()
    settings = await fresh.settings(kafka_bootstrap="127.0.0.1:1", relay_in_workers=False)
    async with stores(settings, clock) as resources:
        await register(resources)
        await resources.hot.execute("UPDATE outbox SET sent_at = $1 WHERE kind = 'new_user'", clock())
        clock.forward(days=7)
        await delete_old_events(resources)
        assert await resources.hot.fetchval("SELECT count(*) FROM outbox") == 2
        clock.forward(seconds=1)
        await delete_old_events(resources)
        assert [row["kind"] for row in await resources.hot.fetch("SELECT kind FROM outbox")] == ["role_granted"]
        without = settings.model_copy(update={"kafka_bootstrap": None})
    async with stores(without, clock) as resources:
        await delete_old_events(resources)
        assert await resources.hot.fetchval("SELECT count(*) FROM outbox") == 0
