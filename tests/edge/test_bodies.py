"""Bodies that may be left out, in every way that clients do it; those that a DELETE cannot carry; those in codings."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from auth_service.config import Settings
from tests.support.api import PASSWORD, V1, Api, Tokens, error_of
from tests.support.cookie_browser import Browser, logged_in, running_site
from tests.support.hostile import NIL, document
from tests.support.phone import enrol_phone
from tests.support.route_table import ONCE, PATHS, STREAMS

JSON = {"Content-Type": "application/json"}
# (headers, content): what HTTP libraries send where there is nothing to say.
NOTHING: dict[str, tuple[dict[str, str], bytes | None]] = {
    "nothing": ({}, None),
    "an empty body": ({}, b""),
    "an empty body of JSON": (JSON, b""),
    "no body of JSON": (JSON, None),
    "an empty object": (JSON, b"{}"),
    "null": (JSON, b"null"),
}
DOCUMENT = document()
NEEDS_NONE = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if not operation.get("requestBody", {}).get("required")
]


def test_the_table_is_whole(app: FastAPI) -> None:
    """What takes a body only if there is something to say in it: no field of it may be required."""
    optional = []
    for path, operations in app.openapi()["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation and not operation["requestBody"].get("required"):
                optional.append(path.removeprefix(V1))
    assert sorted(optional) == [
        *("/auth/logout", "/auth/refresh", "/services/{service_id}/secrets", "/users/{user_id}/roles/{name}")
    ]
    assert len(NEEDS_NONE) > 40


@pytest.mark.parametrize(("method", "path"), NEEDS_NONE, ids=lambda part: part.replace(V1, ""))
async def test_nothing_is_said_in_every_way(api: Api, root: Tokens, method: str, path: str) -> None:
    statuses = {}
    if path in STREAMS:
        method = "HEAD"  # a GET goes on
    for name, (headers, content) in NOTHING.items():
        tokens = (await api.as_role("superuser"))[1] if path.removeprefix(V1) in ONCE else root
        url = path.format(**PATHS | {"user_id": NIL, "name": "guest"})
        answer = await api.http.request(method, url, content=content, headers=tokens.bearer | headers)
        statuses[name] = answer.status_code
    assert len(set(statuses.values())) == 1, statuses
    assert statuses["nothing"] not in {400, 415} or path.endswith("/metrics")
    assert statuses["nothing"] != 422 or path.endswith("/auth/refresh")  # nor a cookie


@pytest.fixture(scope="module")
async def root(api: Api) -> Tokens:
    _, tokens = await api.as_role("superuser")
    return tokens


@pytest.fixture(scope="module")
async def site(shared_settings: Settings) -> AsyncIterator[Api]:
    async with running_site(shared_settings) as site:
        yield site


def as_page(browser: Browser, headers: dict[str, str]) -> list[tuple[str, str | bytes]]:
    return [("Origin", browser.origin or ""), ("X-CSRF-Token", browser.csrf), *headers.items()]


async def test_a_refresh_and_a_logout_by_cookie_say_nothing_in_every_way(site: Api) -> None:
    _, browser = await logged_in(site)
    ways = NOTHING | {"a token of null": (JSON, b'{"refresh_token": null}')}
    for name, (headers, content) in ways.items():
        answer = await browser.send("POST", "/auth/refresh", content, headers=as_page(browser, headers))
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["token_type"] == "Cookie"
        assert await browser.who() != 401
    for name, (headers, content) in ways.items():
        _, leaving = await logged_in(site)
        answer = await leaving.send("POST", "/auth/logout", content, headers=as_page(leaving, headers))
        assert (answer.status_code, leaving.cookies.keys()) == (204, leaving.cookies.keys() & {"__Host-auth_device"}), (
            name
        )


async def test_a_refresh_without_any_token_says_where_it_may_be(api: Api) -> None:
    for _, (headers, content) in NOTHING.items():
        answer = await api.http.post(f"{V1}/auth/refresh", content=content, headers=headers)
        assert error_of(answer) == (422, "validation_error")
        assert answer.json()["detail"] == "refresh_token is required, in the body or as a cookie"
        assert answer.json()["fields"][0]["field"] == "body.refresh_token"


# --- what a DELETE asks for in its body can be asked for by POST ---


def body_of(operation: dict[str, Any]) -> Any:
    return operation.get("requestBody", {}).get("content")


def test_each_delete_and_get_with_a_body_has_a_twin_by_post() -> None:
    paths = DOCUMENT["paths"]
    with_body = {path: item["delete"] for path, item in paths.items() if body_of(item.get("delete", {}))}
    assert with_body.keys() == {f"{V1}/users/me", f"{V1}/admin/users/{{user_id}}", f"{V1}/mfa/totp"}
    for path, operation in with_body.items():
        twins = [
            item["post"]
            for other, item in paths.items()
            if other.startswith(f"{path}/") and body_of(item.get("post", {})) == body_of(operation)
        ]
        assert [twin["responses"] for twin in twins if twin["summary"] == operation["summary"]] == [
            operation["responses"]
        ]
    assert not [path for path, item in paths.items() if body_of(item.get("get", {})) or body_of(item.get("head", {}))]


async def test_an_account_is_deleted_by_post(api: Api, root: Tokens) -> None:
    account, tokens = await api.as_role()
    url = f"{V1}/users/me/delete"
    wrong = await api.http.post(url, json={"current_password": "not the password"}, headers=tokens.bearer)
    assert error_of(wrong) == (403, "wrong_password")
    assert error_of(await api.http.post(url, headers=tokens.bearer)) == (422, "validation_error")
    gone = await api.http.post(url, json={"current_password": PASSWORD}, headers=tokens.bearer)
    assert (gone.status_code, gone.content) == (204, b"")
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")
    by_admin = f"{V1}/admin/users/{account.id}/delete"
    assert error_of(await api.http.post(by_admin, json={"reason": "late"}, headers=root.bearer)) == (404, "not_found")


async def test_an_admin_deletes_by_post_what_an_admin_may(api: Api, root: Tokens) -> None:
    account, boss = await api.create_user(), await api.create_user("superuser")
    _, admin = await api.as_role("admin")
    url, body = f"{V1}/admin/users/{{}}/delete", {"reason": "asked for it"}
    above = await api.http.post(url.format(boss.id), json=body, headers=admin.bearer)
    assert error_of(above) == (403, "exceeds_own_permissions")
    assert error_of(await api.http.post(url.format(account.id), json={}, headers=admin.bearer))[0] == 422
    assert (await api.http.post(url.format(account.id), json=body, headers=admin.bearer)).status_code == 204
    answer = await api.http.get(f"{V1}/admin/users/{account.id}", headers=root.bearer)
    assert error_of(answer) == (404, "not_found")


async def test_a_second_factor_is_disabled_by_post(api: Api) -> None:
    _, tokens = await api.as_role()
    codes = await enrol_phone(api, tokens)
    url = f"{V1}/mfa/totp/disable"
    wrong = {"current_password": "not the password", "code": "000000"}
    assert error_of(await api.http.post(url, json=wrong, headers=tokens.bearer)) == (403, "wrong_password")
    right = {"current_password": PASSWORD, "code": codes[0]}
    assert (await api.http.post(url, json=right, headers=tokens.bearer)).status_code == 204
    assert (await api.http.get(f"{V1}/mfa", headers=tokens.bearer)).json()["enabled"] is False


# --- codings and charsets (RFC 9110 section 15.5.16) ---

LOGIN = json.dumps({"login": "nobody-has-this", "password": PASSWORD}).encode()
FORM = b"grant_type=client_credentials&client_id=a&client_secret=b"
CODINGS = {
    "gzip": gzip.compress(LOGIN),
    "GZIP": gzip.compress(LOGIN),
    "x-gzip": gzip.compress(LOGIN),
    "deflate": zlib.compress(LOGIN),
    "br": b"\x0b",
    "identity, gzip": gzip.compress(LOGIN),
    "unheard-of": LOGIN,
}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_coded_body_is_415_and_says_what_is_taken(api: Api, coding: str) -> None:
    headers = {**JSON, "Content-Encoding": coding}
    answer = await api.http.post(f"{V1}/auth/login", content=CODINGS[coding], headers=headers)
    assert error_of(answer) == (415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "identity"
    assert "Content-Encoding" in answer.json()["detail"]


@pytest.mark.parametrize("coding", ["identity", "Identity", "", " identity "])
async def test_a_body_as_it_is_may_say_so(api: Api, coding: str) -> None:
    headers = {**JSON, "Content-Encoding": coding}
    answer = await api.http.post(f"{V1}/auth/login", content=LOGIN, headers=headers)
    assert error_of(answer) == (401, "invalid_credentials")


@pytest.mark.parametrize("charset", ["windows-1251", "utf-16", "ISO-8859-1", "us-ascii", "", '"koi8-r"'])
async def test_another_charset_is_415(api: Api, charset: str) -> None:
    for path, media_type, body in (("login", "application/json", LOGIN), ("token", FORM_TYPE, FORM)):
        headers = {"Content-Type": f"{media_type}; charset={charset}"}
        answer = await api.http.post(f"{V1}/auth/{path}", content=body, headers=headers)
        assert error_of(answer) == (415, "unsupported_media_type")
        assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8", "UTF-8 ; x=y"])
async def test_the_one_charset_in_its_spellings(api: Api, charset: str) -> None:
    for path, media_type, body in (("login", "application/json", LOGIN), ("token", FORM_TYPE, FORM)):
        headers = {"Content-Type": f"{media_type};  Charset={charset}"}
        assert (await api.http.post(f"{V1}/auth/{path}", content=body, headers=headers)).status_code == 401


FORM_TYPE = "application/x-www-form-urlencoded"


async def test_a_wrong_type_says_which_one_is_wanted(api: Api) -> None:
    for media_type in ("text/plain", "multipart/form-data; boundary=a", "application/xml", ""):
        headers = {"Content-Type": media_type}
        answer = await api.http.post(f"{V1}/auth/login", content=LOGIN, headers=headers)
        assert (error_of(answer)[0], answer.headers["accept"]) == (415, "application/json")
        assert "application/json" in answer.json()["detail"]
        answer = await api.http.post(f"{V1}/auth/token", content=FORM, headers=headers)
        assert (error_of(answer)[0], answer.headers["accept"]) == (415, f"{FORM_TYPE}, application/json")
        assert FORM_TYPE in answer.json()["detail"]
