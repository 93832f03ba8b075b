"""Grants: they begin and end by the clock when they are read, and their dates can be changed."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment, patterns_of, put_grant, revoke
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of


async def grants_of(api: Api, caller: Tokens, account: Account) -> dict[str, dict[str, Any]]:
    response = await api.http.get(f"{V1}/users/{account.id}/roles", headers=caller.bearer)
    assert response.status_code == 200, response.text
    return {item["role"]: item for item in response.json()}


async def test_a_grant_starts_and_ends_by_the_clock(fresh: Fresh, shared_settings: Settings) -> None:
    clock = StoppedClock()
    api = await fresh.on(shared_settings, clock)
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    role = await create_role(api, root, code)
    account, tokens = await api.as_role()
    start, end = clock() + timedelta(minutes=2), clock() + timedelta(minutes=5)
    await grant(api, root, account.id, role, valid_from=start, valid_until=end)

    async def seen() -> tuple[str, bool, bool]:
        shown = (await grants_of(api, tokens, account))[role]["active"]
        return (await api.check(tokens, code))["reason"], code in await patterns_of(api, tokens, account.id), shown

    assert await seen() == ("grant_not_started", False, False)
    clock.forward(minutes=2)
    assert await seen() == ("granted", True, True)
    clock.forward(minutes=3)
    assert await seen() == ("grant_expired", False, False)


async def test_rights_that_have_ended_open_no_route_of_ours(fresh: Fresh, shared_settings: Settings) -> None:
    clock = StoppedClock()
    api = await fresh.on(shared_settings, clock)
    _, root = await api.as_role("superuser")
    account, tokens = await api.as_role()
    await grant(api, root, account.id, "admin", valid_until=clock() + timedelta(minutes=5))
    assert (await api.http.get(f"{V1}/roles", headers=tokens.bearer)).status_code == 200
    clock.forward(minutes=5)
    refused = await api.http.get(f"{V1}/roles", headers=tokens.bearer)
    assert error_of(refused) == (403, "permission_denied")
    assert "grant_expired" in refused.json()["detail"]
    assert error_of(await put_grant(api, tokens, account.id, "viewer")) == (403, "permission_denied")


async def test_dates_of_a_grant_can_be_changed(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    role = await create_role(api, root, code)
    account, tokens = await api.as_role()
    for dates, reason in (
        ({"valid_until": moment(days=1)}, "granted"),
        ({"valid_from": moment(days=1)}, "grant_not_started"),
        ({"valid_from": moment(days=-2), "valid_until": moment(days=-1)}, "grant_expired"),
        ({}, "granted"),
    ):
        await grant(api, root, account.id, role, **dates)
        assert (await api.check(tokens, code))["reason"] == reason
        shown = (await grants_of(api, root, account))[role]
        assert (shown["valid_until"] is None) is ("valid_until" not in dates)
    assert len(await grants_of(api, root, account)) == 2  # viewer, and one grant whatever its dates were


async def test_a_grant_says_who_gave_it_when_and_why(api: Api) -> None:
    giver, root = await api.as_role("superuser")
    account, tokens = await api.as_role()
    url = f"{V1}/users/{account.id}/roles/moderator"
    body = {"reason": "заменяет Анну", "valid_until": "2099-01-01T03:00:00+03:00"}
    granted = await api.http.put(url, json=body, headers=root.bearer)
    assert granted.status_code == 200
    shown = granted.json()
    assert shown == (await grants_of(api, tokens, account))["moderator"]
    assert (shown["role"], shown["granted_by"], shown["reason"]) == ("moderator", str(giver.id), "заменяет Анну")
    assert shown["active"] is True
    assert datetime.fromisoformat(shown["valid_until"]) == datetime.fromisoformat("2099-01-01T00:00:00+00:00")
    assert shown["valid_from"] == shown["granted_at"]


async def test_grants_outlive_the_account_that_gave_them(api: Api) -> None:
    giver, admin = await api.as_role("admin")
    account, tokens = await api.as_role()
    await grant(api, admin, account.id, "moderator")
    body = {"current_password": giver.password}
    assert (await api.http.request("DELETE", f"{V1}/users/me", json=body, headers=admin.bearer)).status_code == 204
    assert (await grants_of(api, tokens, account))["moderator"]["granted_by"] is None
    assert (await api.check(tokens, "reviews:moderate"))["allowed"] is True


async def test_one_may_read_ones_own_grants_but_not_those_of_others(api: Api) -> None:
    account, tokens = await api.as_role()
    other = await api.create_user()
    assert (await grants_of(api, tokens, account)).keys() == {"viewer"}
    assert "films:read" in await patterns_of(api, tokens, account.id)
    for path in ("roles", "permissions"):
        for someone in (other.id, uuid4()):
            refused = await api.http.get(f"{V1}/users/{someone}/{path}", headers=tokens.bearer)
            assert error_of(refused) == (403, "permission_denied")
    _, admin = await api.as_role("admin")
    assert (await grants_of(api, admin, other)).keys() == {"viewer"}


async def test_one_may_not_give_oneself_roles(api: Api) -> None:
    account, tokens = await api.as_role()
    assert error_of(await put_grant(api, tokens, account.id, "viewer")) == (403, "permission_denied")
    assert error_of(await put_grant(api, tokens, account.id, "admin")) == (403, "permission_denied")
    assert error_of(await revoke(api, tokens, account.id, "viewer")) == (403, "permission_denied")


async def test_effective_permissions_name_role_and_origin(api: Api) -> None:
    account, tokens = await api.as_role()
    response = await api.http.get(f"{V1}/users/{account.id}/permissions", headers=tokens.bearer)
    ways = {(item["permission"], item["role"], item["via"]) for item in response.json()["permissions"]}
    assert ("tickets:buy", "viewer", "viewer") in ways
    assert ("films:read", "viewer", "guest") in ways
    _, admin = await api.as_role("admin")
    disabled = await api.create_user("admin", active=False)
    assert await patterns_of(api, admin, disabled.id) == set()


async def test_unknown_users_are_404_for_those_who_may_look(api: Api) -> None:
    _, root = await api.as_role("superuser")
    nobody = uuid4()
    for path in ("roles", "permissions"):
        missing = await api.http.get(f"{V1}/users/{nobody}/{path}", headers=root.bearer)
        assert error_of(missing) == (404, "not_found")
    assert error_of(await put_grant(api, root, nobody, "viewer")) == (404, "not_found")
    assert error_of(await revoke(api, root, nobody, "viewer")) == (404, "not_found")


async def test_a_role_can_be_taken_away_once(api: Api) -> None:
    _, root = await api.as_role("superuser")
    account = await api.create_user("moderator")
    answers = await asyncio.gather(*(revoke(api, root, account.id, "moderator") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 5
    assert (await grants_of(api, root, account)).keys() == {"viewer"}


async def test_the_same_grant_at_once_is_one_grant(api: Api) -> None:
    _, root = await api.as_role("superuser")
    account = await api.create_user()
    answers = await asyncio.gather(*(put_grant(api, root, account.id, "moderator") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await grants_of(api, root, account)).keys() == {"viewer", "moderator"}


@pytest.mark.parametrize(
    "body",
    [
        {"valid_until": "2020-01-01T00:00:00Z"},
        {"valid_from": "2030-01-02T00:00:00Z", "valid_until": "2030-01-01T00:00:00Z"},
        {"valid_from": "2030-01-01T00:00:00Z", "valid_until": "2030-01-01T00:00:00Z"},
        {"valid_from": "2030-01-01T02:00:00+03:00", "valid_until": "2030-01-01T00:00:00+01:00"},
        {"valid_until": "2030-01-01T00:00:00"},
        {"valid_until": "2030-01-01"},
        {"valid_until": "tomorrow"},
        {"valid_until": 1893456000},
        {"valid_until": "1893456000"},
        {"valid_until": ""},
        {"valid_until": "2030-02-30T00:00:00Z"},
        {"valid_until": True},
        {"valid_from": "0001-01-01T00:00:00+14:00"},
        {"valid_until": "9999-12-31T23:59:59-14:00"},
        {"valid_until": "9999-12-31T23:59:59.999999Z"},
        {"valid_from": "0001-01-01T00:00:00Z"},
        {"reason": "x" * 501},
        {"reason": "a\u0000b"},
        {"granted_by": str(uuid4())},
        {"active": True},
    ],
)
async def test_grants_with_wrong_fields_are_422(api: Api, body: dict[str, Any]) -> None:
    _, root = await api.as_role("superuser")
    account = await api.create_user()
    url = f"{V1}/users/{account.id}/roles/moderator"
    response: httpx.Response = await api.http.put(url, json=body, headers=root.bearer)
    assert response.status_code == (400 if body.get("reason") == "a\0b" else 422), response.text
    assert (await grants_of(api, root, account)).keys() == {"viewer"}


async def test_the_farthest_dates_are_taken(api: Api) -> None:
    _, root = await api.as_role("superuser")
    account = await api.create_user()
    url = f"{V1}/users/{account.id}/roles/moderator"
    body = {"valid_from": "1970-01-01T00:00:00Z", "valid_until": "9998-12-31T23:59:59.999999Z"}
    assert (await api.http.put(url, json=body, headers=root.bearer)).status_code == 200
    shown = (await grants_of(api, root, account))["moderator"]
    assert (shown["active"], shown["valid_until"]) == (True, "9998-12-31T23:59:59.999999Z")
    assert (await api.check(root, "reviews:moderate", account.id))["valid_until"] == "9998-12-31T23:59:59.999999Z"
