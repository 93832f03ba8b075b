"""Webhooks: events at an address of the cinema's, signed by the Standard Webhooks specification (REL-4)."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog

from auth_service.config import Settings
from auth_service.core.connections import Resources, open_resources
from auth_service.core.upkeep import running
from auth_service.events.kinds import KINDS, ProfileChanged
from auth_service.events.outbox import record
from auth_service.events.relay import delete_old_events
from auth_service.jobs import relay_jobs
from auth_service.maintenance.resealing import reseal
from auth_service.models import new_id
from auth_service.permissions.actor import OPERATOR
from auth_service.webhooks import service
from auth_service.webhooks.delivery import EACH_TIME, KEPT_DELIVERIES, PAUSES, log_misses
from auth_service.webhooks.sender import CONNECTIONS
from tests.conftest import Fresh, test_settings
from tests.support.access import create_role, grant
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of
from tests.support.logged import until_logged
from tests.support.receiver import Arrived, Receiver, receiving
from tests.support.service_process import environment_of

HOOKS = f"{V1}/admin/webhooks"
LOOPBACK = ("127.0.0.0/8",)
OURS = ["profile_changed"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def call(api: Api, admin: Tokens, method: str, path: str = "", body: dict[str, Any] | None = None) -> Any:
    response = await api.http.request(method, f"{HOOKS}{path}", json=body, headers=admin.bearer)
    assert response.is_success, response.text
    return response.json() if response.content else None


async def register(resources: Resources, receiver: Receiver, *kinds: str) -> tuple[UUID, str]:
    """(id, secret)."""
    endpoint, secret = await service.create_endpoint(resources, OPERATOR, url=receiver.url, description="", kinds=kinds)
    return endpoint.id, secret


async def rename(resources: Resources, user_id: UUID, *names: str) -> None:
    for name in names:
        async with resources.db.begin() as session:
            await record(resources, session, ProfileChanged(user_id=user_id, full_name=name))


def names_of(items: list[Arrived]) -> list[str]:
    return [item.event["data"]["full_name"] for item in items]


async def state_of(resources: Resources, webhook_id: UUID) -> dict[str, Any]:
    return dict(await resources.hot.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", webhook_id))


async def until_state(resources: Resources, webhook_id: UUID, **wanted: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not (state := await state_of(resources, webhook_id)).items() >= wanted.items():
        assert time.monotonic() < deadline, state
        await asyncio.sleep(0.05)
    return state


async def until_had_all(resources: Resources, webhook_id: UUID) -> None:
    deadline = time.monotonic() + 60
    waiting = "SELECT count(*) FROM outbox WHERE position IS NULL OR position > $1"
    while await resources.hot.fetchval(waiting, (await state_of(resources, webhook_id))["position"]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@asynccontextmanager
async def stores(settings: Settings, clock: Any = None) -> AsyncIterator[Resources]:
    """Without an app, and so without its deliveries."""
    async with open_resources(settings, clock) if clock else open_resources(settings) as resources:
        yield resources


# --- what arrives


async def test_rel_4_an_event_arrives_signed_and_is_listed(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api(webhook_private_networks=LOOPBACK)
    account, admin = await api.as_role("superuser")
    created = await call(api, admin, "POST", body={"url": receiver.url, "kinds": ["session_started", "new_user"]})
    assert created["secret"].startswith("whsec_")
    assert created["created_by"] == str(account.id)
    other, tokens = await api.as_role()
    await receiver.until(lambda: len(receiver.arrived) == 1)
    (came,) = receiver.arrived
    assert came.verified_by(created["secret"])
    assert not Arrived(came.path, came.headers, came.body + b" ").verified_by(created["secret"])
    assert (came.path, came.headers["host"]) == ("/hook?path=secret", f"127.0.0.1:{receiver.port}")
    assert came.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    read = await api.http.get(
        f"{V1}/admin/events", params={"user_id": str(other.id), "kind": "session_started"}, headers=admin.bearer
    )
    (expected,) = read.json()["items"]
    del expected["position"]
    assert {**came.event, "time": None} == {**expected, "time": None}
    assert datetime.fromisoformat(came.event["time"]) == datetime.fromisoformat(expected["time"])
    assert (came.id, came.event["data"]["session_id"]) == (expected["id"], tokens.session_id)
    await until_had_all(api.resources, UUID(created["id"]))
    (delivery,) = (await call(api, admin, "GET", f"/{created['id']}/deliveries"))["items"]
    assert (delivery["event_id"], delivery["kind"], delivery["status"]) == (came.id, "session_started", 204)
    (shown,) = await call(api, admin, "GET")
    assert shown == await call(api, admin, "GET", f"/{created['id']}")
    assert "secret" not in shown
    assert "whsec_" not in str(await api.resources.hot.fetch("SELECT * FROM webhook_endpoints"))


async def test_rel_4_without_kinds_all_events_are_sent_its_own_creation_too(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api(webhook_private_networks=LOOPBACK)
    _, admin = await api.as_role("superuser")
    await call(api, admin, "POST", body={"url": receiver.url})
    login = {"login": "neo", "email": "neo@cinema.example", "password": "correct horse battery"}
    assert (await api.http.post(f"{V1}/auth/register", json=login)).status_code == 201
    await receiver.until(lambda: len(receiver.arrived) == 3)
    user_id = next(item.key for item in receiver.arrived if item.kind == "new_user")
    assert [item.kind for item in receiver.first_of(user_id)] == ["new_user", "role_granted"]
    assert receiver.first_of(user_id)[0].event["data"]["username"] == "neo"
    assert {item.kind for item in receiver.arrived} == {"webhook_created", "new_user", "role_granted"}


async def test_rel_4_a_rolled_back_change_is_never_sent(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api(webhook_private_networks=LOOPBACK)
    user_id = new_id()
    webhook_id, _ = await register(api.resources, receiver, *OURS)
    async with api.resources.db.begin() as session:
        await record(api.resources, session, ProfileChanged(user_id=user_id, full_name="undone"))
        await session.rollback()
    await rename(api.resources, user_id, "done")
    await until_had_all(api.resources, webhook_id)
    assert names_of(receiver.arrived) == ["done"]


async def test_rel_4_each_key_is_in_order_and_several_go_at_once(fresh: Fresh, receiver: Receiver) -> None:
    receiver.seconds = 0.005
    settings = await fresh.settings(webhook_private_networks=LOOPBACK)
    async with stores(settings) as resources:
        webhook_id, _ = await register(resources, receiver, *OURS)
        users = [new_id() for _ in range(20)]
        for number in range(10):
            for user_id in users:
                await rename(resources, user_id, f"Name {number}")
        async with running(relay_jobs(resources)):
            began = time.monotonic()
            await until_had_all(resources, webhook_id)
            print(f"{200 / (time.monotonic() - began):.0f} deliveries a second at 5 ms each")
        for user_id in users:
            assert names_of(receiver.first_of(str(user_id))) == [f"Name {number}" for number in range(10)]
        assert len(receiver.ids) == len(set(receiver.ids)) == 200
        assert 1 < receiver.most_at_once <= CONNECTIONS
        kept = await resources.hot.fetchval("SELECT count(*) FROM webhook_deliveries")
        assert kept == KEPT_DELIVERIES


async def test_rel_4_two_replicas_at_once_deliver_once(fresh: Fresh, receiver: Receiver) -> None:
    settings = await fresh.settings(webhook_private_networks=LOOPBACK)
    async with (
        stores(settings) as one,
        stores(settings) as other,
        running(relay_jobs(one)),
        running(relay_jobs(other)),
    ):
        webhook_id, _ = await register(one, receiver, *OURS)
        users = [new_id() for _ in range(10)]
        for number in range(12):
            await asyncio.gather(*(rename(one, user_id, f"Name {number}") for user_id in users))
            await asyncio.sleep(0.1)
        await until_had_all(one, webhook_id)
        assert len(receiver.ids) == len(set(receiver.ids)) == 120
        for user_id in users:
            assert names_of(receiver.first_of(str(user_id))) == [f"Name {number}" for number in range(12)]


async def test_rel_4_a_slow_receiver_holds_up_neither_requests_nor_others(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api(webhook_private_networks=LOOPBACK)
    async with receiving() as slow:
        slow.seconds = 3600
        await register(api.resources, slow, *OURS)
        await register(api.resources, receiver, *OURS)
        user_id = new_id()
        await rename(api.resources, user_id, "a", "b")
        await receiver.until(lambda: len(receiver.arrived) == 2)
        await slow.until(lambda: slow.at_once == 1)
        account = await api.create_user()
        await api.log_in(account)
        await rename(api.resources, user_id, "c")
        await receiver.until(lambda: len(receiver.arrived) == 3)
        assert (slow.at_once, slow.arrived) == (1, [])


# --- what fails


async def test_rel_4_what_fails_is_sent_again_under_its_id_and_nothing_overtakes_it(
    fresh: Fresh, receiver: Receiver
) -> None:
    clock = StoppedClock()
    settings = await fresh.settings(webhook_private_networks=LOOPBACK)
    one, other = new_id(), new_id()
    receiver.refuses = lambda item: item.key == str(one)
    async with stores(settings, clock) as resources:
        webhook_id, _ = await register(resources, receiver, *OURS)
        await rename(resources, one, "a", "b")
        await rename(resources, other, "c", "d")
        async with running(relay_jobs(resources)):
            state = await until_state(resources, webhook_id, tries=1)
            pause = state["next_try_at"] - clock()
            assert PAUSES[0] <= pause <= PAUSES[0] * 1.1
            assert state["failing_since"] == clock()
            had_before = len(receiver.first_of(str(other)))
            clock.forward(seconds=4)
            await asyncio.sleep(1.2)
            assert (await state_of(resources, webhook_id))["tries"] == 1
            clock.forward(seconds=2)
            await until_state(resources, webhook_id, tries=2)
            receiver.refuses = lambda _item: False
            clock.forward(minutes=6)
            await until_had_all(resources, webhook_id)
            state = await until_state(resources, webhook_id, tries=0)
            assert (state["failing_since"], state["next_try_at"], state["ahead"]) == (None, None, [])
    assert names_of(receiver.first_of(str(one))) == ["a", "b"]
    assert names_of(receiver.first_of(str(other))) == ["c", "d"]
    assert names_of([item for item in receiver.arrived if item.key == str(one)]) == ["a", "a", "a", "b"]
    # What had arrived beside the failure did not come again.
    assert len([item for item in receiver.arrived if item.key == str(other)]) == 2
    assert had_before <= 2


async def test_rel_4_retry_after_is_respected(fresh: Fresh, receiver: Receiver) -> None:
    clock = StoppedClock()
    settings = await fresh.settings(webhook_private_networks=LOOPBACK)
    receiver.status, receiver.more = 503, "Retry-After: 1800\r\n"
    async with stores(settings, clock) as resources, running(relay_jobs(resources)):
        webhook_id, _ = await register(resources, receiver, *OURS)
        await rename(resources, new_id(), "a")
        state = await until_state(resources, webhook_id, tries=1)
        assert state["next_try_at"] - clock() == timedelta(seconds=1800)


@pytest.mark.long
async def test_rel_4_after_the_last_try_it_is_disabled_and_goes_on_when_enabled(
    fresh: Fresh, receiver: Receiver
) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, webhook_private_networks=LOOPBACK)
    receiver.status = 500
    webhook_id, _ = await register(api.resources, receiver, *OURS)
    user_id = new_id()
    with structlog.testing.capture_logs() as logs:
        await rename(api.resources, user_id, "a", "b")
        for number, pause in enumerate(PAUSES):
            state = await until_state(api.resources, webhook_id, tries=number + 1)
            assert pause <= state["next_try_at"] - clock() <= pause * 1.1
            clock.forward(seconds=pause.total_seconds() * 1.11)
        state = await until_state(api.resources, webhook_id, enabled=False)
        await until_logged(logs, "webhook_disabled")
    assert state["disabled_reason"] == "failed"
    assert len(receiver.arrived) == len(PAUSES) + 1
    assert len(set(receiver.ids)) == 1
    assert timedelta(hours=70) < sum(PAUSES, timedelta()) < timedelta(hours=80)
    (line,) = [entry for entry in logs if entry["event"] == "webhook_disabled"]
    assert (line["webhook_id"], line["status"], line["log_level"]) == (str(webhook_id), 500, "error")
    assert receiver.url not in str(logs)
    row = await api.resources.hot.fetchrow("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1")
    assert (row["actor_kind"], row["action"], row["target_id"]) == ("system", "webhook.disabled", str(webhook_id))
    told = "SELECT data->>'reason' FROM outbox WHERE kind = 'webhook_disabled' AND key = $1"
    assert await api.resources.hot.fetchval(told, f"webhook:{webhook_id}") == "failed"

    receiver.status = 204
    await rename(api.resources, user_id, "c")
    _, admin = await api.as_role("superuser")  # the clock has gone on for days
    shown = (await api.http.get(f"{V1}/admin/audit?limit=1", headers=admin.bearer)).json()["items"][0]
    assert (shown["actor_kind"], shown["actor_id"]) == ("system", "webhooks")
    await call(api, admin, "PATCH", f"/{webhook_id}", {"enabled": True})
    await until_had_all(api.resources, webhook_id)
    assert names_of(receiver.first_of(str(user_id))) == ["a", "b", "c"]


async def test_rel_4_a_receiver_that_is_gone_is_disabled_at_once(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api(webhook_private_networks=LOOPBACK)
    receiver.status = 410
    webhook_id, _ = await register(api.resources, receiver, *OURS)
    await rename(api.resources, new_id(), "a", "b")
    state = await until_state(api.resources, webhook_id, enabled=False)
    assert state["disabled_reason"] == "gone"
    assert len(receiver.arrived) == 1


@pytest.mark.long
async def test_rel_4_a_killed_worker_loses_nothing(fresh: Fresh, receiver: Receiver) -> None:
    """kill -9 of `auth-service relay`, each time at another point of its work."""
    receiver.seconds = 0.002
    settings = await fresh.settings(webhook_private_networks=LOOPBACK)
    command = (sys.executable, "-m", "auth_service", "relay")
    environment = {**os.environ, **environment_of(settings)}
    async with stores(settings) as resources:
        webhook_id, secret = await register(resources, receiver, *OURS)
        users = [new_id() for _ in range(10)]
        finished = asyncio.Event()
        count = 0

        async def changes() -> None:
            nonlocal count
            while not finished.is_set():
                count += 1
                await asyncio.gather(*(rename(resources, user_id, f"Name {count}") for user_id in users))
                await asyncio.sleep(0.05)

        load = asyncio.create_task(changes())
        for point in (0.0, 0.03, 0.1, 0.3):
            before = len(receiver.arrived)
            process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
            await receiver.until(lambda before=before: len(receiver.arrived) > before)  # type: ignore[misc]
            await asyncio.sleep(point)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        finished.set()
        await load
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
        await until_had_all(resources, webhook_id)
        process.terminate()
        assert await process.wait() == 0
        for user_id in users:
            assert names_of(receiver.first_of(str(user_id))) == [f"Name {number + 1}" for number in range(count)]
        twice = len(receiver.ids) - len(set(receiver.ids))
        print(f"{len(set(receiver.ids))} events, {twice} twice, 4 kills")
        assert twice <= 4 * EACH_TIME
        assert receiver.arrived[0].verified_by(secret)


async def test_rel_4_events_are_kept_while_a_webhook_retries_and_a_miss_is_logged(
    fresh: Fresh, receiver: Receiver
) -> None:
    clock = StoppedClock()
    settings = await fresh.settings(webhook_private_networks=LOOPBACK, events_kept_days=4)
    async with stores(settings, clock) as resources:
        webhook_id, _ = await register(resources, receiver, *OURS)
        idle, _ = await register(resources, receiver, "mfa_reset")
        await rename(resources, new_id(), "a", "b")
        async with running(relay_jobs(resources)):
            receiver.status = 500
            await until_state(resources, webhook_id, tries=1)
            await until_had_all(resources, idle)
        clock.forward(hours=sum(PAUSES, timedelta()).total_seconds() / 3600 * 1.1)
        with structlog.testing.capture_logs() as logs:
            await log_misses(resources)
            await delete_old_events(resources)
        assert logs == []
        kept = "SELECT count(*) FROM outbox WHERE kind = 'profile_changed'"
        assert await resources.hot.fetchval(kept) == 2
        clock.forward(days=1)
        with structlog.testing.capture_logs() as logs:
            await log_misses(resources)
            await delete_old_events(resources)
        assert [(entry["webhook_id"], entry["events"]) for entry in logs] == [(str(webhook_id), 2)]
        assert await resources.hot.fetchval(kept) == 0


# --- secrets


async def test_rel_4_after_a_rotation_both_secrets_sign_for_a_day(fresh: Fresh, receiver: Receiver) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, webhook_private_networks=LOOPBACK)
    _, admin = await api.as_role("superuser")
    created = await call(api, admin, "POST", body={"url": receiver.url, "kinds": OURS})
    path, first = f"/{created['id']}", created["secret"]
    answer = await call(api, admin, "POST", f"{path}/secrets")
    second = answer["secret"]
    assert datetime.fromisoformat(answer["previous_secret_until"]) - clock() == timedelta(hours=24)
    assert (await call(api, admin, "POST", f"{path}/test"))["status"] == 204
    assert [receiver.arrived[-1].verified_by(secret) for secret in (first, second)] == [True, True]
    third = (await call(api, admin, "POST", f"{path}/secrets"))["secret"]
    await call(api, admin, "POST", f"{path}/test")
    assert [receiver.arrived[-1].verified_by(secret) for secret in (first, second, third)] == [False, True, True]
    assert len({first, second, third}) == 3
    clock.forward(hours=24)
    _, admin = await api.as_role("superuser")
    await call(api, admin, "POST", f"{path}/test")
    assert len(receiver.arrived[-1].headers["webhook-signature"].split()) == 1
    assert "whsec_" not in str(await api.resources.hot.fetch("SELECT * FROM audit_log"))


async def test_rel_4_secrets_survive_a_change_of_the_secret_key(fresh: Fresh, receiver: Receiver) -> None:
    settings = await fresh.settings(webhook_private_networks=LOOPBACK)
    urls = {"database_url": settings.database_url, "redis_url": settings.redis_url}
    shared: dict[str, Any] = {
        **urls,
        "webhook_private_networks": LOOPBACK,
        "secret_key": "another secret of the tests " * 2,
    }
    async with stores(settings) as resources:
        webhook_id, secret = await register(resources, receiver, *OURS)
        await rename(resources, new_id(), "a")
    # Unreadable without the former key: told as a failure, and nothing is lost.
    async with stores(test_settings(**shared)) as resources, running(relay_jobs(resources)):
        await until_state(resources, webhook_id, tries=1)
        (error,) = [row["error"] for row in await resources.hot.fetch("SELECT error FROM webhook_deliveries")]
        assert error == "secret_unreadable"
        await resources.hot.execute("UPDATE webhook_endpoints SET next_try_at = now()")
    async with stores(test_settings(**shared, secret_key_previous=settings.secret_key)) as resources:
        async with running(relay_jobs(resources)):
            await until_had_all(resources, webhook_id)
        assert (await reseal(resources, OPERATOR))["webhooks"] == 1
        assert (await reseal(resources, OPERATOR))["webhooks"] == 0
        await rename(resources, new_id(), "b")
    async with stores(test_settings(**shared)) as resources, running(relay_jobs(resources)):
        await until_had_all(resources, webhook_id)
    assert names_of(receiver.arrived) == ["a", "b"]
    assert all(item.verified_by(secret) for item in receiver.arrived)


# --- who may


async def test_a_webhook_from_its_creation_over_pings_to_its_end(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api(webhook_private_networks=LOOPBACK)
    _, admin = await api.as_role("superuser")
    created = await call(api, admin, "POST", body={"url": receiver.url, "kinds": OURS})
    path = f"/{created['id']}"
    await call(api, admin, "PATCH", path, {"enabled": False})
    answer = await call(api, admin, "POST", f"{path}/test")
    assert (answer["delivered"], answer["status"], answer["error"]) == (True, 204, None)
    (came,) = receiver.arrived
    assert (came.kind, came.key) == ("ping", f"webhook:{created['id']}")
    assert came.verified_by(created["secret"])
    receiver.status = 500
    assert (await call(api, admin, "POST", f"{path}/test"))["delivered"] is False
    items = (await call(api, admin, "GET", f"{path}/deliveries?limit=100"))["items"]
    assert [(item["kind"], item["status"]) for item in items] == [("ping", 500), ("ping", 204)]
    await call(api, admin, "POST", f"{path}/secrets")
    await call(api, admin, "DELETE", path)
    told = await api.resources.hot.fetch(
        "SELECT kind, data::text FROM outbox WHERE key = $1 ORDER BY number", f"webhook:{created['id']}"
    )
    kinds = ["webhook_created", "webhook_changed", "webhook_secret_rotated", "webhook_deleted"]
    assert [row["kind"] for row in told] == kinds
    assert all(KINDS[row["kind"]].model_validate_json(row["data"]) for row in told)
    assert str(receiver.port) not in str(told)
    gone = await api.http.get(f"{HOOKS}{path}", headers=admin.bearer)
    assert error_of(gone) == (404, "not_found")
    assert await api.resources.hot.fetchval("SELECT count(*) FROM webhook_deliveries") == 0


async def test_rbac_1_nobody_has_events_sent_who_may_not_read_them(api: Api, fresh: Fresh) -> None:
    _, root = await api.as_role("superuser")
    body = {"url": "https://hooks.invalid/x", "kinds": OURS}
    for held in (["webhooks:write"], ["webhooks:write", "audit:read"]):
        account, tokens = await api.as_role()
        await grant(api, root, account.id, await create_role(api, root, *held))
        response = await api.http.post(HOOKS, json=body, headers=tokens.bearer)
        if "audit:read" in held:
            assert response.status_code == 201, response.text
            created = response.json()["id"]
        else:
            assert error_of(response) == (403, "exceeds_own_permissions")
            without = tokens
    # Nor by what is there already.
    for method, path, changes in (
        ("PATCH", f"/{created}", {"url": "https://other.invalid/"}),
        ("POST", f"/{created}/secrets", None),
        ("DELETE", f"/{created}", None),
    ):
        response = await api.http.request(method, f"{HOOKS}{path}", json=changes, headers=without.bearer)
        assert error_of(response) == (403, "exceeds_own_permissions")
    # Nor for longer than they may read them.
    account, tokens = await api.as_role()
    role = await create_role(api, root, "webhooks:write", "audit:read")
    await grant(api, root, account.id, role, valid_until=api.resources.clock() + timedelta(days=1))
    assert error_of(await api.http.post(HOOKS, json=body, headers=tokens.bearer)) == (403, "exceeds_own_permissions")
    await call(api, root, "DELETE", f"/{created}")


async def test_what_is_no_webhook_is_refused(fresh: Fresh, receiver: Receiver) -> None:
    api = await fresh.api()
    _, admin = await api.as_role("superuser")
    good = "https://hooks.invalid/x"
    for body in (
        {"url": good, "kinds": ["unheard_of"]},
        {"url": good, "kinds": [None]},
        {"url": good, "secret": "mine"},
        {"url": good, "description": "x" * 2001},
        {"kinds": []},
    ):
        response = await api.http.post(HOOKS, json=body, headers=admin.bearer)
        assert error_of(response) == (422, "validation_error"), body
    created = await call(api, admin, "POST", body={"url": good, "kinds": ["mfa_reset", "mfa_reset"]})
    assert created["kinds"] == ["mfa_reset"]
    assert error_of(await api.http.get(f"{HOOKS}/{created['id']}/deliveries?limit=101", headers=admin.bearer))[0] == 422
    for _ in range(service.MOST_ENDPOINTS - 1):
        await register_silent(api.resources)
    response = await api.http.post(HOOKS, json={"url": good}, headers=admin.bearer)
    assert error_of(response) == (409, "too_many_webhooks")


async def register_silent(resources: Resources) -> None:
    await service.create_endpoint(
        resources, OPERATOR, url="https://hooks.invalid/x", description="", kinds=["mfa_reset"]
    )
