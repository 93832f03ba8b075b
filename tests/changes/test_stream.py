"""GET /changes: what is told, where it goes on, and when it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from auth_service.changes import stream
from auth_service.maintenance.signing_keys import retire
from auth_service.permissions.actor import OPERATOR
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, revoke
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of
from tests.support.forgery import header_of
from tests.support.listening import Listener, listening
from tests.support.scrape import read, value
from tests.support.served import served

CHANGES = f"{V1}/changes"


@dataclass(frozen=True)
class Service:
    api: Api
    base_url: str
    root: Tokens
    client: tuple[str, str]
    headers: dict[str, str]


async def service_of(api: Api, base_url: str) -> Service:
    _, root = await api.as_role("superuser")
    client = await api.create_service(root, ["changes:read"])
    return Service(api, base_url, root, client, await api.service_token(*client))


@pytest.fixture(scope="module")
async def service(api: Api) -> AsyncIterator[Service]:
    async with served(api.app) as base_url:
        yield await service_of(api, base_url)


@pytest.fixture
async def listener(service: Service) -> AsyncIterator[Listener]:
    async with listening(service.base_url, service.headers) as listener:
        await listener.next("beat")
        yield listener


async def test_it_begins_and_beats(service: Service) -> None:
    asked = time.time()
    async with listening(service.base_url, service.headers) as listener:
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        assert listener.answer.headers["x-accel-buffering"] == "no"
        assert "no-store" in listener.answer.headers["cache-control"]
        start = await listener.next("start")
        assert (start.data, start.position) == ({"resumed": False}, None)
        beats = [await listener.next("beat") for _ in range(3)]
    moments = [beat.data["at"] / 1000 for beat in beats]
    assert moments == sorted(moments)
    assert moments[2] - moments[0] >= 2 * stream.BEAT_SECONDS - 0.001
    assert all(beat.position for beat in beats)
    assert all(asked - 2 < beat.data["time"] < time.time() + 1 for beat in beats)
    assert beats[2].data["time"] - beats[0].data["time"] == pytest.approx(moments[2] - moments[0], abs=0.01)


async def test_each_kind_of_change_is_told(service: Service, listener: Listener) -> None:
    api, root = service.api, service.root
    account, tokens = await api.as_role()
    user = str(account.id)
    role = await create_role(api, root, await create_permission(api, root))
    await listener.change(roles=True)
    await grant(api, root, account.id, role)
    await listener.change(subjects=user)
    await revoke(api, root, account.id, role)
    await listener.change(subjects=user)
    changed = await api.http.patch(
        f"{V1}/roles/{role}", json={"title": "Renamed", "permissions": []}, headers=root.bearer
    )
    assert changed.status_code == 200
    await listener.change(roles=True)
    await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)
    await listener.change(subjects=user)
    body = {"is_active": False, "reason": "a test"}
    assert (await api.http.patch(f"{V1}/admin/users/{user}", json=body, headers=root.bearer)).status_code == 200
    await listener.change(subjects=user)


async def test_a_beat_after_a_change_proves_it(service: Service, listener: Listener) -> None:
    """What was committed before the moment of a beat has been told before it."""
    account = await service.api.create_user()
    role = await create_role(service.api, service.root, "films:watch")
    await grant(service.api, service.root, account.id, role)
    done = time.time()
    while (await listener.next("beat")).data["time"] <= done:
        pass
    told = [subject for event in listener.events for subject in event.data.get("subjects", ())]
    assert str(account.id) in told


async def test_each_subject_is_told_once(service: Service, listener: Listener) -> None:
    log = service.api.resources.coherence.log
    for what in ("u:one", "u:two", "u:one", "r"):
        log.hear_change(what)
    event = await listener.change(roles=True)
    assert event.data == {"roles": True, "subjects": ["one", "two"]}


async def test_it_goes_on_where_it_was_cut(service: Service) -> None:
    async with listening(service.base_url, service.headers) as listener:
        position = (await listener.next("beat")).position
    account = await service.api.create_user()
    role = await create_role(service.api, service.root, "films:watch")
    await grant(service.api, service.root, account.id, role)
    async with listening(service.base_url, service.headers, position) as listener:
        assert (await listener.next("start")).data == {"resumed": True}
        event = await listener.change(subjects=str(account.id))
        assert event.data["roles"] is True


@pytest.mark.parametrize("position", ["junk", "0123456789ab.1+0", "x" * 300, "%00"])
async def test_from_an_unknown_place_it_begins_anew(service: Service, position: str) -> None:
    async with listening(service.base_url, service.headers, position) as listener:
        assert (await listener.next("start")).data == {"resumed": False}


async def test_who_may_follow(service: Service) -> None:
    api = service.api
    without = await api.service_token(*await api.create_service(service.root, ["permissions:check"]))
    _, viewer = await api.as_role()
    for headers, expected in ((without, (403, "permission_denied")), (viewer.bearer, (403, "permission_denied"))):
        assert error_of(await api.http.get(CHANGES, headers=headers)) == expected
    assert error_of(await api.http.get(CHANGES)) == (401, "not_authenticated")
    _, admin = await api.as_role("admin")
    async with listening(service.base_url, admin.bearer) as listener:
        await listener.next("beat")


async def test_mfa_7_an_admin_follows_with_a_second_factor_only(fresh: Fresh) -> None:
    api = await fresh.api(admin_mfa=True)
    _, admin = await api.as_role("admin")
    assert error_of(await api.http.get(CHANGES, headers=admin.bearer)) == (403, "step_up_required")


async def test_head_says_the_same_and_ends(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.base_url, trust_env=False) as http:
        head = await asyncio.wait_for(http.head(CHANGES, headers=service.headers), 10)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    async with asyncio.timeout(10):
        while service.api.resources.coherence.log.followers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_goes_is_forgotten(service: Service) -> None:
    log = service.api.resources.coherence.log
    async with listening(service.base_url, service.headers) as listener:
        await listener.next("beat")
        assert log.followers == 1
    async with asyncio.timeout(10):
        while log.followers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_it_ends_when_the_account_is_deleted(service: Service) -> None:
    api = service.api
    client = await api.create_service(service.root, ["changes:read"])
    async with listening(service.base_url, await api.service_token(*client)) as listener:
        await listener.next("beat")
        assert (await api.http.delete(f"{V1}/services/{client[0]}", headers=service.root.bearer)).status_code == 204
        last = [event for event in await listener.end() if event.kind == "change"][-1]
    assert client[0] in last.data["subjects"], "it is told before"


async def test_it_ends_when_the_worker_hears_of_nothing_any_more(
    service: Service, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while it does not, nobody is let in."""
    log = service.api.resources.coherence.log
    with monkeypatch.context() as patch:
        patch.setattr(log, "prove", lambda _moment: None)  # who was let in would go on for ever
        log.end()
        refused = await service.api.http.get(CHANGES, headers=service.headers)
    await listener.end()
    assert error_of(refused) == (503, "changes_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    async with asyncio.timeout(10):
        while log.proven == stream.NOTHING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_it_ends_where_it_takes_too_long_to_take(service: Service, listener: Listener) -> None:
    log = service.api.resources.coherence.log
    for number in range(log._most_changes + 1):
        log.hear_change(f"u:{number}")
    assert "0" not in [subject for event in await listener.end() for subject in event.data.get("subjects", ())]


async def test_it_ends_with_the_token(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    async with served(api.app) as base_url:
        service = await service_of(api, base_url)
        async with listening(base_url, service.headers) as listener:
            await listener.next("beat")
            clock.forward(seconds=900)
            await listener.end()
            clock.forward(seconds=31)
        assert error_of(await api.http.get(CHANGES, headers=service.headers)) == (401, "not_authenticated")


async def test_it_ends_with_the_signing_key(fresh: Fresh) -> None:
    """The token may be one that has been forged: it is shown again, and refused if it was."""
    api = await fresh.api()
    async with served(api.app) as base_url:
        service = await service_of(api, base_url)
        async with listening(base_url, service.headers) as listener:
            await listener.next("beat")
            await retire(api.resources, OPERATOR, header_of(service.root.access)["kid"])
            assert [event.data.get("keys") for event in await listener.end() if event.kind == "change"][-1]
        assert error_of(await api.http.get(CHANGES, headers=service.headers)) == (401, "not_authenticated")


async def test_without_a_cache_a_worker_hears_nothing_and_says_so(fresh: Fresh) -> None:
    api = await fresh.api(check_cache_bytes=0)
    service = await service_of(api, "")
    refused = await api.http.get(CHANGES, headers=service.headers)
    assert error_of(refused) == (503, "changes_unavailable")
    assert "retry-after" in refused.headers


async def test_there_are_so_many_at_most(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_STREAMS", 1)
    async with listening(service.base_url, service.headers) as listener:
        await listener.next("beat")
        refused = await service.api.http.get(CHANGES, headers=service.headers)
        assert error_of(refused)[0] == 503
        assert "retry-after" in refused.headers


async def test_a_stream_is_no_slow_request(fresh: Fresh) -> None:
    """Its time is that until it began: else an alarm for slow answers would ring for each."""
    api = await fresh.api()
    async with served(api.app) as base_url:
        service = await service_of(api, base_url)
        async with listening(base_url, service.headers) as listener:
            await listener.next("beat")
            await asyncio.sleep(1)
        async with asyncio.timeout(10):
            while api.resources.coherence.log.followers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        samples = await read(api)
    assert value(samples, "auth_http_request_seconds_count", route="/changes") == 1
    assert value(samples, "auth_http_request_seconds_sum", route="/changes") < 1
