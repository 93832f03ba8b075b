"""RBAC-8: who may call what, in one table; a route without a row here fails."""

from typing import Any

import pytest
from fastapi import FastAPI

from auth_service.config import Environment, Settings
from auth_service.permissions.codes import OWN_CODES
from tests.conftest import Fresh
from tests.support.access import create_role, grant
from tests.support.api import V1, Account, Api, Tokens, error_of, unique
from tests.support.route_table import ACTORS, NOBODY, ONCE, PATHS, STREAMS, TABLE, Actor, body_for, plain


def routes(app: FastAPI) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}


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
        response = await api.http.request("HEAD" if path in STREAMS else method, url, json=body, headers=headers)
        found.append(str(response.status_code))
        if response.status_code in {401, 403} and path not in STREAMS:
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


LISTS_OF_PEOPLE = [("GET", "/permissions/films:read/users"), ("GET", "/grants")]  # two guards
PEOPLE_OF_A_ROW = ("GET", "/admin/audit/999999999/people")
GUARDS = {
    "audit:read": [
        ("GET", "/admin/audit"),
        PEOPLE_OF_A_ROW,
        ("GET", "/admin/events"),
        ("GET", "/admin/users/{0}/login-history"),
        ("GET", "/admin/users/{0}/sessions"),
    ],
    "roles:read": [
        ("GET", "/roles"),
        ("GET", "/roles/guest"),
        ("GET", "/users/{0}/roles"),
        ("GET", "/users/{0}/permissions"),
        ("GET", "/users/{0}/permissions/films:read"),
        *LISTS_OF_PEOPLE,
        PEOPLE_OF_A_ROW,
        ("GET", "/grants/jobs"),
        ("GET", f"/grants/jobs/{NOBODY}"),
        ("GET", f"/grants/jobs/{NOBODY}/rows"),
    ],
    "roles:write": [("POST", "/roles"), ("PATCH", "/roles/unheard-of"), ("DELETE", "/roles/unheard-of")],
    "roles:grant": [
        ("PUT", "/users/{0}/roles/unheard-of"),
        ("DELETE", "/users/{0}/roles/unheard-of"),
        ("POST", "/grants/jobs"),
        ("POST", f"/grants/jobs/{NOBODY}/cancel"),
    ],
    "permissions:read": [("GET", "/permissions"), ("GET", "/permissions/films:read")],
    "permissions:write": [("POST", "/permissions"), ("PATCH", "/permissions/a:b"), ("DELETE", "/permissions/a:b")],
    "permissions:check": [("POST", "/permissions/check")],
    "tokens:introspect": [("POST", "/auth/introspect")],
    "changes:read": [("HEAD", "/changes")],  # a GET goes on
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
    "users:read": [("GET", "/admin/users"), ("GET", "/admin/users/{0}"), *LISTS_OF_PEOPLE, PEOPLE_OF_A_ROW],
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
    "/auth/introspect": {"token": "junk"},
    "/grants/jobs": {"role": "unheard-of", "users": [NOBODY]},
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
    for calls in GUARDS.values():
        for method, path in calls:
            body = GUARD_BODIES.get(path, {}) if method not in {"GET", "HEAD"} else None
            if path == "/permissions/check":
                body = GUARD_BODIES[path] | {"user_id": str(other.id)}
            url = V1 + path.format(other.id)
            response = await api.http.request(method, url, json=body, headers=tokens.bearer)
            denied = response.status_code == 403 and (
                method == "HEAD" or response.json()["error"] == "permission_denied"
            )
            assert denied is ((method, path) in GUARDS[missing]), (method, path, response.text)


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
