"""The admin's user API: what is found, what each may see, and that nobody acts above themselves."""

import asyncio
import os
import pty
import subprocess
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest

from auth_service.config import Environment
from tests.conftest import Fresh
from tests.support.access import create_role, grant, moment, patterns_of
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of, unique
from tests.support.command import Command
from tests.support.mailbox import letters, newest
from tests.support.phone import enrol_phone

USERS = f"{V1}/admin/users"


async def found(api: Api, caller: Tokens, **query: Any) -> list[dict[str, Any]]:
    """All pages."""
    items, cursor = [], None
    while True:
        asked = urlencode(query | ({} if cursor is None else {"cursor": cursor}))
        response = await api.http.get(f"{USERS}?{asked}", headers=caller.bearer)
        assert response.status_code == 200, response.text
        items += response.json()["items"]
        cursor = response.json()["next_cursor"]
        if cursor is None:
            return items


async def patch(api: Api, caller: Tokens, user_id: UUID, **changes: Any) -> httpx.Response:
    return await api.http.patch(f"{USERS}/{user_id}", json=changes, headers=caller.bearer)


async def remove(api: Api, caller: Tokens, user_id: UUID) -> httpx.Response:
    body = {"reason": "asked for it"}
    return await api.http.request("DELETE", f"{USERS}/{user_id}", json=body, headers=caller.bearer)


async def create(api: Api, caller: Tokens, **more: Any) -> httpx.Response:
    login = unique("invited")
    body = {"login": login, "email": f"{login}@example.com", **more}
    return await api.http.post(USERS, json=body, headers=caller.bearer)


async def test_pages_go_on_where_the_last_one_ended(api: Api) -> None:
    _, admin = await api.as_role("admin")
    mark = unique("paged")
    accounts = [await api.create_user(login=f"{mark}n{number}") for number in range(5)]
    seen = await found(api, admin, search=mark, limit=2)
    assert [item["id"] for item in seen] == [str(account.id) for account in accounts]
    assert {item["email"] for item in seen} == {account.email for account in accounts}


async def test_each_filter_takes_those_it_names(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, admin = await api.as_role("admin")
    mark = unique("found")
    plain, _disabled, verified, armed, subscriber, former = [
        await api.create_user(login=f"{mark}{name}", active=name != "disabled")
        for name in ("plain", "disabled", "verified", "armed", "subscriber", "former")
    ]
    await api.resources.hot.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", verified.id)
    await api.resources.hot.execute("UPDATE users SET created_at = '2001-02-03Z' WHERE id = $1", plain.id)
    await enrol_phone(api, await api.log_in(armed))
    await grant(api, admin, subscriber.id, "subscriber")
    await grant(api, admin, former.id, "subscriber", valid_until=clock() + timedelta(seconds=60))
    clock.forward(seconds=61)

    async def logins(**query: Any) -> set[str]:
        return {item["login"].removeprefix(mark) for item in await found(api, admin, search=mark, **query)}

    everyone = {"plain", "disabled", "verified", "armed", "subscriber", "former"}
    assert await logins() == everyone
    assert await logins(active="false") == {"disabled"}
    assert await logins(active="true") == everyone - {"disabled"}
    assert await logins(email_verified="true") == {"verified"}
    assert await logins(email_verified="false") == everyone - {"verified"}
    assert await logins(mfa="true") == {"armed"}
    assert await logins(mfa="false") == everyone - {"armed"}
    assert await logins(role="subscriber") == {"subscriber"}
    assert await logins(role="unheard-of") == set()
    assert await logins(created_until="2001-02-03T00:00:01Z") == {"plain"}
    assert await logins(created_since="2001-02-03T00:00:01Z") == everyone - {"plain"}
    assert await logins(created_since="2001-02-03T00:00:00Z", created_until="2001-02-03T00:00:00Z") == set()


async def test_search_looks_into_login_address_and_name_and_takes_no_pattern(api: Api) -> None:
    _, admin = await api.as_role("admin")
    account = await api.create_user(login=unique("Needle"))
    name = f"Жанна {unique('Д')}"
    assert (await patch(api, admin, account.id, full_name=name)).status_code == 200
    for text in (account.login[2:].upper(), account.email[3:].upper(), name[2:].upper()):
        assert [item["id"] for item in await found(api, admin, search=text)] == [str(account.id)], text
    for text in ("%", "_needle_", "\\", "' OR true --"):
        assert str(account.id) not in {item["id"] for item in await found(api, admin, search=text, limit=100)}


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=x", "cursor=junk", "cursor=%D1%8F", "search=", "role=Admin", "active=perhaps"),
        *("created_since=yesterday", "created_since=2030-01-02T00:00:00Z&created_until=2030-01-01T00:00:00Z"),
        *("sort=password_hash", "order_by=email;drop table users", "password_hash=x"),
    ],
)
async def test_adm_1_only_listed_filters_and_limits(api: Api, query: str) -> None:
    _, admin = await api.as_role("admin")
    response = await api.http.get(f"{USERS}?{query}", headers=admin.bearer)
    assert error_of(response) == (422, "validation_error")


async def test_adm_1_answers_hold_what_is_listed_and_nothing_else(api: Api) -> None:
    _, admin = await api.as_role("admin")
    account = await api.create_user()
    await enrol_phone(api, await api.log_in(account, device_name="sofa"))
    brief = {"id", "login", "email", "full_name", "email_verified", "mfa", "is_active", "created_at", "updated_at"}
    (item,) = await found(api, admin, search=account.login)
    assert item.keys() == brief
    detail = (await api.http.get(f"{USERS}/{account.id}", headers=admin.bearer)).json()
    assert detail.keys() == brief | {"roles", "second_factor", "locks", "sessions", "devices"}
    assert (detail["sessions"], detail["devices"], detail["mfa"]) == (1, 1, True)
    assert [role["role"] for role in detail["roles"]] == ["viewer"]
    assert detail["second_factor"]["recovery_codes_left"] == 10
    stored = await api.resources.hot.fetchrow(
        "SELECT password_hash, encode(sealed_secret, 'hex') AS seed FROM users JOIN mfa_totp ON id = user_id"
        " WHERE id = $1",
        account.id,
    )
    assert all(secret not in str(detail) for secret in stored)


async def test_adm_1_a_moderator_sees_neither_addresses_nor_names(api: Api) -> None:
    _, admin = await api.as_role("admin")
    _, moderator = await api.as_role("moderator")
    account = await api.create_user(login=unique("person"))
    name = unique("Name")
    await patch(api, admin, account.id, full_name=name)
    (item,) = await found(api, moderator, search=account.login)
    detail = (await api.http.get(f"{USERS}/{account.id}", headers=moderator.bearer)).json()
    for shown in (item, detail):
        assert (shown["login"], shown["email"], shown["full_name"]) == (account.login, None, None)
    # Nor can the search be used to guess them.
    assert await found(api, moderator, search=account.email) == []
    assert await found(api, moderator, search=name) == []
    assert len(await found(api, admin, search=name)) == 1


async def test_the_state_of_locks_is_told(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, login_failure_limit=3, login_total_failure_limit=4)
    _, admin = await api.as_role("admin")
    account = await api.create_user()

    async def locks() -> dict[str, Any]:
        return (await api.http.get(f"{USERS}/{account.id}", headers=admin.bearer)).json()["locks"]  # type: ignore[no-any-return]

    free = {"logins_locked_until": None, "closed_to_strangers": False, "codes_locked_until": None}
    assert await locks() == free
    for _ in range(3):
        await api.log_in_as(account.login, "a wrong password")
    assert (await locks())["logins_locked_until"] is not None
    clock.forward(seconds=api.resources.settings.login_lock_seconds)
    assert await locks() == free
    await api.log_in_as(account.login, "a wrong password")
    assert (await locks())["closed_to_strangers"] is True
    assert (await api.http.post(f"{USERS}/{account.id}/unlock", headers=admin.bearer)).status_code == 204
    assert await locks() == free


async def test_an_invited_user_sets_the_first_password_by_mail(api: Api) -> None:
    _, admin = await api.as_role("admin")
    response = await create(api, admin, full_name="Новый Сотрудник", roles=["moderator"])
    assert response.status_code == 201, response.text
    made = response.json()
    assert sorted(role["role"] for role in made["roles"]) == ["moderator", "viewer"]
    assert made["email_verified"] is False
    token = (await newest(api, made["email"], "reset_password")).token
    body = {"token": token, "new_password": "fourteen paper kites"}
    assert (await api.http.post(f"{V1}/auth/password/reset", json=body)).status_code == 200
    assert (await api.log_in_as(made["login"], "fourteen paper kites")).status_code == 200


@pytest.mark.parametrize("field", ["password", "is_active", "email_verified", "id", "password_hash"])
async def test_reg_5_an_account_is_made_of_listed_fields(api: Api, field: str) -> None:
    _, admin = await api.as_role("admin")
    account = await api.create_user()
    assert error_of(await create(api, admin, **{field: "x"})) == (422, "validation_error")
    if field != "is_active":
        assert error_of(await patch(api, admin, account.id, **{field: "x"})) == (422, "validation_error")


async def test_without_mail_nobody_is_invited_nor_moved(fresh: Fresh) -> None:
    settings = await fresh.settings()
    made = await fresh.on(settings)
    _, admin = await made.as_role("admin")
    account = await made.create_user()
    mute = await fresh.on(settings.model_copy(update={"app_env": Environment.PRODUCTION, "admin_mfa": False}))
    assert error_of(await create(mute, admin)) == (503, "mail_not_configured")
    assert error_of(await patch(mute, admin, account.id, email="new@example.com")) == (503, "mail_not_configured")
    assert (await patch(mute, admin, account.id, full_name="Still works")).status_code == 200


async def test_rbac_1_no_account_is_made_with_more_than_its_maker_holds(api: Api) -> None:
    _, root = await api.as_role("superuser")
    account, clerk = await api.as_role()
    await grant(api, root, account.id, await create_role(api, root, "users:write"))
    before = await api.resources.hot.fetchval("SELECT count(*) FROM users")
    assert error_of(await create(api, clerk, roles=["guest"])) == (403, "permission_denied")  # no roles:grant
    await grant(api, root, account.id, await create_role(api, root, "roles:grant"))
    for role in ("superuser", "admin", "moderator"):
        assert error_of(await create(api, clerk, roles=["viewer", role])) == (403, "exceeds_own_permissions")
    assert error_of(await create(api, clerk, roles=["unheard-of"])) == (404, "not_found")
    assert await api.resources.hot.fetchval("SELECT count(*) FROM users") == before, "all or nothing"
    assert (await create(api, clerk, roles=["viewer"])).status_code == 201
    temporary, passing = await api.as_role()
    own = await create_role(api, root, "users:*", "roles:*", "reviews:*")
    await grant(api, root, temporary.id, own, valid_until=moment(days=1))
    assert error_of(await create(api, passing, roles=[own])) == (403, "exceeds_own_permissions"), "beyond their own end"


async def test_rbac_1_nobody_changes_or_deletes_those_above_them(api: Api) -> None:
    _, admin = await api.as_role("admin")
    root, _ = await api.as_role("superuser")
    above = (403, "exceeds_own_permissions")
    for changes in ({"full_name": "x"}, {"login": unique("x")}, {"email": f"{unique('x')}@example.com"}):
        assert error_of(await patch(api, admin, root.id, **changes)) == above
    assert error_of(await patch(api, admin, root.id, is_active=False, reason="because")) == above
    assert error_of(await remove(api, admin, root.id)) == above
    assert await letters(api, root.email) == []


async def test_rbac_1_enabling_an_account_is_judged_like_granting_its_roles(api: Api) -> None:
    _, root = await api.as_role("superuser")
    temporary, passing = await api.as_role()
    role = await create_role(api, root, "users:write", "reviews:moderate")
    await grant(api, root, temporary.id, role, valid_until=moment(days=1))
    lasting, passing_too = await api.create_user(active=False), await api.create_user(active=False)
    await grant(api, root, lasting.id, role)
    await grant(api, root, passing_too.id, role, valid_until=moment(hours=1))
    enable = {"is_active": True, "reason": "back again"}
    assert error_of(await patch(api, passing, lasting.id, **enable)) == (403, "exceeds_own_permissions")
    assert (await patch(api, passing, passing_too.id, **enable)).json()["is_active"] is True


async def test_one_s_own_account_is_not_changed_this_way(api: Api) -> None:
    account, root = await api.as_role("superuser")
    for changes in ({"is_active": False, "reason": "tired"}, {"email": f"{unique('x')}@example.com"}):
        assert error_of(await patch(api, root, account.id, **changes)) == (403, "permission_denied")
    assert error_of(await remove(api, root, account.id)) == (403, "permission_denied")
    assert (await api.me(root)).json()["email"] == account.email


async def test_rbac_2_a_service_cannot_end_the_last_superuser(fresh: Fresh) -> None:
    api = await fresh.api()
    account, root = await api.as_role("superuser")
    client = await api.create_service(root, ["users:write", "users:delete"])
    headers = await api.service_token(*client)
    # A service never holds *, so it is refused before RBAC-2 would have to.
    body = {"is_active": False, "reason": "because"}
    refused = await api.http.patch(f"{USERS}/{account.id}", json=body, headers=headers)
    assert error_of(refused) == (403, "exceeds_own_permissions")
    _, other = await api.as_role("superuser")
    assert (await patch(api, other, account.id, **body)).status_code == 200
    assert await api.resources.hot.fetchval("SELECT is_active FROM users WHERE id = $1", account.id) is False


async def test_log_10_who_is_disabled_or_deleted_is_out_at_once(fresh: Fresh) -> None:
    settings = await fresh.settings()
    here, there = await fresh.on(settings), await fresh.on(settings)
    _, admin = await here.as_role("admin")
    for act in ("disable", "delete"):
        account, tokens = await here.as_role()
        assert (await there.me(tokens)).status_code == 200
        if act == "disable":
            assert (await patch(here, admin, account.id, is_active=False, reason="fraud")).status_code == 200
        else:
            assert (await remove(here, admin, account.id)).status_code == 204
        assert (await there.me(tokens)).status_code == 401
        assert (await there.refresh(tokens.refresh)).status_code == 401
        assert error_of(await there.log_in_as(account.login, account.password)) == (401, "invalid_credentials")
        check = await there.check(admin, "films:read", account.id)
        assert check["allowed"] is False
    assert error_of(await patch(here, admin, account.id, full_name="x")) == (404, "not_found")


async def test_a_new_address_is_unconfirmed_and_told_to_the_old_one(api: Api) -> None:
    _, admin = await api.as_role("admin")
    account = await api.create_user()
    await api.resources.hot.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", account.id)
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})).status_code == 202
    old_link = (await newest(api, account.email, "reset_password")).token
    address = f"{unique('Moved')}@example.com"
    changed = (await patch(api, admin, account.id, email=address)).json()
    assert (changed["email"], changed["email_verified"]) == (address, False)
    assert address in (await newest(api, account.email, "email_changed")).text
    body = {"token": old_link, "new_password": "fourteen paper kites"}
    assert error_of(await api.http.post(f"{V1}/auth/password/reset", json=body)) == (401, "invalid_mail_token")
    token = (await newest(api, address, "verify_email")).token
    assert (await api.http.post(f"{V1}/auth/email/confirm", json={"token": token})).json()["verified"] is True


async def test_taken_logins_and_addresses_are_refused_and_nothing_changes(api: Api) -> None:
    _, admin = await api.as_role("admin")
    one, two = await api.create_user(), await api.create_user()
    assert error_of(await create(api, admin, login=one.login.upper())) == (409, "login_taken")
    assert error_of(await create(api, admin, email=one.email)) == (409, "email_taken")
    half = {"full_name": "Half", "login": one.login}
    assert error_of(await patch(api, admin, two.id, **half)) == (409, "login_taken")
    assert error_of(await patch(api, admin, two.id, email=one.email)) == (409, "email_taken")
    detail = (await api.http.get(f"{USERS}/{two.id}", headers=admin.bearer)).json()
    assert (detail["login"], detail["email"], detail["full_name"]) == (two.login, two.email, None)
    assert await letters(api, two.email) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reason": "none"},
        {"is_active": False},
        {"is_active": None, "reason": "why"},
        {"login": None},
        {"email": "x"},
    ],
)
async def test_a_change_says_what_and_disabling_says_why(api: Api, changes: dict[str, Any]) -> None:
    _, admin = await api.as_role("admin")
    account = await api.create_user()
    assert error_of(await patch(api, admin, account.id, **changes)) == (422, "validation_error")


async def test_disabled_and_enabled_again_by_an_admin(api: Api) -> None:
    _, admin = await api.as_role("admin")
    account = await api.create_user("subscriber")
    held = await patterns_of(api, admin, account.id)
    assert (await patch(api, admin, account.id, is_active=False, reason="fraud")).json()["is_active"] is False
    assert await patterns_of(api, admin, account.id) == set()
    assert (await patch(api, admin, account.id, is_active=True, reason="an error")).json()["is_active"] is True
    assert await patterns_of(api, admin, account.id) == held


@pytest.mark.long
async def test_the_command_takes_the_same_filters_and_fits_on_80_columns(api: Api) -> None:
    command = Command(api.resources.settings)
    mark = unique("listed")
    account = await api.create_user("subscriber", login=f"{mark}on")
    await api.create_user(login=f"{mark}off", active=False)

    async def logins(*options: str) -> set[str]:
        return {row["login"] for row in (await command("users", "list", "--search", mark, "--json", *options)).rows}

    assert await logins("--disabled") == {f"{mark}off"}
    assert await logins("--active", "--unverified", "--no-mfa", "--role", "subscriber") == {f"{mark}on"}
    assert await logins("--since", "2999-01-01T00:00:00Z") == set()
    assert await logins("--until", "2999-01-01T00:00:00Z") == {f"{mark}on", f"{mark}off"}
    assert "zone" in await command.refuses("users", "list", "--since", "yesterday")
    shown = await asyncio.to_thread(at_a_terminal, command.environment, "users", "list", "--search", mark)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80, shown
    assert str(account.id) in shown
    assert f"{account.login} " in shown


def at_a_terminal(environment: dict[str, str], *arguments: str) -> str:
    """What the command shows on 80 columns."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen:
        finished = subprocess.run(
            [sys.executable, "-m", "auth_service", *arguments],
            env={**os.environ, **environment, "COLUMNS": "80", "TERM": "dumb"},
            stdout=theirs,
            check=False,
        )
        shown = screen.read(64 * 1024).decode()
    os.close(theirs)
    assert finished.returncode == 0, shown
    return shown
