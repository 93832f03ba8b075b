"""One's own account, and that it is nobody else's."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from auth_service.config import Settings
from auth_service.core.http.authzen_rules import is_authzen
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Api, Tokens, error_of, tokens_of, unique

ME = f"{V1}/users/me"
NEW_PASSWORD = "another correct horse"


async def delete_me(api: Api, tokens: Tokens, password: str) -> httpx.Response:
    return await api.http.request("DELETE", ME, json={"current_password": password}, headers=tokens.bearer)


async def change_password(api: Api, tokens: Tokens, current: str, new: str = NEW_PASSWORD) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return await api.http.post(f"{ME}/password", json=body, headers=tokens.bearer)


async def change_login(api: Api, tokens: Tokens, login: str, current: str = PASSWORD) -> httpx.Response:
    body = {"current_password": current, "login": login}
    return await api.http.post(f"{ME}/login", json=body, headers=tokens.bearer)


async def try_login(api: Api, login: str, password: str) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/login", json={"login": login, "password": password})


async def test_profile_is_read_and_changed(api: Api) -> None:
    account, tokens = await api.as_role()
    shown = (await api.me(tokens)).json()
    fields = {"id", "login", "email", "email_verified", "full_name", "is_active", "created_at", "updated_at"}
    assert shown.keys() == fields
    assert (shown["id"], shown["login"], shown["email"]) == (str(account.id), account.login, account.email)
    for body, name in (({"full_name": "Анна К."}, "Анна К."), ({}, "Анна К."), ({"full_name": None}, None)):
        changed = await api.http.patch(ME, json=body, headers=tokens.bearer)
        assert (changed.status_code, changed.json()["full_name"]) == (200, name)
    assert (await api.me(tokens)).json()["updated_at"] > shown["updated_at"]


@pytest.mark.parametrize(
    "body", [{"full_name": ""}, {"full_name": "x" * 201}, {"full_name": 1}, {"full_name": "a\tb"}, {"email": "a@b.cd"}]
)
async def test_wrong_profiles_are_422(api: Api, body: dict[str, Any]) -> None:
    _, tokens = await api.as_role()
    response = await api.http.patch(ME, json=body, headers=tokens.bearer)
    assert response.status_code == (400 if body.get("full_name") == "a\tb" else 422)


async def test_login_name_can_be_changed_with_the_password(api: Api) -> None:
    account, tokens = await api.as_role()
    other = await api.create_user()
    login = unique("Renamed")
    assert error_of(await change_login(api, tokens, login, "wrong password")) == (403, "wrong_password")
    assert error_of(await change_login(api, tokens, other.login.upper())) == (409, "login_taken")
    assert error_of(await change_login(api, tokens, "no spaces")) == (422, "validation_error")
    changed = await change_login(api, tokens, login)
    assert (changed.status_code, changed.json()["login"]) == (200, login)
    assert (await try_login(api, login.lower(), PASSWORD)).status_code == 200
    assert error_of(await try_login(api, account.login, PASSWORD)) == (401, "invalid_credentials")
    assert (await change_login(api, tokens, login.upper())).status_code == 200  # only its spelling


async def test_a_login_name_wanted_by_many_goes_to_one(api: Api) -> None:
    people = [(await api.as_role())[1] for _ in range(4)]
    login = unique("wanted")
    answers = await asyncio.gather(*(change_login(api, tokens, login) for tokens in people))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_pwd_7_other_sessions_end_at_once_on_every_replica_and_this_one_stays(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    replica = await fresh.on(shared_settings)
    account, here = await api.as_role()
    elsewhere = [await api.log_in(account), await replica.log_in(account)]
    assert (await change_password(api, here, PASSWORD)).status_code == 204
    for app in (api, replica):
        assert (await app.me(here)).status_code == 200
        for tokens in elsewhere:
            assert error_of(await app.me(tokens)) == (401, "not_authenticated")
            assert error_of(await app.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
    assert (await replica.me(tokens_of(await replica.refresh(here.refresh)))).status_code == 200
    assert error_of(await try_login(api, account.login, PASSWORD)) == (401, "invalid_credentials")
    assert (await try_login(api, account.login, NEW_PASSWORD)).status_code == 200


async def test_pwd_7_change_needs_the_current_password(api: Api) -> None:
    account, tokens = await api.as_role()
    other_session = await api.log_in(account)
    for wrong in ("wrong password", PASSWORD + " ", PASSWORD.upper(), NEW_PASSWORD):
        assert error_of(await change_password(api, tokens, wrong)) == (403, "wrong_password")
    assert (await api.me(other_session)).status_code == 200
    assert (await try_login(api, account.login, PASSWORD)).status_code == 200
    missing = await api.http.post(f"{ME}/password", json={"new_password": NEW_PASSWORD}, headers=tokens.bearer)
    assert error_of(missing) == (422, "validation_error")


@pytest.mark.parametrize("new", ["short77", "x" * 257, "", None, 12345678])
async def test_pwd_1_a_new_password_keeps_the_rules(api: Api, new: Any) -> None:
    _, tokens = await api.as_role()
    assert error_of(await change_password(api, tokens, PASSWORD, new)) == (422, "validation_error")


async def test_two_changes_at_once_leave_one_password_that_works(api: Api) -> None:
    account, tokens = await api.as_role()
    new = [f"{NEW_PASSWORD} {number}" for number in range(2)]
    answers = await asyncio.gather(*(change_password(api, tokens, PASSWORD, password) for password in new))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {204, 403, 409}
    assert statuses.count(204) == 1
    for password, status in zip(new, statuses, strict=True):
        assert (await try_login(api, account.login, password)).status_code == (200 if status == 204 else 401)


async def test_log_5_wrong_passwords_share_one_budget_with_the_login(fresh: Fresh) -> None:
    """Whoever holds a stolen access token may not guess the password by the other routes.

    A session's routes and the logins from its device are one budget; strangers have another one (LOG-4).
    """
    api = await fresh.api(login_failure_limit=6)
    account, tokens = await api.as_role()
    for _ in range(2):
        assert error_of(await change_password(api, tokens, "wrong password"))[0] == 403
        assert error_of(await change_login(api, tokens, unique("renamed"), "wrong password"))[0] == 403
        assert error_of(await delete_me(api, tokens, "wrong password"))[0] == 403
    # The budget is used up: now the right one is refused too, everywhere, and nothing says why.
    assert error_of(await change_password(api, tokens, PASSWORD)) == (403, "wrong_password")
    assert error_of(await delete_me(api, tokens, PASSWORD)) == (403, "wrong_password")
    from_the_device = {"login": account.login, "password": PASSWORD, "device_token": tokens.device_token}
    assert error_of(await api.http.post(f"{V1}/auth/login", json=from_the_device)) == (401, "invalid_credentials")
    assert (await try_login(api, account.login, PASSWORD)).status_code == 200, "a stranger's budget is another one"
    assert error_of(await delete_me(api, tokens, PASSWORD)) == (403, "wrong_password"), (
        "and gives the device's not back"
    )
    assert (await api.me(tokens)).status_code == 200


async def test_an_account_is_deleted_for_good(api: Api) -> None:
    account, tokens = await api.as_role()
    other_session = await api.log_in(account)
    _, admin = await api.as_role("admin")
    assert error_of(await delete_me(api, tokens, "wrong password")) == (403, "wrong_password")
    assert (await delete_me(api, tokens, PASSWORD)).status_code == 204
    for dead in (tokens, other_session):
        assert error_of(await api.me(dead)) == (401, "not_authenticated")
        assert error_of(await api.refresh(dead.refresh)) == (401, "invalid_refresh_token")
        assert error_of(await delete_me(api, dead, PASSWORD))[0] == 401
    assert error_of(await try_login(api, account.login, PASSWORD)) == (401, "invalid_credentials")
    assert await api.check(admin, "films:read", account.id) == {"allowed": False, "reason": "no_grant"}
    for table in ("sessions", "user_roles", "login_history"):
        query = f"SELECT count(*) FROM {table} WHERE user_id = $1"  # noqa: S608
        assert await api.resources.hot.fetchval(query, account.id) == 0
    again = {"login": account.login, "email": account.email, "password": PASSWORD}
    registered = await api.http.post(f"{V1}/auth/register", json=again)
    assert registered.status_code == 201
    assert registered.json()["id"] != str(account.id)
    assert error_of(await api.me(tokens))[0] == 401


# --- REG-5: what a client may not set. ---

UNHEARD_OF: dict[str, UUID | int] = {
    **{name: uuid4() for name in ("service_id", "session_id", "device_id", "webhook_id", "job_id")},
    "row": 999_999_999,
}


def resolve(app: FastAPI, schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = app.openapi()["components"]["schemas"][name]
    for option in schema.get("anyOf", []):
        if "$ref" in option:
            return resolve(app, option)
    return schema


def json_routes(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, body schema) of all that takes a JSON body by a model."""
    found = []
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                found.append((method.upper(), path, resolve(app, content["application/json"]["schema"])))
    return found


def answer_fields(app: FastAPI) -> set[str]:
    """Every field of every answer, and what other services have been attacked with."""
    schemas = app.openapi()["components"]["schemas"]
    names = {field for schema in schemas.values() for field in schema.get("properties", {})}
    return names | {
        "is_superuser",
        "email_verified",
        "roles",
        "role",
        "epoch",
        "password_hash",
        "login_key",
        "__proto__",
    }


def example(app: FastAPI, schema: dict[str, Any]) -> Any:
    """Any value of about the right shape: an extra field is refused whatever the rest is."""
    schema = resolve(app, schema)
    kind = schema.get("type")
    if kind == "object":
        return {name: example(app, schema["properties"][name]) for name in schema.get("required", [])}
    return {"array": [], "boolean": True, "integer": 1}.get(str(kind), "films:read")


async def test_reg_5_unknown_and_privileged_fields_are_refused_on_every_route(api: Api, app: FastAPI) -> None:
    _, root = await api.as_role("superuser")
    tried = 0
    for method, path, schema in json_routes(app):
        # RFC 6749 section 3.2 and AuthZEN want them ignored: tests/edge/test_hostile_input.py, tests/standards
        if path in OAUTH_PATHS or is_authzen(path):
            continue
        assert schema["additionalProperties"] is False, path
        url = path.format_map(UNHEARD_OF | {"user_id": uuid4(), "name": "unheard-of", "code": "unheard:of"})
        body = example(app, schema)
        fields = sorted(answer_fields(app) - schema["properties"].keys())
        tried += len(fields)
        # All of them in one body: the answer has a line for each that is refused.
        everything = body | dict.fromkeys(fields, True)
        response = await api.http.request(method, url, json=everything, headers=root.bearer)
        assert error_of(response) == (422, "validation_error"), (method, path)
        refused = [item["field"] for item in response.json()["fields"] if item["type"] == "extra_forbidden"]
        shown = (field if len(field) <= 40 else "?" for field in fields)
        assert sorted(refused) == sorted(f"body.{field}" for field in shown), (method, path)
    assert tried > 300


async def test_reg_5_privileged_fields_at_registration_have_no_effect(api: Api) -> None:
    login = unique("climber")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    extras: list[dict[str, Any]] = [
        {"roles": ["admin"]},
        {"is_superuser": True},
        {"id": str(uuid4())},
        {"is_active": True},
    ]
    for extra in extras:
        assert error_of(await api.http.post(f"{V1}/auth/register", json=body | extra)) == (422, "validation_error")
    # In the query and by a second content type neither.
    sent = await api.http.post(f"{V1}/auth/register?is_superuser=true&roles=admin", json=body)
    assert sent.status_code == 201
    tokens = tokens_of(await try_login(api, login, PASSWORD))
    roles = await api.http.get(f"{V1}/users/{sent.json()['id']}/roles", headers=tokens.bearer)
    assert [item["role"] for item in roles.json()] == ["viewer"]


# --- ADM-1: two users, each other's ids. ---

PATCHED = {"device": "name", "webhook": "description"}
SECRET_WORDS = ("password", "hash", "secret", "seed", "private", "_key", "epoch", "pem")
# Once, to whom it was made for.
SHOWN_ONCE = {
    ("NewServiceAnswer", "client_secret"),
    ("SecretAnswer", "client_secret"),
    ("Enrolment", "secret"),
    ("NewWebhookAnswer", "secret"),
    ("WebhookSecretAnswer", "secret"),
}
NO_SECRET = {
    ("AuditEntry", "hash"),  # of a row of the audit trail, for those who verify it
    ("Readiness", "signing_keys"),  # whether they are there
    *((name, "previous_secret_until") for name in ("WebhookAnswer", "NewWebhookAnswer", "WebhookSecretAnswer")),
}


def test_adm_1_no_answer_has_a_field_for_a_secret(app: FastAPI) -> None:
    components = app.openapi()["components"]["schemas"]
    bodies = {schema.get("title") for _, _, schema in json_routes(app)} | {"OneCheck", "TokenRequest", "AboutToken"}
    shown = {(name, field) for name in components.keys() - bodies for field in components[name].get("properties", {})}
    assert len(shown) > 50
    assert {(name, field) for name, field in shown if any(word in field for word in SECRET_WORDS)} == (
        SHOWN_ONCE | NO_SECRET
    )


async def test_adm_1_id_routes_are_closed_to_another_user(api: Api, app: FastAPI) -> None:
    owner, _ = await api.as_role("content-manager")
    _, stranger = await api.as_role("content-manager")
    seen = 0
    for path, item in app.openapi()["paths"].items():
        if "{" not in path:
            continue
        for method, operation in item.items():
            url = path.format_map(UNHEARD_OF | {"user_id": owner.id, "name": "moderator", "code": "films:read"})
            kind = next((name for part, name in PATCHED.items() if part in path), "title")
            named = {kind: "x"} if method == "patch" else {}
            body = named if "requestBody" in operation else None
            response = await api.http.request(method.upper(), url, json=body, headers=stranger.bearer)
            assert error_of(response)[0] in {403, 404}, (method, path)
            assert str(owner.id) not in response.text
            assert owner.login not in response.text
            seen += 1
    assert seen >= 10


async def test_adm_1_self_routes_answer_about_the_caller_whatever_is_asked(api: Api) -> None:
    owner, _ = await api.as_role()
    stranger, tokens = await api.as_role()
    for query in (f"?user_id={owner.id}", f"?id={owner.id}", f"?login={owner.login}"):
        shown = await api.http.get(ME + query, headers=tokens.bearer)
        assert shown.json()["id"] == str(stranger.id)
        history = await api.http.get(f"{ME}/login-history{query}", headers=tokens.bearer)
        assert len(history.json()["items"]) == 1
    for header in ("X-User-Id", "X-Forwarded-User", "Remote-User"):
        shown = await api.http.get(ME, headers=tokens.bearer | {header: str(owner.id)})
        assert shown.json()["id"] == str(stranger.id)


@pytest.mark.parametrize(
    "query", ["limit=101", "limit=0", "limit=-1", "limit=1e2", "limit=x", "cursor=junk", "cursor=%27"]
)
async def test_adm_1_lists_are_limited_and_cursors_are_ours(api: Api, query: str) -> None:
    _, tokens = await api.as_role()
    response = await api.http.get(f"{ME}/login-history?{query}", headers=tokens.bearer)
    assert error_of(response) == (422, "validation_error")


async def test_adm_1_a_cursor_of_another_user_shows_only_ones_own_entries(api: Api) -> None:
    owner = await api.create_user()
    owners = [await api.log_in(owner) for _ in range(3)]
    page = await api.http.get(f"{ME}/login-history?limit=1", headers=owners[0].bearer)
    _, tokens = await api.as_role()
    shown = await api.http.get(f"{ME}/login-history?cursor={page.json()['next_cursor']}", headers=tokens.bearer)
    assert shown.status_code == 200
    session_ids = {item["session_id"] for item in shown.json()["items"]}
    assert not session_ids & {item.session_id for item in owners}


async def test_adm_1_errors_repeat_no_password(api: Api) -> None:
    account, tokens = await api.as_role()
    canary = "canary-password-7f3a"
    answers = [
        await try_login(api, account.login, canary),
        await change_password(api, tokens, canary),
        await change_password(api, tokens, PASSWORD, canary[:5]),
        await delete_me(api, tokens, canary),
        await api.http.post(f"{V1}/auth/register", json={"login": "x", "email": "y", "password": canary, canary: 1}),
    ]
    for answer in answers:
        assert answer.status_code >= 400
        assert canary[:5] not in answer.text


async def test_pwd_7_a_login_that_began_with_the_old_password_starts_nothing(api: Api) -> None:
    """Logins all around the change: those that began before it must not outlive it."""
    for _ in range(3):
        account, here = await api.as_role()
        logins = [asyncio.create_task(try_login(api, account.login, PASSWORD)) for _ in range(8)]
        changed = await change_password(api, here, PASSWORD)
        assert changed.status_code == 204
        for answer in await asyncio.gather(*logins):
            if answer.status_code == 200:
                assert error_of(await api.me(tokens_of(answer))) == (401, "not_authenticated")
        async with api.resources.db() as session:
            live = "SELECT count(*) FROM sessions WHERE user_id = :user AND revoked_at IS NULL"
            assert (await session.execute(text(live), {"user": account.id})).scalar_one() == 1


async def test_pwd_7_a_change_that_another_one_overtook_is_told_so(api: Api) -> None:
    """Its password was right when it was checked, and is not any more when it is written."""
    for delay in (0.0, 0.02, 0.04, 0.06):
        account, here = await api.as_role()
        there = await api.log_in(account)

        async def later(tokens: Tokens = there, delay: float = delay) -> httpx.Response:
            await asyncio.sleep(delay)
            return await change_password(api, tokens, PASSWORD, "what the thief wants")

        first, second = await asyncio.gather(change_password(api, here, PASSWORD, NEW_PASSWORD), later())
        assert sorted([first.status_code, second.status_code])[0] == 204
        assert [first.status_code, second.status_code].count(204) == 1
