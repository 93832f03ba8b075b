"""The same cases against the test kit's fake and against the service, so that the two cannot drift apart.

`asking` is the client as shipped, `local` the one that answers from its own memory; both ask the real service.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from auth_service_client import AuthClient, AuthServiceError, Decision, errors
from auth_service_client.testing import FakeAuth

from auth_service.models import Role, RolePermission, UserRole
from tests.sdk.conftest import Service
from tests.support.access import create_permission, revoke
from tests.support.api import V1, Account, Tokens, unique

BOUND = 1.5
Given = tuple[str, timedelta | None, timedelta | None]  # a pattern, its start and its end, from now on
HOUR = timedelta(hours=1)


class Cinema:
    """What a case may do, for the fake and for the service. `resource` has permissions to watch and to rate."""

    auth: AuthClient
    resource: str

    async def user(self, *grants: Given) -> UUID:
        raise NotImplementedError

    async def token(self, user: UUID) -> str:
        raise NotImplementedError

    async def service_token(self, *scopes: str) -> str:
        raise NotImplementedError

    async def log_out(self, token: str) -> None:
        raise NotImplementedError

    async def deactivate(self, user: UUID, *, back: bool = False) -> None:
        raise NotImplementedError

    async def take_away(self, user: UUID, pattern: str) -> None:
        raise NotImplementedError

    async def marked(self) -> str:
        """A new permission that asks for a second factor."""
        raise NotImplementedError


@dataclass
class InMemory(Cinema):
    auth: FakeAuth
    resource: str = "films"

    def __post_init__(self) -> None:
        self.auth.remove_permission(f"{self.resource}:unheard-of")

    async def user(self, *grants: Given) -> UUID:
        user = uuid4()
        for pattern, starts, until in grants:
            self.auth.grant(user, pattern, starts=starts, until=until)
        return user

    async def token(self, user: UUID) -> str:
        return self.auth.token(user)

    async def service_token(self, *scopes: str) -> str:
        return self.auth.service_token(*scopes)

    async def log_out(self, token: str) -> None:
        self.auth.log_out(token)

    async def deactivate(self, user: UUID, *, back: bool = False) -> None:
        (self.auth.activate if back else self.auth.deactivate)(user)

    async def take_away(self, user: UUID, pattern: str) -> None:
        self.auth.revoke(user, pattern)

    async def marked(self) -> str:
        self.auth.ask_for_second_factor("vault:open")
        return "vault:open"


class Real(Cinema):
    """Grants are written into the database, where they may be of the past."""

    def __init__(self, service: Service, auth: AuthClient, resource: str) -> None:
        self._service, self._api, self.auth, self.resource = service, service.api, auth, resource
        self._accounts: dict[UUID, Account] = {}
        self._tokens: dict[str, Tokens] = {}
        self._roles: dict[tuple[UUID, str], str] = {}

    async def user(self, *grants: Given) -> UUID:
        account = await self._api.create_user()
        self._accounts[account.id] = account
        now = datetime.now(UTC)
        async with self._api.resources.db.begin() as session:
            for pattern, starts, until in grants:
                name = self._roles[account.id, pattern] = unique("role")
                session.add(Role(name=name, title="Of a test"))
                await session.flush()
                session.add(RolePermission(role_name=name, pattern=pattern))
                dates = {"valid_from": now + (starts or timedelta()), "valid_until": until and now + until}
                session.add(UserRole(user_id=account.id, role_name=name, granted_at=now, **dates))
        return account.id

    async def token(self, user: UUID) -> str:
        tokens = await self._api.log_in(self._accounts[user])
        self._tokens[tokens.access] = tokens
        return tokens.access

    async def service_token(self, *scopes: str) -> str:
        account = await self._api.create_service(self._service.root, list(scopes))
        return (await self._api.service_token(*account))["Authorization"].removeprefix("Bearer ")

    async def log_out(self, token: str) -> None:
        await self._call("POST", "/auth/logout", None, self._tokens[token])

    async def deactivate(self, user: UUID, *, back: bool = False) -> None:
        await self._call("PATCH", f"/admin/users/{user}", {"is_active": back, "reason": "a case"}, self._service.root)

    async def take_away(self, user: UUID, pattern: str) -> None:
        await revoke(self._api, self._service.root, user, self._roles[user, pattern])

    async def marked(self) -> str:
        code = f"{unique('vault')}:open"
        await self._call("POST", "/permissions", {"code": code, "title": "x", "step_up": True}, self._service.root)
        return code

    async def _call(self, method: str, path: str, body: Any, tokens: Tokens) -> None:
        answer = await self._api.http.request(method, V1 + path, json=body, headers=tokens.bearer)
        assert answer.is_success, answer.text


@dataclass(frozen=True)
class Clients:
    asking: AuthClient
    local: AuthClient
    resource: str


@pytest.fixture(scope="module")
async def clients(service: Service) -> AsyncIterator[Clients]:
    """And a resource with two permissions, to watch and to rate."""
    watch = await create_permission(service.api, service.root, action="watch")
    resource = watch.partition(":")[0]
    await create_permission(service.api, service.root, resource=resource, action="rate")
    async with service.client() as asking, service.client(local=True) as local:
        await local.ready()
        yield Clients(asking, local, resource)


@pytest.fixture(params=["fake", "asking", "local"])
def cinema(request: pytest.FixtureRequest, service: Service, clients: Clients, auth: FakeAuth) -> Cinema:
    if request.param == "fake":
        return InMemory(auth)
    return Real(service, clients.local if request.param == "local" else clients.asking, clients.resource)


GRANTS: dict[str, tuple[list[Given], str, str, timedelta | None]] = {
    "nothing": ([], "watch", "no_grant", None),
    "it": ([("watch", None, None)], "watch", "granted", None),
    "another": ([("rate", None, None)], "watch", "no_grant", None),
    "the wildcard": ([("*", None, None)], "watch", "granted", None),
    "until later": ([("watch", None, HOUR)], "watch", "granted", HOUR),
    "until before": ([("watch", -2 * HOUR, -HOUR)], "watch", "grant_expired", None),
    "from later on": ([("watch", HOUR, None)], "watch", "grant_not_started", HOUR),
    "before and later": ([("watch", -2 * HOUR, -HOUR), ("*", HOUR, None)], "watch", "grant_not_started", HOUR),
    "one takes over": ([("watch", None, HOUR), ("*", HOUR, 2 * HOUR)], "watch", "granted", 2 * HOUR),
    "a gap between": ([("watch", None, HOUR), ("*", 2 * HOUR, None)], "watch", "granted", HOUR),
    "one for ever": ([("watch", None, HOUR), ("*", None, None)], "watch", "granted", None),
    "one that is not in the catalogue": ([("*", None, None)], "unheard-of", "unknown_permission", None),
}


def near(decision: Decision, expected: timedelta | None) -> bool:
    if expected is None or decision.valid_until is None:
        return decision.valid_until is expected
    return abs(decision.valid_until - (datetime.now(UTC) + expected)) < timedelta(seconds=30)


@pytest.mark.parametrize("case", GRANTS)
async def test_grants(cinema: Cinema, case: str) -> None:
    given, action, reason, until = GRANTS[case]
    user = await cinema.user(*((f"{cinema.resource}:{name}", *dates) for name, *dates in given))  # type: ignore[arg-type]
    permission = f"{cinema.resource}:{action}"
    for decision in (
        await cinema.auth.check(user, permission),
        *await cinema.auth.check_many([(str(user), permission)]),
        (await cinema.auth.explain(user, permission)).decision,
    ):
        assert (decision.allowed, decision.reason) == (reason == "granted", reason)
        assert near(decision, until), decision
    explained = (await cinema.auth.explain(user, permission)).grants
    counting = {f"{cinema.resource}:{name}" for name, *_ in given if name in {action, "*"}}
    assert {grant.permission for grant in explained} == (counting if reason != "unknown_permission" else set())


async def test_what_is_no_permission_is_unknown(cinema: Cinema) -> None:
    user = await cinema.user()
    for permission in ("films", "Films:watch", "films:watch:now", "*", "films:*", "фильмы:все"):
        assert (await cinema.auth.check(user, permission)).reason == "unknown_permission", permission


Refusal = tuple[str, str, str | None]


def refusal_of(error: AuthServiceError) -> Refusal:
    """Its public class, code and reason."""
    public = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return public.__name__, error.code, getattr(error, "reason", None)


async def said(call: Awaitable[Any]) -> Refusal:
    """What was answered instead is a failure."""
    with pytest.raises(AuthServiceError) as raised:
        await call
    return refusal_of(raised.value)


INVALID = ("InvalidToken", "not_authenticated", None)


async def test_what_cannot_be_asked(cinema: Cinema) -> None:
    user = await cinema.user()
    for permission in ("", "x" * 129, "films:\nwatch"):
        assert await said(cinema.auth.check(user, permission)) == ("InvalidRequest", "bad_permission", None)
    assert await said(cinema.auth.check("nobody", "films:watch")) == ("InvalidRequest", "bad_id", None)


async def test_nobody_knows_whether_a_stranger_is_there(cinema: Cinema) -> None:
    assert (await cinema.auth.check(uuid4(), f"{cinema.resource}:watch")).reason == "no_grant"


async def test_authorize(cinema: Cinema) -> None:
    watch, rate = f"{cinema.resource}:watch", f"{cinema.resource}:rate"
    user = await cinema.user((watch, None, None), (rate, -2 * HOUR, -HOUR))
    token = await cinema.token(user)
    caller = await cinema.auth.authorize(token, watch)
    assert (caller.id, caller.kind, caller.scopes) == (user, "user", ())
    assert await cinema.auth.verify(token) == caller == await cinema.auth.authorize(token)
    assert await said(cinema.auth.authorize(token, watch, rate)) == ("Denied", "permission_denied", "grant_expired")
    assert await said(cinema.auth.authorize(None, watch)) == INVALID
    assert await said(cinema.auth.authorize(f"{token}x", watch)) == INVALID


async def within_the_bound(call: Callable[[], Awaitable[Any]]) -> Refusal:
    """The refusal, for which a client with a memory of its own may take so long."""
    until = time.monotonic() + BOUND
    while True:
        try:
            await call()
        except AuthServiceError as error:
            return refusal_of(error)
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


async def test_a_logout_ends_the_session_and_no_other(cinema: Cinema, request: pytest.FixtureRequest) -> None:
    user = await cinema.user()
    token, other = await cinema.token(user), await cinema.token(user)
    await cinema.auth.verify(token)
    await cinema.log_out(token)
    assert await within_the_bound(lambda: cinema.auth.authorize(token)) == INVALID
    if "asking" not in request.node.name:  # it looks at the signature only
        assert await within_the_bound(lambda: cinema.auth.verify(token)) == INVALID
    assert (await cinema.auth.authorize(other)).id == user


async def test_a_user_who_is_deactivated(cinema: Cinema) -> None:
    watch = f"{cinema.resource}:watch"
    user = await cinema.user((watch, None, None))
    token = await cinema.token(user)
    await cinema.auth.authorize(token, watch)
    await cinema.deactivate(user)
    assert await within_the_bound(lambda: cinema.auth.authorize(token, watch)) == INVALID
    assert (await cinema.auth.check(user, watch)).reason == "user_inactive"
    await cinema.deactivate(user, back=True)
    assert await within_the_bound(lambda: cinema.auth.authorize(token, watch)) == INVALID, "their tokens stay dead"
    await cinema.auth.authorize(await cinema.token(user), watch)


async def test_a_grant_that_is_taken_away(cinema: Cinema) -> None:
    watch = f"{cinema.resource}:watch"
    user = await cinema.user((watch, None, None))
    token = await cinema.token(user)
    await cinema.auth.authorize(token, watch)
    await cinema.take_away(user, watch)
    refused = await within_the_bound(lambda: cinema.auth.authorize(token, watch))
    assert refused == ("Denied", "permission_denied", "no_grant")


async def test_a_permission_that_asks_for_a_second_factor(cinema: Cinema) -> None:
    watch = await cinema.marked()
    user = await cinema.user((watch, None, HOUR))
    decision = await cinema.auth.check(user, watch)
    assert (decision.allowed, decision.reason) == (False, "step_up_required")
    assert near(decision, HOUR)
    denied = await said(cinema.auth.authorize(await cinema.token(user), watch))
    assert denied == ("Denied", "step_up_required", "step_up_required")
    nothing = await cinema.user()
    assert (await cinema.auth.check(nothing, watch)).reason == "no_grant"


async def test_services(cinema: Cinema) -> None:
    watch, rate = f"{cinema.resource}:watch", f"{cinema.resource}:rate"
    token = await cinema.service_token(watch)
    caller = await cinema.auth.authorize(token, watch)
    assert (caller.kind, caller.is_service, caller.scopes) == ("service", True, (watch,))
    assert await said(cinema.auth.authorize(token, rate)) == ("Denied", "permission_denied", None)
    wide = await cinema.service_token(f"{cinema.resource}:*")
    await cinema.auth.authorize(wide, watch, rate)
