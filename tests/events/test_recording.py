"""Which change writes which event: in its own transaction, exactly once, and with nothing that is secret."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from auth_service.events.kinds import ProfileChanged
from auth_service.events.outbox import ERASED, record
from auth_service.models import User
from auth_service.moving_in.arrival import Wishes, take_in
from auth_service.moving_in.newcomers import Newcomer
from auth_service.permissions.actor import OPERATOR
from auth_service.seed import seed_users
from auth_service.sessions.service import end_session
from auth_service.users.service import create_user, delete_user, set_active, set_password
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, error_of, tokens_of, unique
from tests.support.mailbox import newest
from tests.support.outbox import events_of, kinds_of
from tests.support.phone import enrol_phone

NEW_PASSWORD = "another correct horse battery"


async def keyed(api: Api, key: str) -> list[str]:
    rows = await api.resources.hot.fetch("SELECT kind FROM outbox WHERE key = $1 ORDER BY number", key)
    return [row["kind"] for row in rows]


async def register(api: Api) -> Account:
    login = unique("event")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD, "full_name": "Анна К."}
    response = await api.http.post(f"{V1}/auth/register", json=body)
    assert response.status_code == 201, response.text
    return Account(UUID(response.json()["id"]), login, body["email"])


async def test_a_registration_is_a_new_user_with_a_role(api: Api) -> None:
    account = await register(api)
    (kind, data), (granted, grant) = await events_of(api, account.id)
    assert (kind, granted) == ("new_user", "role_granted")
    assert data["username"] == account.login
    assert data["full_name"] == "Анна К."
    assert set(data) == {"username", "full_name", "created_at"}
    assert (grant["role"], grant["by"]) == ("viewer", None)


async def test_rel_4_a_refused_change_has_no_event(api: Api) -> None:
    account, tokens = await api.as_role()
    before = await kinds_of(api, account.id)
    taken = await register(api)
    count = "SELECT count(*) FROM outbox WHERE data->>'username' = $1"
    body = {"login": taken.login, "email": f"{unique('other')}@example.com", "password": PASSWORD}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 409
    assert await api.resources.hot.fetchval(count, taken.login) == 1
    change = {"login": taken.login, "current_password": PASSWORD}
    assert (await api.http.post(f"{V1}/users/me/login", json=change, headers=tokens.bearer)).status_code == 409
    assert await kinds_of(api, account.id) == before


async def test_rel_4_a_change_that_is_rolled_back_after_its_event_has_none(api: Api) -> None:
    account = await api.create_user()

    async def change_and_fail() -> None:
        async with api.resources.db.begin() as session:
            user = await session.get(User, account.id)
            assert user is not None
            user.full_name = "Never"
            await record(api.resources, session, ProfileChanged(user_id=account.id, full_name="Never"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change_and_fail()
    assert await kinds_of(api, account.id) == []


async def test_rel_4_one_of_many_registrations_at_once_has_the_one_event(api: Api) -> None:
    login = unique("wanted")
    bodies = [{"login": login, "email": f"{unique('w')}@example.com", "password": PASSWORD} for _ in range(6)]
    answers = await asyncio.gather(*(api.http.post(f"{V1}/auth/register", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    rows = await api.resources.hot.fetch("SELECT user_id FROM outbox WHERE data->>'username' = $1", login)
    assert [str(row["user_id"]) for row in rows] == [a.json()["id"] for a in answers if a.status_code == 201]


async def test_a_life_of_an_account(api: Api) -> None:
    account = await register(api)
    tokens = await api.log_in(account)
    me = {"headers": tokens.bearer}
    renamed = {"login": unique("renamed"), "current_password": PASSWORD}
    assert (await api.http.patch(f"{V1}/users/me", json={"full_name": "A"}, **me)).status_code == 200
    assert (await api.http.patch(f"{V1}/users/me", json={"full_name": "A"}, **me)).status_code == 200  # no change
    assert (await api.http.post(f"{V1}/users/me/login", json=renamed, **me)).status_code == 200
    link = {"token": (await newest(api, account.email, "verify_email")).token}
    assert (await api.http.post(f"{V1}/auth/email/confirm", json=link)).status_code == 200
    password = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await api.http.post(f"{V1}/users/me/password", json=password, **me)).status_code == 204
    await set_active(api.resources, account.id, False)
    await set_active(api.resources, account.id, False)  # no change
    await set_active(api.resources, account.id, True)
    await set_password(api.resources, account.id, PASSWORD)
    await delete_user(api.resources, account.id)
    found = await events_of(api, account.id)
    assert [kind for kind, _ in found] == [
        *("new_user", "role_granted", "device_added", "session_started", "profile_changed", "login_changed"),
        *("email_verified", "password_changed", "devices_revoked", "sessions_ended", "user_deactivated"),
        *("user_activated", "password_changed", "user_deleted"),
    ]
    assert [data["how"] for kind, data in found if kind == "password_changed"] == ["changed", "set_by_operator"]
    assert [data["reason"] for kind, data in found if kind == "sessions_ended"] == ["deactivated"]
    # After the deletion: no name in what is still to be sent, nor in what is kept.
    erased = {name for _, data in found for name in ("username", "full_name") if data.get(name)}
    assert erased == {"username"}
    assert {data["username"] for _, data in found if "username" in data} == {ERASED["username"]}


async def test_an_address_is_in_the_event_of_its_change_and_in_no_other(api: Api) -> None:
    account, tokens = await api.as_role()
    address = f"{unique('next')}@example.com"
    change = {"email": address, "current_password": PASSWORD}
    assert (await api.http.post(f"{V1}/users/me/email", json=change, headers=tokens.bearer)).status_code == 202
    assert "email_changed" not in await kinds_of(api, account.id)
    link = {"token": (await newest(api, address, "email_change_new")).token}
    assert (await api.http.post(f"{V1}/auth/email/confirm", json=link)).status_code == 200
    found = await events_of(api, account.id)
    assert found[-1] == ("email_changed", {"email": address})
    assert [kind for kind, data in found if "@" in str(data)] == ["email_changed"]


async def test_sessions_end_with_their_reason(api: Api) -> None:
    account = await api.create_user()
    first, second, third = [await api.log_in(account) for _ in range(3)]
    assert (await api.http.post(f"{V1}/auth/logout", headers=first.bearer)).status_code == 204
    assert (await api.http.post(f"{V1}/auth/logout", headers=first.bearer)).status_code == 204  # no session any more
    url = f"{V1}/users/me/sessions/{second.session_id}"
    assert (await api.http.delete(url, headers=third.bearer)).status_code == 204
    assert (await api.http.post(f"{V1}/auth/logout-all", headers=third.bearer)).status_code == 204
    found = [(kind, data) for kind, data in await events_of(api, account.id) if "ended" in kind]
    assert found == [
        ("session_ended", {"session_id": UUID(first.session_id), "reason": "logout"}),
        ("session_ended", {"session_id": UUID(second.session_id), "reason": "ended_by_user"}),
        ("sessions_ended", {"reason": "logout_all", "kept_session_id": None}),
    ]


async def test_the_other_sessions_are_one_event(api: Api) -> None:
    account = await api.create_user()
    *_, here = [await api.log_in(account) for _ in range(3)]
    for _ in range(2):
        assert (await api.http.post(f"{V1}/auth/logout-others", headers=here.bearer)).status_code == 204
    found = [data for kind, data in await events_of(api, account.id) if "ended" in kind]
    assert found == [{"reason": "logout_others", "kept_session_id": UUID(here.session_id)}]


async def test_ses_1_the_session_that_a_login_pushes_out_is_one_event(fresh: Fresh) -> None:
    api = await fresh.api(session_limit=2)
    account = await api.create_user()
    logins = await asyncio.gather(*(api.log_in(account) for _ in range(6)))
    found = await events_of(api, account.id)
    ended = [data["session_id"] for kind, data in found if kind == "session_ended"]
    started = [data["session_id"] for kind, data in found if kind == "session_started"]
    assert ended == started[:4]
    assert sorted(started) == sorted(UUID(login.session_id) for login in logins)
    assert {data["reason"] for kind, data in found if kind == "session_ended"} == {"session_limit"}


async def test_ref_3_reuse_is_one_event_however_many_replay(fresh: Fresh) -> None:
    api = await fresh.api()
    account, first = await api.as_role()
    second = tokens_of(await api.refresh(tokens_of(await api.refresh(first.refresh)).refresh))
    before = len(await events_of(api, account.id))
    answers = await asyncio.gather(*(api.refresh(first.refresh) for _ in range(5)))
    assert {error_of(answer) for answer in answers} == {(401, "invalid_refresh_token")}
    assert error_of(await api.refresh(second.refresh)) == (401, "invalid_refresh_token")
    session_id = UUID(first.session_id)
    assert (await events_of(api, account.id))[before:] == [
        ("refresh_token_reused", {"session_id": session_id}),
        ("session_ended", {"session_id": session_id, "reason": "refresh_reuse"}),
    ]


async def test_a_revoked_device_and_what_it_ends(api: Api) -> None:
    account, tokens = await api.as_role()
    (device,) = (await api.http.get(f"{V1}/users/me/devices", headers=tokens.bearer)).json()["items"]
    url = f"{V1}/users/me/devices/{device['id']}"
    assert (await api.http.delete(url, headers=tokens.bearer)).status_code == 204
    device_id = UUID(device["id"])
    assert (await events_of(api, account.id))[-2:] == [
        ("session_ended", {"session_id": UUID(tokens.session_id), "reason": "device_revoked"}),
        ("devices_revoked", {"device_ids": [device_id]}),
    ]


async def test_the_second_factor(api: Api) -> None:
    account, tokens = await api.as_role()
    codes = await enrol_phone(api, tokens)
    challenge = (await api.log_in_as(account.login, PASSWORD)).json()
    answer = {"challenge": challenge["challenge"], "code": codes[0]}
    assert (await api.http.post(f"{V1}/auth/login/mfa", json=answer)).status_code == 200
    renew = {"current_password": PASSWORD, "code": codes[1]}
    renewed = await api.http.post(f"{V1}/mfa/recovery-codes", json=renew, headers=tokens.bearer)
    off = {"current_password": PASSWORD, "code": renewed.json()["recovery_codes"][0]}
    removed = await api.http.request("DELETE", f"{V1}/mfa/totp", json=off, headers=tokens.bearer)
    assert removed.status_code == 204, removed.text
    found = await events_of(api, account.id)
    assert [kind for kind, _ in found if "mfa" in kind or "recovery" in kind] == [
        *("mfa_enabled", "recovery_code_used", "recovery_code_used", "recovery_codes_renewed"),
        *("recovery_code_used", "mfa_disabled"),
    ]
    assert not any(code in str(found) for code in codes)


async def test_an_account_that_is_closed_to_strangers_is_one_event(fresh: Fresh) -> None:
    api = await fresh.api(login_failure_limit=10, login_total_failure_limit=3)
    account = await api.create_user()
    await asyncio.gather(*(api.log_in_as(account.login, "wrong") for _ in range(8)))
    assert await kinds_of(api, account.id) == ["account_closed_to_strangers"]


async def test_roles_grants_permissions_and_services(api: Api) -> None:
    root_account, root = await api.as_role("superuser")
    account = await api.create_user()
    name, code = unique("role"), f"{unique('films')}:watch"
    call = api.http.request

    async def done(status: int, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = await call(method, f"{V1}{path}", json=body, headers=root.bearer)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    await done(201, "POST", "/permissions", {"code": code, "title": "Watch"})
    await done(200, "PATCH", f"/permissions/{code}", {"title": "Watch it"})
    await done(201, "POST", "/roles", {"name": name, "title": "R", "permissions": [code]})
    await done(409, "DELETE", f"/permissions/{code}")
    await done(200, "PUT", f"/users/{account.id}/roles/{name}", {})
    await done(409, "DELETE", f"/roles/{name}")
    await done(204, "DELETE", f"/users/{account.id}/roles/{name}")
    await done(200, "PATCH", f"/roles/{name}", {"permissions": []})
    await done(204, "DELETE", f"/roles/{name}")
    await done(204, "DELETE", f"/permissions/{code}")
    made = await done(201, "POST", "/services", {"name": unique("svc"), "scopes": ["films:watch"]})
    service_id = made["client_id"]
    secret = await done(201, "POST", f"/services/{service_id}/secrets", {})
    await done(204, "DELETE", f"/services/{service_id}")
    assert await keyed(api, f"permission:{code}") == ["permission_created", "permission_changed", "permission_deleted"]
    assert await keyed(api, f"role:{name}") == ["role_created", "role_changed", "role_deleted"]
    assert await keyed(api, f"service:{service_id}") == ["service_created", "service_secret_added", "service_deleted"]
    assert [(kind, data["by"]) for kind, data in await events_of(api, account.id)] == [
        ("role_granted", root_account.id),
        ("role_revoked", root_account.id),
    ]
    everything = await api.resources.hot.fetchval("SELECT string_agg(data::text, '') FROM outbox")
    assert made["client_secret"] not in everything
    assert secret["client_secret"] not in everything


async def test_an_imported_user_is_a_new_one(api: Api) -> None:
    login = unique("imported")
    email = f"{login}@example.com"
    row = Newcomer("line 2", login, email, password_hash="$2b$12$" + "a" * 53)
    await take_in(api.resources, [row], lambda _count: None, Wishes())
    user_id = await api.resources.hot.fetchval("SELECT id FROM users WHERE login = $1", login)
    assert await kinds_of(api, user_id) == ["new_user", "role_granted"]


async def test_aud_2_an_event_has_no_secret(fresh: Fresh) -> None:
    api = await fresh.api()
    await seed_users(api.resources)
    account = await register(api)
    tokens = await api.log_in(account)
    other = tokens_of(await api.refresh(tokens.refresh))
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})).status_code == 202
    link = (await newest(api, account.email, "reset_password")).token
    reset = {"token": link, "new_password": NEW_PASSWORD}
    assert (await api.http.post(f"{V1}/auth/password/reset", json=reset)).status_code == 200
    kept = await api.resources.hot.fetchval("SELECT string_agg(o::text, '') FROM outbox o")
    assert "password_changed" in kept
    for secret in (PASSWORD, NEW_PASSWORD, link, tokens.access, tokens.refresh, other.refresh, "$argon2", "127.0.0.1"):
        assert secret not in kept
    assert account.email not in kept  # a registration does not tell it


async def test_a_session_that_is_gone_ends_without_an_event(api: Api) -> None:
    account, tokens = await api.as_role()
    for expected in (True, False):
        assert await end_session(api.resources, UUID(tokens.session_id), "logout") is expected
    assert (await kinds_of(api, account.id)).count("session_ended") == 1


async def test_what_the_operator_makes_is_told_too(fresh: Fresh) -> None:
    api = await fresh.api()
    login = unique("first")
    user = await create_user(
        api.resources, login=login, email=f"{login}@example.com", password=PASSWORD, role="superuser"
    )
    assert OPERATOR.user_id is None
    found = await events_of(api, user.id)
    assert [kind for kind, _ in found] == ["new_user", "role_granted", "role_granted"]
    assert {data["role"] for kind, data in found if kind == "role_granted"} == {"viewer", "superuser"}
