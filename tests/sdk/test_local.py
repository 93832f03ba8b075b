"""local=True against the shipped app: answers from memory, and changes that arrive within the bound."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from auth_service_client import AuthClient, Denied, InvalidRequest, InvalidToken, NotAllowed, Unavailable

from auth_service.maintenance.signing_keys import retire
from auth_service.permissions.actor import OPERATOR
from tests.conftest import Fresh
from tests.sdk.conftest import Service
from tests.sdk.test_transport import USER, client_of, tasks_of_clients
from tests.support.access import create_permission, create_role, grant, revoke
from tests.support.api import V1
from tests.support.forgery import header_of
from tests.support.planted_service import BATCH, CHECK, Answer, Planted
from tests.support.served import served

CHANGES = "/api/v1/changes"
BOUND = 1.5


@pytest.fixture
async def local(service: Service) -> AsyncIterator[AuthClient]:
    async with service.client(local=True) as client:
        await client.ready()
        yield client


async def within_the_bound(said: Callable[[], Any], expected: Any) -> None:
    until = time.monotonic() + BOUND
    while (found := said()) != expected:
        assert time.monotonic() < until, found
        await asyncio.sleep(0.01)


async def refused_within_the_bound(client: AuthClient, token: str) -> None:
    until = time.monotonic() + BOUND
    while time.monotonic() < until:
        try:
            await client.verify(token)
        except InvalidToken:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a revoked token is still good")


async def reached(said: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not said():  # noqa: ASYNC110  the client has no event for it
            await asyncio.sleep(0.01)


async def test_the_second_answer_comes_from_memory(service: Service, local: AuthClient) -> None:
    account = await service.api.create_user()
    permission = await create_permission(service.api, service.root)
    role = await create_role(service.api, service.root, permission)
    assert local.known(account.id, permission) is None
    assert (await local.check(account.id, permission)).reason == "no_grant"
    assert local.known(str(account.id), permission) is not None
    await grant(service.api, service.root, account.id, role)
    await within_the_bound(lambda: local.known(account.id, permission), None)
    assert await local.check(account.id, permission)
    await revoke(service.api, service.root, account.id, role)
    await within_the_bound(lambda: local.known(account.id, permission), None)
    assert not await local.check(account.id, permission)
    assert 0 <= local.staleness < BOUND


async def test_a_change_of_a_role_is_of_all_who_have_it(service: Service, local: AuthClient) -> None:
    api, root = service.api, service.root
    account = await api.create_user()
    permission = await create_permission(api, root)
    role = await create_role(api, root, permission)
    await grant(api, root, account.id, role)
    assert await local.check(account.id, permission)
    body = {"permissions": []}
    assert (await api.http.patch(f"{V1}/roles/{role}", json=body, headers=root.bearer)).status_code == 200
    await within_the_bound(lambda: local.known(account.id, permission), None)
    assert (await local.check(account.id, permission)).reason == "no_grant"


async def test_a_token_is_good_until_the_logout(service: Service, local: AuthClient) -> None:
    account, tokens = await service.api.as_role()
    caller = await local.authorize(tokens.access, "films:read")
    assert (caller.id, str(caller.session_id), caller.is_service) == (account.id, tokens.session_id, False)
    await service.api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)
    await refused_within_the_bound(local, tokens.access)


async def test_another_session_of_the_user_goes_on(service: Service, local: AuthClient) -> None:
    account, tokens = await service.api.as_role()
    other = await service.api.log_in(account)
    for token in (tokens.access, other.access):
        await local.verify(token)
    await service.api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)
    await asyncio.sleep(0.3)
    assert (await local.verify(other.access)).id == account.id


async def test_what_is_denied_says_why(service: Service, local: AuthClient) -> None:
    _, tokens = await service.api.as_role()
    permission = await create_permission(service.api, service.root)
    for client in (local, service.client()):
        with pytest.raises(Denied) as raised:
            await client.authorize(tokens.access, "films:read", permission)
        assert (raised.value.code, raised.value.reason) == ("permission_denied", "no_grant")
        await client.close()


@pytest.mark.parametrize("is_local", [True, False])
async def test_a_service_has_permissions_as_scopes(service: Service, is_local: bool) -> None:
    api = service.api
    client_id, secret = await api.create_service(service.root, ["permissions:check", "films:read"])
    token = (await api.service_token(client_id, secret))["Authorization"].removeprefix("Bearer ")
    async with service.client(local=is_local) as client:
        caller = await client.authorize(token, "films:read")
        assert (str(caller.id), caller.is_service) == (client_id, True)
        with pytest.raises(Denied):
            await client.authorize(token, "films:watch")
        deleted = await api.http.delete(f"{V1}/services/{client_id}", headers=service.root.bearer)
        assert deleted.status_code == 204
        await asyncio.sleep(BOUND if is_local else 0)
        with pytest.raises(InvalidToken):
            await client.authorize(token, "films:read")


async def test_a_signing_key_that_was_replaced_counts_at_once_no_longer(fresh: Fresh) -> None:
    """As after a leak: the next token is of a key that the client has not seen."""
    api = await fresh.api()
    account, tokens = await api.as_role("superuser")
    client_id, secret = await api.create_service(tokens, ["permissions:check", "changes:read"])
    issuer = api.resources.settings.issuer
    async with (
        served(api.app) as url,
        AuthClient(url, client_id=client_id, client_secret=secret, issuer=issuer, local=True) as client,
    ):
        await client.ready()
        await client.verify(tokens.access)
        await retire(api.resources, OPERATOR, header_of(tokens.access)["kid"])
        newer = await api.log_in(account)
        assert (await client.verify(newer.access)).id == account.id
        await refused_within_the_bound(client, tokens.access)


async def test_without_the_scope_it_asks_and_never_answers_from_memory(service: Service) -> None:
    client_id, secret = await service.api.create_service(service.root, ["permissions:check"])
    account = await service.api.create_user()
    async with service.client(local=True, client_id=client_id, client_secret=secret) as client:
        assert await client.check(account.id, "films:read")
        assert client.known(account.id, "films:read") is None
        with pytest.raises(Unavailable, match="no_changes"):
            await client.ready(within=0.3)


async def test_when_stale_deny_says_no_and_asks_nobody(planted: Planted) -> None:
    planted.always(CHANGES, lambda _: Answer(503, {"error": "changes_unavailable"}))
    async with client_of(planted, local=True, when_stale="deny", issuer="x") as client:
        decision = await client.check(USER, "films:watch")
        assert (bool(decision), decision.reason) == (False, "not_known")
        assert [str(answer.reason) for answer in await client.check_many([(USER, "films:watch")])] == ["not_known"]
    assert planted.count(CHECK) == planted.count(BATCH) == 0


async def test_when_stale_ask_asks_past_what_workers_keep(planted: Planted) -> None:
    planted.always(CHANGES, lambda _: Answer(503, {"error": "changes_unavailable"}))
    async with client_of(planted, local=True) as client:
        for _ in range(3):
            assert await client.check(USER, "films:watch")
    assert [asked.headers.get("cache-control") for asked in planted.of(CHECK)] == ["no-cache"] * 3


@pytest.mark.parametrize(
    "stream",
    [
        b"event: start\ndata: {}\n\n",
        b"event: start\ndata: [1]\n\n",
        b'event: start\ndata: {"resumed": false}\n\nevent: beat\ndata: {"at": "x", "time": 1}\n\n',
        b"<html>a portal</html>\n\n",
    ],
    ids=["no field", "a list", "a text", "a page"],
)
async def test_a_stream_of_somebody_else_proves_nothing_and_is_tried_again(planted: Planted, stream: bytes) -> None:
    planted.always(CHANGES, lambda _: Answer(200, stream))
    async with client_of(planted, local=True) as client:
        assert await client.check(USER, "films:watch")
        await reached(lambda: planted.count(CHANGES) >= 2)
        assert client.known(USER, "films:watch") is None


async def test_it_goes_on_where_it_was_cut(planted: Planted) -> None:
    """What was kept is kept, and the position is shown."""
    beat = b'id: 0123456789ab.7+0\nevent: beat\ndata: {"at": 0.0, "time": 1}\n\n'
    planted.plant(
        CHANGES,
        Answer(200, b'event: start\ndata: {"resumed": false}\n\n' + beat),
        *[Answer(200, b'event: start\ndata: {"resumed": true}\n\n' + beat)] * 9,
    )
    planted.always(CHANGES, lambda _: Answer(200, b'event: start\ndata: {"resumed": false}\n\n' + beat, seconds=60))
    async with client_of(planted, local=True, staleness=30) as client:
        await client.ready()
        await client.check(USER, "films:watch")
        await reached(lambda: planted.count(CHANGES) >= 3)
        assert client.known(USER, "films:watch") is not None
    assert [asked.headers.get("last-event-id") for asked in planted.of(CHANGES)[:2]] == [None, "0123456789ab.7+0"]


async def test_where_it_cannot_go_on_all_is_forgotten(planted: Planted) -> None:
    beat = b'id: 0123456789ab.7+0\nevent: beat\ndata: {"at": 0.0, "time": 1}\n\n'
    planted.always(CHANGES, lambda _: Answer(200, b'event: start\ndata: {"resumed": false}\n\n' + beat))
    async with client_of(planted, local=True, staleness=30) as client:
        await client.ready()
        await client.check(USER, "films:watch")
        await reached(lambda: client.known(USER, "films:watch") is None)


async def test_batches_say_each_answer_in_its_order(service: Service, local: AuthClient) -> None:
    accounts = [await service.api.create_user() for _ in range(3)]
    questions: list[tuple[UUID, str]] = [
        (account.id, code) for account in accounts for code in ("films:read", "nothing:known", "films:watch")
    ]
    async with service.client() as asking, service.client(client_secret="wrong") as stranger:
        for client in (local, asking):
            for _ in range(2):  # the second time from memory, where there is one
                reasons = [answer.reason for answer in await client.check_many(iter(questions))]
                assert reasons == ["granted", "unknown_permission", "no_grant"] * 3
        with pytest.raises(NotAllowed):
            await stranger.check_many(questions)


async def test_grants_are_explained(service: Service) -> None:
    account = await service.api.create_user()
    async with service.client() as client:
        told = await client.explain(account.id, "films:read")
    assert (told.decision.reason, bool(told.decision)) == ("granted", True)
    assert {(grant.role, grant.permission) for grant in told.grants} >= {("viewer", told.grants[0].permission)}
    assert told.grants[0].valid_until is None


async def test_nothing_is_left_when_it_closes(service: Service) -> None:
    async with service.client(local=True) as client:
        await client.ready()
        await client.check(USER, "films:read")
        assert tasks_of_clients() != []
    assert tasks_of_clients() == []
    for call in (client.check(USER, "films:read"), client.ready()):
        with pytest.raises(Unavailable, match="closed"):
            await call


async def test_there_is_nothing_to_wait_for_where_nothing_is_kept() -> None:
    async with AuthClient("http://127.0.0.1:9") as client:
        with pytest.raises(InvalidRequest, match="local=True"):
            await client.ready()


async def test_a_bound_is_a_bound_for_the_silent_service_too(service: Service, local: AuthClient) -> None:
    """The worker stops hearing of changes: soon nothing is known any more."""
    account = await service.api.create_user()
    await local.check(account.id, "films:read")
    log = service.api.resources.coherence.log
    log.end()
    await within_the_bound(lambda: local.known(account.id, "films:read"), None)
    await local.ready()
    assert await local.check(account.id, "films:read"), "and then it follows again"
