"""What an admin does to an account is told by the same events as what its owner does, beside the audit trail's row."""

from typing import Any
from uuid import UUID

import httpx

from tests.support.api import V1, Account, Api, Tokens, error_of, unique
from tests.support.mailbox import newest
from tests.support.outbox import events_of, kinds_of
from tests.support.phone import enrol_phone


async def send(api: Api, admin: Tokens, method: str, path: str, **body: Any) -> httpx.Response:
    response = await api.http.request(method, f"{V1}{path}", json=body or None, headers=admin.bearer)
    assert response.status_code < 500, response.text
    return response


async def actions_on(api: Api, user_id: UUID) -> list[str]:
    rows = await api.resources.hot.fetch("SELECT action FROM audit_log WHERE target_id = $1 ORDER BY id", str(user_id))
    return [row["action"] for row in rows]


async def invite(api: Api, admin: Tokens, *roles: str) -> Account:
    login = unique("invited")
    body = {"login": login, "email": f"{login}@example.com", "full_name": "Анна К.", "roles": list(roles)}
    response = await send(api, admin, "POST", "/admin/users", **body)
    assert response.status_code == 201, response.text
    return Account(UUID(response.json()["id"]), login, body["email"])


async def test_an_invited_account_is_a_new_user_with_its_roles(api: Api) -> None:
    root, admin = await api.as_role("superuser")
    account = await invite(api, admin, "guest")
    (kind, data), *grants = await events_of(api, account.id)
    assert (kind, data["username"], data["full_name"]) == ("new_user", account.login, "Анна К.")
    assert [(kind, data["role"], data["by"]) for kind, data in grants] == [
        ("role_granted", "viewer", None),
        ("role_granted", "guest", root.id),
    ]
    assert await actions_on(api, account.id) == ["user.created"]


async def test_what_an_admin_changes_is_told_once_and_what_stays_is_not(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    account = await invite(api, admin)
    path, before = f"/admin/users/{account.id}", len(await events_of(api, account.id))
    login, address = unique("renamed"), f"{unique('moved')}@example.com"
    same = {"login": login, "full_name": "B", "email": address}
    for changes in (same, same, {"is_active": False, "reason": "fraud"}, {"is_active": True, "reason": "fraud"}):
        assert (await send(api, admin, "PATCH", path, **changes)).status_code == 200
    assert (await events_of(api, account.id))[before:] == [
        ("profile_changed", {"full_name": "B"}),
        ("login_changed", {"username": login}),
        ("email_changed", {"email": address}),
        ("user_deactivated", {}),
        ("user_activated", {}),
    ]
    link = {"token": (await newest(api, address, "verify_email")).token}
    assert (await api.http.post(f"{V1}/auth/email/confirm", json=link)).status_code == 200
    assert (await kinds_of(api, account.id))[-1] == "email_verified"
    assert await actions_on(api, account.id) == [
        *("user.created", "user.updated", "user.updated", "user.disabled", "user.enabled"),
    ]


async def test_a_refused_change_is_not_told(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    account, other = await invite(api, admin), await api.create_user()
    before = await events_of(api, account.id)
    refused = await send(api, admin, "PATCH", f"/admin/users/{account.id}", full_name="B", login=other.login)
    assert error_of(refused) == (409, "login_taken")
    refused = await send(api, admin, "PATCH", f"/admin/users/{account.id}", full_name="B", email=other.email)
    assert error_of(refused) == (409, "email_taken")
    assert await events_of(api, account.id) == before


async def test_who_an_admin_deletes_is_told_and_erased(api: Api) -> None:
    _, admin = await api.as_role("superuser")
    account = await invite(api, admin)
    address = f"{unique('moved')}@example.com"
    assert (await send(api, admin, "PATCH", f"/admin/users/{account.id}", email=address)).status_code == 200
    assert (await send(api, admin, "DELETE", f"/admin/users/{account.id}", reason="asked for it")).status_code == 204
    found = await events_of(api, account.id)
    assert found[-1] == ("user_deleted", {})
    assert ("email_changed", {"email": "deleted"}) in found
    assert account.login not in str(found)
    assert "Анна" not in str(found)
    assert (await actions_on(api, account.id))[-1] == "user.deleted"


async def test_sessions_that_an_admin_ends_and_a_second_factor_that_is_reset(api: Api) -> None:
    root, admin = await api.as_role("superuser")
    account, tokens = await api.as_role()
    await api.log_in(account)
    await enrol_phone(api, tokens)
    other, left = await api.as_role()
    before = len(await events_of(api, account.id))
    path = f"/admin/users/{account.id}"
    assert (await send(api, admin, "DELETE", f"{path}/sessions/{tokens.session_id}")).status_code == 204
    assert error_of(await send(api, admin, "DELETE", f"{path}/sessions/{left.session_id}")) == (404, "not_found")
    assert (await send(api, admin, "POST", f"{path}/reset-mfa", reason="lost the phone")).status_code == 204
    assert (await send(api, admin, "POST", f"/admin/users/{other.id}/logout-all")).status_code == 204
    told = (await events_of(api, account.id))[before:]
    assert told[0] == ("session_ended", {"session_id": UUID(tokens.session_id), "reason": "ended_by_admin"})
    assert told[-1] == ("mfa_reset", {"by": root.id})
    ended = {"reason": "ended_by_admin", "kept_session_id": None}
    assert ("sessions_ended", ended) in await events_of(api, other.id)
    assert await actions_on(api, account.id) == ["session.ended", "user.mfa_reset"]
    assert await actions_on(api, other.id) == ["user.logged_out"]
