"""Service accounts: their secrets, their tokens, and what is left of them when they are deleted."""

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support.access import moment
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of, unique

TOKEN = f"{V1}/auth/token"
GRANT = {"grant_type": "client_credentials"}


async def form(api: Api, client: tuple[str, str] | None = None, /, **fields: str) -> httpx.Response:
    return await api.http.post(TOKEN, data=GRANT | fields, auth=client or httpx.USE_CLIENT_DEFAULT)


async def works(api: Api, client_id: str, secret: str) -> bool:
    response = await form(api, (client_id, secret))
    assert response.status_code in {200, 401}
    return response.status_code == 200


async def add_secret(api: Api, admin: Tokens, client_id: str, **body: Any) -> str:
    response = await api.http.post(f"{V1}/services/{client_id}/secrets", json=body, headers=admin.bearer)
    assert response.status_code == 201, response.text
    return str(response.json()["client_secret"])


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


async def test_life_of_a_service(api: Api) -> None:
    _, admin = await api.as_role("admin")
    name = unique("player")
    body = {"name": name, "description": "Плеер", "scopes": ["permissions:check", "films:read", "films:read"]}
    created = await api.http.post(f"{V1}/services", json=body, headers=admin.bearer)
    assert created.status_code == 201
    shown = created.json()
    assert (shown["name"], shown["scopes"]) == (name, ["films:read", "permissions:check"])
    assert shown["client_id"] == shown["id"]
    assert len(shown["client_secret"]) >= 43  # 256 bits
    listed = (await api.http.get(f"{V1}/services", headers=admin.bearer)).json()
    (mine,) = [item for item in listed if item["id"] == shown["id"]]
    assert mine.keys() == {"id", "name", "description", "scopes", "created_at"}
    assert shown["client_secret"] not in str(listed)
    again = await api.http.post(f"{V1}/services", json=body, headers=admin.bearer)
    assert error_of(again) == (409, "service_exists")
    url = f"{V1}/services/{shown['id']}"
    assert (await api.http.delete(url, headers=admin.bearer)).status_code == 204
    assert error_of(await api.http.delete(url, headers=admin.bearer)) == (404, "not_found")
    assert error_of(await api.http.post(f"{url}/secrets", json={}, headers=admin.bearer)) == (404, "not_found")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Player"},
        {"name": "p"},
        {"name": "player one"},
        {"name": None},
        {"scopes": ["unheard:of"]},
        {"scopes": ["unheard:*"]},
        {"scopes": ["films"]},
        {"scopes": "films:read"},
        {"scopes": ["films:read"] * 21},
        {"id": str(uuid4())},
        {"client_secret": "chosen by me, forty characters or more...."},
        {"created_by": str(uuid4())},
    ],
)
async def test_services_with_wrong_fields_are_422(api: Api, change: dict[str, Any]) -> None:
    _, root = await api.as_role("superuser")
    body = {"name": unique("service"), "scopes": ["films:read"]} | change
    response = await api.http.post(f"{V1}/services", json=body, headers=root.bearer)
    assert error_of(response) == (422, "validation_error")


async def test_token_by_form_json_and_basic(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client_id, secret = await api.create_service(admin, ["permissions:check", "films:read"])
    given = {"client_id": client_id, "client_secret": secret}
    answers = [
        await form(api, (client_id, secret)),
        await form(api, **given),
        await api.http.post(TOKEN, json=GRANT | given),
        await api.http.post(TOKEN, json=GRANT, auth=(client_id, secret)),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
        assert (body["token_type"], body["scope"]) == ("Bearer", "films:read permissions:check")
        assert answer.headers["cache-control"] == "no-store"
        claims = claims_of(body["access_token"])
        assert (claims["kind"], claims["sub"], claims["exp"] - claims["iat"]) == (
            "service",
            client_id,
            body["expires_in"],
        )


async def test_tokens_may_have_fewer_scopes_and_never_more(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin, ["films:*", "permissions:check"])
    for scope in ("films:*", "films:read", "permissions:check films:publish", "permissions:check"):
        answer = await form(api, client, scope=scope)
        assert (answer.status_code, answer.json()["scope"]) == (200, scope)
    repeated = await form(api, client, scope="films:read " * 200)
    assert (repeated.status_code, repeated.json()["scope"]) == (200, "films:read")
    for scope in (
        "films:* users:read",
        "users:read",
        "permissions:*",
        "*",
        "FILMS:read",
        "film:*",
        "films",
        "films:",
        "films:re*",
        "films:a:b",
    ):
        assert error_of(await form(api, client, scope=scope)) == (400, "invalid_scope"), scope
    narrow = {"Authorization": f"Bearer {(await form(api, client, scope='films:read')).json()['access_token']}"}
    user = await api.create_user()
    asked = {"permission": "films:read", "user_id": str(user.id)}
    assert error_of(await api.http.post(f"{V1}/permissions/check", json=asked, headers=narrow))[0] == 403


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "refresh_token"}, (400, "unsupported_grant_type")),
        ({"grant_type": ""}, (400, "invalid_request")),  # section 3.2: as if it had been left out
        ({"client_secret": "wrong"}, (401, "invalid_client")),
        ({"client_secret": ""}, (401, "invalid_client")),
        ({"client_id": "not-an-id"}, (401, "invalid_client")),
        ({"client_id": str(uuid4())}, (401, "invalid_client")),
        ({"client_id": "\0"}, (400, "invalid_request")),
    ],
)
async def test_errors_of_rfc_6749(api: Api, fields: dict[str, str], expected: tuple[int, str]) -> None:
    _, admin = await api.as_role("admin")
    client_id, secret = await api.create_service(admin)
    response = await form(api, **({"client_id": client_id, "client_secret": secret} | fields))
    assert error_of(response) == expected
    if expected[0] == 401:
        assert response.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("body", ["", "scope=films%3Aread", "grant_type=client_credentials&a=b&a=b", "%ff=1"])
async def test_a_malformed_token_request_is_400(api: Api, body: str) -> None:
    """RFC 6749 section 5.2: its clients know no 422."""
    for media_type, content in (("x-www-form-urlencoded", body), ("json", json.dumps({"scope": body}))):
        headers = {"Content-Type": f"application/{media_type}"}
        answer = await api.http.post(TOKEN, content=content, headers=headers)
        assert error_of(answer) == (400, "invalid_request"), (media_type, answer.text)
    assert error_of(await api.http.post(TOKEN)) == (400, "invalid_request")


async def test_secrets_are_given_once_and_in_one_place(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client_id, secret = await api.create_service(admin)
    both = await form(api, (client_id, secret), client_id=client_id, client_secret=secret)
    assert error_of(both) == (401, "invalid_client")
    twice = f"grant_type=client_credentials&client_id={client_id}&client_secret={secret}&client_secret={secret}"
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    assert error_of(await api.http.post(TOKEN, content=twice, headers=urlencoded)) == (400, "invalid_request")
    in_query = await api.http.post(f"{TOKEN}?client_id={client_id}&client_secret={secret}", data=GRANT)
    assert error_of(in_query) == (401, "invalid_client")
    for header in ("Basic", "Basic ???", "Basic " + base64.b64encode(b"no colon").decode(), f"Bearer {secret}"):
        response = await api.http.post(TOKEN, data=GRANT, headers={"Authorization": header})
        assert error_of(response) == (401, "invalid_client")


async def test_a_user_is_no_client(api: Api) -> None:
    account, tokens = await api.as_role("superuser")
    assert error_of(await form(api, (str(account.id), account.password))) == (401, "invalid_client")
    assert error_of(await form(api, (account.login, account.password))) == (401, "invalid_client")
    assert error_of(await form(api, client_id=str(account.id), client_secret=tokens.refresh)) == (401, "invalid_client")


async def test_two_secrets_work_at_once_and_older_ones_stop(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client_id, first = await api.create_service(admin)
    second = await add_secret(api, admin, client_id)
    assert [await works(api, client_id, secret) for secret in (first, second)] == [True, True]
    third = await add_secret(api, admin, client_id)
    assert [await works(api, client_id, secret) for secret in (first, second, third)] == [False, True, True]
    other_id, _ = await api.create_service(admin)
    assert not await works(api, other_id, third)


async def test_new_secrets_at_once_never_leave_more_than_two(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client_id, first = await api.create_service(admin)
    secrets = await asyncio.gather(*(add_secret(api, admin, client_id) for _ in range(6)))
    assert [await works(api, client_id, secret) for secret in (first, *secrets)].count(True) == 2


async def test_secrets_expire(fresh: Fresh, shared_settings: Settings) -> None:
    clock = StoppedClock()
    api = await fresh.on(shared_settings, clock)
    _, admin = await api.as_role("admin")
    client_id, first = await api.create_service(admin)
    short = await add_secret(api, admin, client_id, expires_at=(clock() + timedelta(minutes=5)).isoformat())
    clock.forward(seconds=299)
    assert await works(api, client_id, short)
    clock.forward(seconds=1)
    assert not await works(api, client_id, short)
    assert await works(api, client_id, first)
    for past in ("2020-01-01T00:00:00Z", clock().isoformat()):
        url = f"{V1}/services/{client_id}/secrets"
        response = await api.http.post(url, json={"expires_at": past}, headers=admin.bearer)
        assert error_of(response) == (422, "validation_error")


async def test_deleting_a_service_kills_its_tokens_and_secrets_at_once(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client_id, secret = await api.create_service(admin, ["roles:read"])
    headers = await api.service_token(client_id, secret)
    assert (await api.http.get(f"{V1}/roles", headers=headers)).status_code == 200
    await api.http.delete(f"{V1}/services/{client_id}", headers=admin.bearer)
    assert error_of(await api.http.get(f"{V1}/roles", headers=headers)) == (401, "not_authenticated")
    assert not await works(api, client_id, secret)


async def test_a_service_may_log_out_one_token(api: Api) -> None:
    _, admin = await api.as_role("admin")
    client = await api.create_service(admin, ["roles:read"])
    first, second = await api.service_token(*client), await api.service_token(*client)
    assert (await api.http.post(f"{V1}/auth/logout", headers=first)).status_code == 204
    assert (await api.http.get(f"{V1}/roles", headers=first)).status_code == 401
    assert (await api.http.get(f"{V1}/roles", headers=second)).status_code == 200


async def test_no_secret_stands_in_the_database(fresh: Fresh) -> None:
    api = await fresh.api()  # whose database is small
    _, admin = await api.as_role("admin")
    client_id, first = await api.create_service(admin)
    second = await add_secret(api, admin, client_id, expires_at=moment(days=1).isoformat())
    token = (await form(api, (client_id, first))).json()["access_token"]
    hot = api.resources.hot
    tables = await hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = ""
    for row in tables:
        for record in await hot.fetch(f'SELECT t::text AS text FROM "{row["tablename"]}" t'):  # noqa: S608
            dump += record["text"] + "\n"
    assert client_id in dump
    for secret in (first, second, token):
        spellings = (secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode())
        assert not any(spelling in dump for spelling in spellings)


async def test_services_survive_the_account_that_made_them(api: Api) -> None:
    owner, admin = await api.as_role("admin")
    client = await api.create_service(admin)
    body = {"current_password": owner.password}
    gone = await api.http.request("DELETE", f"{V1}/users/me", json=body, headers=admin.bearer)
    assert gone.status_code == 204
    assert await works(api, *client)
