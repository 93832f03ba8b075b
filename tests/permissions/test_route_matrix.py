"""RBAC-8: who may call what, in one table; a route without a row here fails."""

from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI

from auth_service.config import Environment, Settings
from auth_service.permissions.codes import OWN_CODES
from tests.conftest import Fresh
from tests.support.access import create_role, grant
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, unique

ACTORS = ("anonymous", "viewer", "moderator", "content-manager", "admin", "superuser", "service")

# One status for each actor, in the order of ACTORS. Where a call is let in, its arguments are such that nothing
# that others need is changed: what does not exist (404), what is built in (409), or something of the caller's own.
EVERYONE = "{0} {0} {0} {0} {0} {0} {0}"
USERS = "401 {0} {0} {0} {0} {0} 401"
CALLERS = "401 {0} {0} {0} {0} {0} 403"
ADMINS = "401 403 403 403 {0} {0} 403"
READERS = "401 403 {0} 403 {0} {0} 403"  # moderators too
TABLE: dict[tuple[str, str], str] = {
    ("GET", "/health/live"): EVERYONE.format(200),
    ("GET", "/health/ready"): EVERYONE.format(200),
    ("GET", "/.well-known/jwks.json"): EVERYONE.format(200),
    ("POST", f"{V1}/auth/register"): EVERYONE.format(201),
    ("POST", f"{V1}/auth/login"): EVERYONE.format(200),
    ("POST", f"{V1}/auth/refresh"): EVERYONE.format(200),
    ("POST", f"{V1}/auth/logout"): EVERYONE.format(204),
    ("POST", f"{V1}/auth/token"): EVERYONE.format(401),  # with a wrong secret
    ("POST", f"{V1}/auth/logout-others"): USERS.format(204),
    ("POST", f"{V1}/auth/logout-all"): USERS.format(204),
    ("GET", f"{V1}/users/me"): USERS.format(200),
    ("PATCH", f"{V1}/users/me"): USERS.format(200),
    ("DELETE", f"{V1}/users/me"): USERS.format(403),  # with a wrong password
    ("POST", f"{V1}/users/me/delete"): USERS.format(403),
    ("POST", f"{V1}/users/me/password"): USERS.format(204),
    ("POST", f"{V1}/users/me/login"): USERS.format(200),
    ("GET", f"{V1}/users/me/login-history"): USERS.format(200),
    ("GET", f"{V1}/admin/users/{{user_id}}/login-history"): ADMINS.format(200),
    ("GET", f"{V1}/admin/events"): ADMINS.format(200),
    ("POST", f"{V1}/permissions/check"): CALLERS.format(200),  # without user_id: about oneself
    ("POST", f"{V1}/permissions/check/batch"): CALLERS.format(200),
    ("POST", f"{V1}/permissions/check of another"): "401 403 403 403 200 200 200",
    ("POST", f"{V1}/permissions/check/batch of another"): "401 403 403 403 200 200 200",
    ("GET", f"{V1}/users/{{user_id}}/permissions"): ADMINS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/permissions of oneself"): CALLERS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/roles"): ADMINS.format(200),
    ("GET", f"{V1}/users/{{user_id}}/roles of oneself"): CALLERS.format(200),
    ("PUT", f"{V1}/users/{{user_id}}/roles/{{name}}"): ADMINS.format(404),
    ("DELETE", f"{V1}/users/{{user_id}}/roles/{{name}}"): ADMINS.format(404),
    ("GET", f"{V1}/permissions"): ADMINS.format(200),
    ("POST", f"{V1}/permissions"): ADMINS.format(409),
    ("GET", f"{V1}/permissions/{{code}}"): ADMINS.format(200),
    ("PATCH", f"{V1}/permissions/{{code}}"): ADMINS.format(200),
    ("DELETE", f"{V1}/permissions/{{code}}"): ADMINS.format(409),
    ("GET", f"{V1}/roles"): ADMINS.format(200),
    ("POST", f"{V1}/roles"): ADMINS.format(409),
    ("GET", f"{V1}/roles/{{name}}"): ADMINS.format(404),
    ("PATCH", f"{V1}/roles/{{name}}"): ADMINS.format(404),
    ("DELETE", f"{V1}/roles/{{name}}"): ADMINS.format(404),
    ("POST", f"{V1}/auth/login/mfa"): EVERYONE.format(401),  # with a challenge that nobody gave
    ("GET", f"{V1}/mfa"): USERS.format(200),
    ("POST", f"{V1}/mfa/totp"): USERS.format(403),  # with a wrong password, here and below
    ("POST", f"{V1}/mfa/totp/confirm"): USERS.format(409),  # of nothing that was started
    ("DELETE", f"{V1}/mfa/totp"): USERS.format(403),
    ("POST", f"{V1}/mfa/totp/disable"): USERS.format(403),
    ("POST", f"{V1}/mfa/recovery-codes"): USERS.format(403),
    ("POST", f"{V1}/admin/users/{{user_id}}/reset-mfa"): ADMINS.format(409),  # of nothing that is set up
    ("POST", f"{V1}/auth/password/forgot"): EVERYONE.format(202),
    ("POST", f"{V1}/auth/password/reset"): EVERYONE.format(401),  # with a token that nobody mailed, here and below
    ("POST", f"{V1}/auth/email/confirm"): EVERYONE.format(401),
    ("POST", f"{V1}/users/me/email/verify"): USERS.format(202),
    ("POST", f"{V1}/users/me/email"): USERS.format(403),  # with a wrong password
    ("DELETE", f"{V1}/users/me/email"): USERS.format(204),
    ("GET", f"{V1}/users/me/export"): USERS.format(200),
    ("POST", f"{V1}/admin/users/{{user_id}}/send-password-reset"): ADMINS.format(202),
    ("GET", f"{V1}/auth/csrf"): USERS.format(200),
    ("GET", f"{V1}/auth/verify"): "401 200 200 200 200 200 200",  # without a permission: who is calling
    ("POST", f"{V1}/auth/step-up"): USERS.format(403),  # with a wrong password
    ("GET", f"{V1}/users/me/sessions"): USERS.format(200),
    ("DELETE", f"{V1}/users/me/sessions/{{session_id}}"): USERS.format(404),
    ("GET", f"{V1}/users/me/devices"): USERS.format(200),
    ("PATCH", f"{V1}/users/me/devices/{{device_id}}"): USERS.format(404),
    ("DELETE", f"{V1}/users/me/devices/{{device_id}}"): USERS.format(404),
    ("GET", f"{V1}/admin/users/{{user_id}}/sessions"): ADMINS.format(200),
    ("DELETE", f"{V1}/admin/users/{{user_id}}/sessions/{{session_id}}"): ADMINS.format(404),
    ("POST", f"{V1}/admin/users/{{user_id}}/logout-all"): ADMINS.format(204),
    ("POST", f"{V1}/admin/users/{{user_id}}/unlock"): ADMINS.format(204),
    ("GET", f"{V1}/admin/users"): READERS.format(200),
    ("POST", f"{V1}/admin/users"): ADMINS.format(409),
    ("GET", f"{V1}/admin/users/{{user_id}}"): READERS.format(200),
    ("PATCH", f"{V1}/admin/users/{{user_id}}"): ADMINS.format(200),
    ("DELETE", f"{V1}/admin/users/{{user_id}} of nobody"): ADMINS.format(404),
    ("POST", f"{V1}/admin/users/{{user_id}}/delete of nobody"): ADMINS.format(404),
    ("GET", f"{V1}/admin/audit"): ADMINS.format(200),
    ("GET", f"{V1}/services"): ADMINS.format(200),
    ("POST", f"{V1}/services"): ADMINS.format(201),
    ("POST", f"{V1}/services/{{service_id}}/secrets"): ADMINS.format(404),
    ("DELETE", f"{V1}/services/{{service_id}}"): ADMINS.format(404),
    ("GET", f"{V1}/admin/webhooks"): ADMINS.format(200),
    ("POST", f"{V1}/admin/webhooks"): ADMINS.format(422),  # to an address inside
    ("GET", f"{V1}/admin/webhooks/{{webhook_id}}"): ADMINS.format(404),
    ("PATCH", f"{V1}/admin/webhooks/{{webhook_id}}"): ADMINS.format(404),
    ("DELETE", f"{V1}/admin/webhooks/{{webhook_id}}"): ADMINS.format(404),
    ("POST", f"{V1}/admin/webhooks/{{webhook_id}}/secrets"): ADMINS.format(404),
    ("POST", f"{V1}/admin/webhooks/{{webhook_id}}/test"): ADMINS.format(404),
    ("GET", f"{V1}/admin/webhooks/{{webhook_id}}/deliveries"): ADMINS.format(404),
}

NOBODY = "01980000-0000-7000-8000-000000000000"
PATHS = {
    "code": "films:read",
    "name": "unheard-of",
    "service_id": NOBODY,
    "session_id": NOBODY,
    "device_id": NOBODY,
    "webhook_id": NOBODY,
}


@dataclass(frozen=True)
class Actor:
    """`account` for users; `headers` authorise them and services."""

    headers: dict[str, str]
    account: Account | None = None
    tokens: Tokens | None = None


def routes(app: FastAPI) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}


def plain(path: str) -> str:
    """Without the remark that tells two rows of one route apart."""
    return path.partition(" ")[0]


def test_rbac_8_every_route_has_a_row_and_every_row_a_route(app: FastAPI) -> None:
    assert {(method, plain(path)) for method, path in TABLE} == routes(app)
    assert all(len(row.split()) == len(ACTORS) for row in TABLE.values())


async def test_rbac_8_production_serves_no_documents(api: Api, fresh: Fresh, shared_settings: Settings) -> None:
    production = await fresh.on(shared_settings.model_copy(update={"app_env": Environment.PRODUCTION}))
    for document in ("/auth/docs", "/auth/redoc", "/auth/openapi.json"):
        assert (await api.http.get(document)).status_code == 200
        assert (await production.http.get(document)).status_code == 404


async def actor_for(api: Api, name: str, admin: Tokens) -> Actor:
    """A new one each time: some calls end the session or change the account."""
    if name == "anonymous":
        return Actor({})
    if name == "service":
        return Actor(await api.service_token(*await api.create_service(admin, ["permissions:check"])))
    account = await api.create_user(name)
    tokens = await api.log_in(account)
    return Actor(tokens.bearer, account, tokens)


async def body_for(api: Api, method: str, path: str, actor: Actor, other: Account) -> dict[str, Any] | None:
    route = path.removeprefix(V1)
    fixed: dict[tuple[str, str], dict[str, Any]] = {
        ("POST", "/auth/login"): {"login": other.login, "password": PASSWORD},
        ("POST", "/auth/token"): {"grant_type": "client_credentials", "client_id": NOBODY, "client_secret": "wrong"},
        ("POST", "/auth/logout"): {},
        ("POST", "/auth/login/mfa"): {"challenge": "junk", "code": "000000"},
        ("POST", "/mfa/totp"): {"current_password": "not the password"},
        ("POST", "/mfa/totp/confirm"): {"code": "000000"},
        ("DELETE", "/mfa/totp"): {"current_password": "not the password", "code": "000000"},
        ("POST", "/mfa/totp/disable"): {"current_password": "not the password", "code": "000000"},
        ("POST", "/mfa/recovery-codes"): {"current_password": "not the password", "code": "000000"},
        ("POST", "/admin/users/{user_id}/reset-mfa"): {"reason": "lost the phone"},
        ("POST", "/auth/password/forgot"): {"email": other.email},
        ("POST", "/auth/password/reset"): {"token": "junk", "new_password": PASSWORD + "2"},
        ("POST", "/auth/email/confirm"): {"token": "junk"},
        ("POST", "/users/me/email"): {"email": "new@example.com", "current_password": "not the password"},
        ("POST", "/auth/step-up"): {"current_password": "not the password"},
        ("PATCH", "/users/me/devices/{device_id}"): {"name": "Kitchen"},
        ("POST", "/admin/users"): {"login": other.login, "email": other.email},
        ("PATCH", "/admin/users/{user_id}"): {"full_name": "Someone"},
        ("DELETE", "/admin/users/{user_id} of nobody"): {"reason": "asked for it"},
        ("POST", "/admin/users/{user_id}/delete of nobody"): {"reason": "asked for it"},
        ("PATCH", "/users/me"): {"full_name": "Someone"},
        ("DELETE", "/users/me"): {"current_password": "not the password"},
        ("POST", "/users/me/delete"): {"current_password": "not the password"},
        ("POST", "/users/me/password"): {"current_password": PASSWORD, "new_password": PASSWORD + "2"},
        ("POST", "/users/me/login"): {"current_password": PASSWORD, "login": unique("renamed")},
        ("POST", "/permissions/check"): {"permission": "films:read"},
        ("POST", "/permissions/check/batch"): {"checks": [{"permission": "films:read"}]},
        ("POST", "/permissions"): {"code": "films:read", "title": "x"},
        ("PATCH", "/permissions/{code}"): {"title": "See films and their pages"},
        ("POST", "/roles"): {"name": "guest", "title": "x"},
        ("PATCH", "/roles/{name}"): {"title": "x"},
        ("PUT", "/users/{user_id}/roles/{name}"): {},
        ("POST", "/services"): {"name": unique("service")},
        ("POST", "/services/{service_id}/secrets"): {},
        ("POST", "/admin/webhooks"): {"url": "https://127.0.0.1/"},
        ("PATCH", "/admin/webhooks/{webhook_id}"): {"description": "x"},
    }
    if (method, route) in fixed:
        return fixed[method, route]
    if route == "/auth/register":
        login = unique("new")
        return {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    if route == "/auth/refresh":
        return {"refresh_token": (actor.tokens or await api.log_in(other)).refresh}
    about_other = {"permission": "films:read", "user_id": str(other.id)}
    if route.endswith("check of another"):
        return about_other
    if route.endswith("batch of another"):
        return {"checks": [about_other]}
    return None


# These end the caller's session, change its account, or ask for a login of the last minutes.
ONCE = {
    "/auth/refresh",
    "/auth/logout",
    "/auth/logout-others",
    "/auth/logout-all",
    "/users/me/password",
    "/users/me/sessions/{session_id}",
    "/users/me/devices/{device_id}",
}


@pytest.fixture(scope="module")
async def other(api: Api) -> Account:
    return await api.create_user()


@pytest.fixture(scope="module")
async def cast(api: Api) -> dict[str, Actor]:
    """One of each, for the calls that leave them as they are."""
    _, admin = await api.as_role("admin")
    return {name: await actor_for(api, name, admin) for name in ACTORS}


@pytest.mark.parametrize(("method", "path"), TABLE, ids=lambda part: part.replace(V1, "").replace(" ", "_"))
async def test_rbac_8_cell(api: Api, other: Account, cast: dict[str, Actor], method: str, path: str) -> None:
    found = []
    for name in ACTORS:
        actor = cast[name]
        if path.removeprefix(V1) in ONCE and actor.tokens is not None:
            actor = await actor_for(api, name, actor.tokens)
        me = actor.account.id if actor.account else other.id
        user_id = {"of oneself": me, "of nobody": NOBODY}.get(path.partition(" ")[2], other.id)
        url = plain(path).format(user_id=user_id, **PATHS)
        body = await body_for(api, method, path, actor, other)
        # A service ends its token there, which the other rows still need.
        headers = {} if (name, path) == ("service", f"{V1}/auth/logout") else actor.headers
        response = await api.http.request(method, url, json=body, headers=headers)
        found.append(str(response.status_code))
        if response.status_code in {401, 403}:
            assert error_of(response)[0] == response.status_code
    assert " ".join(found) == TABLE[method, path], ACTORS


@pytest.mark.parametrize(("method", "path"), [row for row in TABLE if "{user_id}" in row[1]], ids=str)
async def test_rbac_8_strangers_learn_of_no_account_whether_it_is_there(
    api: Api, other: Account, cast: dict[str, Actor], method: str, path: str
) -> None:
    """By no name of it: who may not make the call is refused before anybody looks."""
    names = (other.login, other.email, unique("nobody"), f"{unique('nobody')}@example.com", NOBODY, "junk!", "me")
    for name in names:
        url = plain(path).format(user_id=name, **PATHS)
        assert (await api.http.request(method, url, json={})).status_code == 401, name
        refused = await api.http.request(method, url, json={}, headers=cast["viewer"].headers)
        assert error_of(refused) == (403, "permission_denied"), name
        assert name not in refused.text


@pytest.mark.parametrize("path", ["/roles/junk%20name", "/services/junk", "/services/junk!", "/admin/webhooks/junk"])
async def test_rbac_8_strangers_learn_nothing_from_the_shape_of_a_name(
    api: Api, cast: dict[str, Actor], path: str
) -> None:
    """And who may make the call learns that nothing is there."""
    for name, expected in (("anonymous", 401), ("viewer", 403), ("superuser", 404)):
        answer = await api.http.delete(f"{V1}{path}", headers=cast[name].headers)
        assert answer.status_code == expected, (name, answer.text)


GUARDS = {
    "audit:read": [
        ("GET", "/admin/audit"),
        ("GET", "/admin/events"),
        ("GET", "/admin/users/{0}/login-history"),
        ("GET", "/admin/users/{0}/sessions"),
    ],
    "roles:read": [
        ("GET", "/roles"),
        ("GET", "/roles/guest"),
        ("GET", "/users/{0}/roles"),
        ("GET", "/users/{0}/permissions"),
    ],
    "roles:write": [("POST", "/roles"), ("PATCH", "/roles/unheard-of"), ("DELETE", "/roles/unheard-of")],
    "roles:grant": [("PUT", "/users/{0}/roles/unheard-of"), ("DELETE", "/users/{0}/roles/unheard-of")],
    "permissions:read": [("GET", "/permissions"), ("GET", "/permissions/films:read")],
    "permissions:write": [("POST", "/permissions"), ("PATCH", "/permissions/a:b"), ("DELETE", "/permissions/a:b")],
    "permissions:check": [("POST", "/permissions/check")],
    "services:read": [("GET", "/services")],
    "services:write": [
        ("POST", "/services"),
        ("POST", f"/services/{NOBODY}/secrets"),
        ("DELETE", f"/services/{NOBODY}"),
    ],
    "webhooks:read": [
        ("GET", "/admin/webhooks"),
        ("GET", f"/admin/webhooks/{NOBODY}"),
        ("GET", f"/admin/webhooks/{NOBODY}/deliveries"),
    ],
    "webhooks:write": [
        ("POST", "/admin/webhooks"),
        ("PATCH", f"/admin/webhooks/{NOBODY}"),
        ("DELETE", f"/admin/webhooks/{NOBODY}"),
        ("POST", f"/admin/webhooks/{NOBODY}/secrets"),
        ("POST", f"/admin/webhooks/{NOBODY}/test"),
    ],
    "users:read": [("GET", "/admin/users"), ("GET", "/admin/users/{0}")],
    "users:delete": [("DELETE", f"/admin/users/{NOBODY}"), ("POST", f"/admin/users/{NOBODY}/delete")],
    "users:write": [
        ("POST", "/admin/users"),
        ("PATCH", "/admin/users/{0}"),
        ("POST", "/admin/users/{0}/reset-mfa"),
        ("POST", "/admin/users/{0}/send-password-reset"),
        ("POST", "/admin/users/{0}/logout-all"),
        ("POST", "/admin/users/{0}/unlock"),
        ("DELETE", f"/admin/users/{{0}}/sessions/{NOBODY}"),
    ],
}
GUARD_BODIES: dict[str, dict[str, Any]] = {
    "/roles": {"name": "guest", "title": "x"},
    "/permissions": {"code": "films:read", "title": "x"},
    "/permissions/check": {"permission": "films:read"},
    "/admin/webhooks": {"url": "https://127.0.0.1/"},
    "/services": {"name": "unheard-of", "scopes": ["films:publish"]},
    "/admin/users/{0}/reset-mfa": {"reason": "lost the phone"},
    "/admin/users/{0}": {"full_name": "Someone"},
    f"/admin/users/{NOBODY}": {"reason": "asked for it"},
    f"/admin/users/{NOBODY}/delete": {"reason": "asked for it"},
}


def test_what_the_routes_ask_for_cannot_be_deleted() -> None:
    assert set(GUARDS) == OWN_CODES


@pytest.mark.parametrize("missing", GUARDS)
async def test_rbac_8_each_route_asks_for_its_own_permission(api: Api, other: Account, missing: str) -> None:
    """Somebody with all of them but one is refused where that one is asked for, and nowhere else."""
    _, root = await api.as_role("superuser")
    account, tokens = await api.as_role()
    await grant(api, root, account.id, await create_role(api, root, *(code for code in GUARDS if code != missing)))
    for code, calls in GUARDS.items():
        for method, path in calls:
            body = GUARD_BODIES.get(path, {}) if method != "GET" else None
            if path == "/permissions/check":
                body = GUARD_BODIES[path] | {"user_id": str(other.id)}
            url = V1 + path.format(other.id)
            response = await api.http.request(method, url, json=body, headers=tokens.bearer)
            denied = response.status_code == 403 and response.json()["error"] == "permission_denied"
            assert denied is (code == missing), (method, path, response.text)


async def test_rbac_8_body_is_not_judged_before_the_caller(api: Api) -> None:
    _, viewer = await api.as_role()
    for url in ("/roles", "/permissions", "/services"):
        assert (await api.http.post(f"{V1}{url}", json={"junk": 1})).status_code == 401
        assert (await api.http.post(f"{V1}{url}", json={"junk": 1}, headers=viewer.bearer)).status_code == 403


async def test_sec_3_a_new_deployment_has_no_account(fresh: Fresh) -> None:
    api = await fresh.api()
    assert await api.resources.hot.fetchval("SELECT count(*) FROM users") == 0
    for login in ("admin", "root", "superuser", "administrator", "auth", "test", "demo", "cinema", "user", "guest"):
        for password in (login, "demo-admin-password"):
            response = await api.http.post(f"{V1}/auth/login", json={"login": login, "password": password})
            assert error_of(response) == (401, "invalid_credentials")
