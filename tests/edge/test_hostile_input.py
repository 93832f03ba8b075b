"""Hostile input in every place that the API has: refused in our shape, nothing changed, nothing repeated."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from auth_service.config import Settings
from auth_service.core.http.authzen_rules import is_authzen
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from auth_service.models import Base
from tests.conftest import Fresh, Servers, _recreate, running_app
from tests.support.access import create_permission, create_role
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of
from tests.support.hostile import (
    BROKEN_JSON,
    HOSTILE_PATH_PARTS,
    NIL,
    ODD_TEXTS,
    WRONG_TYPES,
    Field,
    Operation,
    operations,
    stored,
)

JSON = {"Content-Type": "application/json"}
OPERATIONS = operations()
# AuthZEN has rules of its own: tests/standards/authzen/test_hostile_questions.py.
WITH_BODY = [operation for operation in OPERATIONS if operation.fields and not is_authzen(operation.path)]
WITH_PATH = [operation for operation in OPERATIONS if operation.path_params]
WITH_QUERY = [operation for operation in OPERATIONS if operation.query_params]


@dataclass(frozen=True)
class Target:
    """The API with a superuser who has nothing to lose, so that no refusal is a missing permission's."""

    api: Api
    account: Account
    tokens: Tokens
    role: str
    permission: str

    def headers(self, operation: Operation) -> dict[str, str]:
        return self.tokens.bearer if operation.needs_token else {}

    def url(self, operation: Operation, **changed: str) -> str:
        ids = dict.fromkeys(("service_id", "session_id", "device_id", "webhook_id", "job_id"), NIL) | {
            "row": "999999999"
        }
        sane = ids | {"user_id": str(self.account.id), "name": self.role, "code": self.permission}
        return operation.url(**(sane | changed))

    async def send(self, operation: Operation, body: bytes, **params: str) -> httpx.Response:
        return await self.api.http.request(
            operation.method,
            self.url(operation, **params),
            content=body,
            headers=JSON | self.headers(operation),
        )


async def new_target(api: Api) -> Target:
    """With a role and a permission of its own: some odd texts are taken, and must not change what others test with."""
    account, tokens = await api.as_role("superuser")
    permission = await create_permission(api, tokens)
    role = await create_role(api, tokens, permission)
    return Target(api, account, tokens, role, permission)


@pytest.fixture(scope="module")
async def api(servers: Servers, template: str, shared_settings: Settings) -> AsyncIterator[Api]:
    """On a database of this file's own: what is listed and compared thousands of times is little."""
    name = f"auth_edge_{servers.worker}"
    await _recreate(servers, name, template)
    own = {"database_url": SecretStr(servers.database(name))}
    async with running_app(shared_settings.model_copy(update=own)) as api:
        yield api


@pytest.fixture(scope="module")
async def target(api: Api) -> Target:
    return await new_target(api)


def _misfits(field: Field) -> dict[str, Any]:
    """Those of WRONG_TYPES that the field does not take."""

    def fits(kind: str) -> bool:
        return kind in field.types or (kind == "array of it" and "array" in field.types)

    inside = {"a list in a list", "null in a list", "a number in a list"}
    return {
        name: value
        for name, (kind, value) in WRONG_TYPES.items()
        if not fits(kind) or ("array" in field.types and name in inside)
    }


def test_every_body_is_known() -> None:
    """A new route or field comes into the tables by itself; this only guards against reading none of them."""
    assert sum(len(operation.fields) for operation in WITH_BODY) > 40
    assert {"string", "null", "array", "boolean"} <= {kind for o in WITH_BODY for f in o.fields for kind in f.types}
    assert len(BROKEN_JSON) + len(WRONG_TYPES) + len(ODD_TEXTS) > 60


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_edg_5_hostile_values_in_every_field(target: Target, operation: Operation) -> None:
    before = await stored(target.api.resources)
    for field in operation.fields:
        for name, raw in BROKEN_JSON.items():
            answer = await target.send(operation, operation.with_raw(field.path, raw))
            assert error_of(answer) == (400, "invalid_json"), (field, name, answer.text)
        for name, value in _misfits(field).items():
            answer = await target.send(operation, operation.with_value(field.path, value))
            assert error_of(answer)[0] == operation.misfit[0], (field, name, answer.text)
    assert await stored(target.api.resources) == before


@pytest.mark.long
@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_edg_5_odd_texts_in_every_field(api: Api, operation: Operation) -> None:
    """Right or refused, but answered: never a 5xx."""
    target = await new_target(api)
    for field in operation.fields:
        # A text that is only hashed or only kept needs fewer of them than one that is taken apart.
        texts = ODD_TEXTS[::5] if "password" in field.name or field.name == "device_name" else ODD_TEXTS
        values: list[Any] = [*texts, *([text] for text in texts)] if "array" in field.types else list(texts)
        for value in values:
            answer = await target.send(operation, operation.with_value(field.path, value))
            assert answer.status_code < 500, (field, value, answer.text)
            if answer.status_code >= 400:
                error_of(answer)


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_edg_5_hostile_whole_bodies(target: Target, operation: Operation) -> None:
    before = await stored(target.api.resources)
    sane = json.dumps(operation.sample)
    twice = sane[:-1] + f', "{operation.fields[0].path[0]}": null}}'
    broken = [
        *BROKEN_JSON.values(),
        sane.encode("utf-16"),
        sane.encode("utf-16-le"),
        sane.encode("utf-32"),
        b"\xef\xbb\xbf" + sane.encode(),
        b"\x00" + sane.encode(),
        sane.encode() + b"\x00",
        sane.encode() * 2,
        twice.encode(),
    ]
    for body in broken:
        answer = await target.send(operation, body)
        assert error_of(answer) == (400, "invalid_json"), (body[:100], answer.text)
    for value in ("", "text", 0, 1.5, True, [], [operation.sample], [[]]):
        answer = await target.send(operation, json.dumps(value).encode())
        assert error_of(answer) == operation.misfit, (value, answer.text)
    assert await stored(target.api.resources) == before


@pytest.mark.parametrize("operation", WITH_PATH, ids=str)
async def test_edg_5_hostile_path_parts(target: Target, operation: Operation) -> None:
    before = await stored(target.api.resources)
    body = json.dumps(operation.sample).encode() if operation.fields else b""
    for name in operation.path_params:
        for part in HOSTILE_PATH_PARTS:
            if name == "user_id" and part.casefold() in {text.casefold() for text in ODD_TEXTS}:
                continue  # somebody's login by now
            answer = await target.send(operation, body, **{name: part})
            status, _ = error_of(answer)
            assert 400 <= status < 500, (name, part, answer.text)
            assert "x-injected" not in answer.headers
    assert await stored(target.api.resources) == before


@pytest.mark.long
@pytest.mark.parametrize("operation", WITH_QUERY, ids=str)
async def test_edg_5_hostile_query_parameters(target: Target, operation: Operation) -> None:
    texts = [*HOSTILE_PATH_PARTS, *(str(httpx.QueryParams({"q": text}))[2:] for text in ODD_TEXTS)]
    headers = target.headers(operation)
    for name in operation.query_params:
        for text in texts:
            answer = await target.api.http.request(
                operation.method, f"{target.url(operation)}?{name}={text}", headers=headers
            )
            assert answer.status_code < 500, (name, text, answer.text)
            if answer.status_code >= 400:
                error_of(answer)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1.5", "1e1", "0x10", "true", "NaN", "", "9" * 400, "1 OR 1=1"])
async def test_edg_5_limit_is_a_whole_number_in_its_range(target: Target, limit: str) -> None:
    url = f"{V1}/users/me/login-history"
    answer = await target.api.http.get(url, params={"limit": limit}, headers=target.tokens.bearer)
    assert error_of(answer) == (422, "validation_error")


ODD_HEADERS = [
    b"",
    b" ",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "Ж".encode(),
    b"a" * 7000,
    b"%00",
    b"\x1b[31m",
    b"a\x00b",
    b"null",
    b"-1",
    b"9" * 5000,
    b"Bearer",
    b"Bearer ",
    b"Bearer  e30.e30.e30",
    b"Bearer e30.e30.e30",
    b"Bearer " + b"." * 9000,
    b"Bearer \xff.\xff.\xff",
    b"Bearer null",
    b"Basic",
    b"Basic !!!!",
    b"Basic Og==",
    b"Basic /////w==",
    b"Basic AAAA",
    b"Basic JTAwOiVmZg==",  # %00:%ff
    b"Digest username=a",
    b"application/json; charset=utf-16",
    b"application/json;;;=",
    b"multipart/form-data; boundary=",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
]
HEADERS = ["authorization", "user-agent", "cookie", "x-request-id", "x-forwarded-for", "forwarded", "origin"]
HEADERS += ["accept", "accept-encoding", "content-type", "content-encoding", "if-none-match", "range", "traceparent"]
HEADERS += ["x-token-transport", "x-http-method-override", "expect", "x-original-url"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/users/me"), ("POST", "/auth/token"), ("POST", "/auth/logout")])
async def test_edg_5_hostile_headers(api: Api, method: str, path: str) -> None:
    for name in HEADERS:
        for value in ODD_HEADERS:
            headers = {b"content-type": b"application/json", name.encode(): value}
            answer = await api.http.request(
                method, f"{V1}{path}", content=b"{}" if method == "POST" else None, headers=list(headers.items())
            )
            assert answer.status_code < 500, (name, value, answer.text)
            if answer.status_code >= 400:
                error_of(answer)


async def test_edg_5_hostile_headers_of_a_login(api: Api) -> None:
    """The only ones that go into the database; what is not printable in them does not."""
    account = await api.create_user()
    for value in ODD_HEADERS[:12]:
        headers = [(b"content-type", b"application/json"), (b"user-agent", value), (b"x-forwarded-for", value)]
        body = json.dumps({"login": account.login, "password": account.password})
        answer = await api.http.post(f"{V1}/auth/login", content=body, headers=headers)
        assert answer.status_code == 200, (value, answer.text)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    history = (await api.http.get(f"{V1}/users/me/login-history", headers=bearer)).json()["items"]
    assert len(history) == 12
    for entry in history:
        assert entry["ip"] == "127.0.0.1"
        assert len(entry["user_agent"]) <= 400
        assert entry["user_agent"].isprintable()


MOMENTS_REFUSED = [
    "1900000000",
    "1900000000000",
    "-1",
    "1.9e9",
    "0",
    "2030-01-31",
    "2030-01-31T12:00:00",
    "2030-02-30T00:00:00Z",
    "2030-01-31T12:00:00+99:99",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31T23:59:59Z",
    "9999-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-23:59",
    "now",
    "infinity",
    "",
]


@pytest.mark.parametrize("moment", MOMENTS_REFUSED)
async def test_edg_5_a_time_is_a_date_with_time_and_zone(target: Target, moment: str) -> None:
    url = f"{V1}/users/{target.account.id}/roles/subscriber"
    before = await stored(target.api.resources)
    for name in ("valid_from", "valid_until"):
        answer = await target.api.http.put(url, json={name: moment}, headers=target.tokens.bearer)
        assert error_of(answer) == (422, "validation_error"), (name, answer.text)
    assert await stored(target.api.resources) == before


@pytest.mark.parametrize("offset", ["Z", "+00:00", "+14:00", "-12:00"])
async def test_edg_5_times_of_every_zone(target: Target, offset: str) -> None:
    """To the ends of what is taken, kept as the same moment."""
    account = await target.api.create_user()
    times = {"valid_from": f"1970-01-02T00:00:00{offset}", "valid_until": f"9998-12-31T00:00:00{offset}"}
    url = f"{V1}/users/{account.id}/roles"
    answer = await target.api.http.put(f"{url}/subscriber", json=times, headers=target.tokens.bearer)
    assert answer.status_code == 200, answer.text
    grants = (await target.api.http.get(url, headers=target.tokens.bearer)).json()
    kept = next(grant for grant in grants if grant["role"] == "subscriber")
    for name, sent in times.items():
        assert datetime.fromisoformat(kept[name]) == datetime.fromisoformat(sent)


@pytest.mark.parametrize("operation", [o for o in WITH_BODY if o.path not in OAUTH_PATHS], ids=str)
async def test_reg_5_no_field_beyond_the_documented_ones(target: Target, operation: Operation) -> None:
    """Neither what the answer has, nor what the tables have, nor anything else can be slipped in."""
    tables = {column.name for table in Base.metadata.tables.values() for column in table.columns}
    names = (operation.answer_fields | tables | {"roles", "is_superuser", "email_verified", "__class__", ""}) - {
        str(field.path[0]) for field in operation.fields
    }
    before = await stored(target.api.resources)
    for value in (True, "superuser", ["superuser"]):
        # All names in one body: the answer has a line for each that is refused. The empty name is shown as "?".
        body = json.dumps(operation.sample | dict.fromkeys(names, value)).encode()
        answer = await target.send(operation, body)
        assert error_of(answer) == (422, "validation_error"), answer.text
        refused = [field["field"] for field in answer.json()["fields"] if field["type"] == "extra_forbidden"]
        assert sorted(refused) == sorted(f"body.{name or '?'}" for name in names)
    assert await stored(target.api.resources) == before


async def test_reg_5_nor_in_a_nested_object(target: Target) -> None:
    body = {"checks": [{"permission": "films:read", "allowed": True}]}
    answer = await target.api.http.post(f"{V1}/permissions/check/batch", json=body, headers=target.tokens.bearer)
    assert error_of(answer) == (422, "validation_error")


async def test_reg_5_what_a_token_request_has_beyond_them_changes_nothing(target: Target) -> None:
    """RFC 6749 section 3.2 wants it ignored."""
    client_id, secret = await target.api.create_service(target.tokens, ["films:read"])
    asked = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    more = {"sub": NIL, "kind": "user", "scopes": "*", "permissions": "*", "aud": "other", "exp": "9999999999"}
    for how in ("json", "data"):
        answer = await target.api.http.post(f"{V1}/auth/token", **{how: asked | more})
        assert (answer.status_code, answer.json()["scope"]) == (200, "films:read")
        claims = json.loads(base64.urlsafe_b64decode(answer.json()["access_token"].split(".")[1] + "=="))
        assert (claims["sub"], claims["kind"], claims["aud"]) == (client_id, "service", "cinema")
        assert claims["exp"] - claims["iat"] == answer.json()["expires_in"]


MEDIA_TYPES = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=a",
    "text/plain",
    "text/plain; application/json",
    "text/json",
    "application/jsonp",
    "application/vnd.api+json",
    "application/xml",
    "application/json, text/plain",
    "*/*",
    "",
    None,
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
async def test_edg_5_only_json(target: Target, media_type: str | None) -> None:
    """Also what keeps a foreign page's form from writing: browsers send those three types without asking."""
    before = await stored(target.api.resources)
    headers = {} if media_type is None else {"Content-Type": media_type}
    for operation in WITH_BODY:
        if operation.path in OAUTH_PATHS and media_type == MEDIA_TYPES[0]:
            continue
        answer = await target.api.http.request(
            operation.method,
            target.url(operation),
            content=json.dumps(operation.sample),
            headers=headers | target.headers(operation),
        )
        assert error_of(answer) == (415, "unsupported_media_type"), (operation, answer.text)
    assert await stored(target.api.resources) == before


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;a=b"])
async def test_json_in_other_spellings_of_its_type(api: Api, media_type: str) -> None:
    body = b'{"permission": "films:read"}'
    _, tokens = await api.as_role()
    headers = {"Content-Type": media_type, **tokens.bearer}
    assert (await api.http.post(f"{V1}/permissions/check", content=body, headers=headers)).status_code == 200


HOSTILE_FORMS = [
    b"\x00",
    b"\xff=\xff",
    b"%ff=%ff",
    b"grant_type=%00",
    b"grant_type=client_credentials&grant_type=client_credentials",
    b"grant_type=client_credentials&client_id=a&client_id=b",
    b"&".join(b"a%d=1" % n for n in range(1000)),
    b"grant_type=client_credentials&client_id=%00&client_secret=%00",
    b"grant_type=client_credentials&client_id=" + NIL.encode() + b"&client_secret=%00&scope=%00",
    b"grant_type=client_credentials&client_id=" + NIL.encode() + b"&client_secret=%ed%a0%80",
    b"grant_type=client_credentials&client_id=" + NIL.encode() + b"&client_secret=" + b"a" * 15_000,
    b"grant_type=client_credentials&client_id=" + NIL.encode() + b"&client_secret=a;scope=a",
    b"grant_type=client_credentials",
    b"grant_type=password&username=a&password=b",
    b'{"grant_type": "client_credentials"}',
    b"=",
    b"&",
    b"%",
]


@pytest.mark.parametrize("form", HOSTILE_FORMS)
async def test_edg_5_hostile_forms(api: Api, form: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    before = await stored(api.resources)
    status, code = error_of(await api.http.post(f"{V1}/auth/token", content=form, headers=headers))
    assert status in {400, 401}, code
    assert await stored(api.resources) == before


async def test_cke_3_a_token_in_the_query_is_no_token(api: Api) -> None:
    """RFC 9700 section 4.3.2: addresses end up in logs and histories."""
    _, tokens = await api.as_role()
    for name in ("access_token", "token", "bearer", "authorization", "Authorization", "jwt"):
        answer = await api.http.get(f"{V1}/users/me", params={name: tokens.access})
        assert error_of(answer) == (401, "not_authenticated"), name
    answer = await api.http.post(f"{V1}/auth/refresh", params={"refresh_token": tokens.refresh})
    assert error_of(answer) == (422, "validation_error")
    answer = await api.http.post(f"{V1}/auth/login", params={"login": "a", "password": PASSWORD})
    assert error_of(answer) == (422, "validation_error")
    assert (await api.me(tokens)).status_code == 200


@pytest.mark.long
async def test_edg_6_a_secret_in_any_place_is_never_repeated(fresh: Fresh) -> None:
    """Neither in a refusal nor in the log of the real process; whoever puts secrets in an address included."""
    settings = await fresh.settings()
    in_process = await fresh.on(settings)
    account, tokens = await in_process.as_role("superuser")
    service = await fresh.service(settings)
    target = Target(Api(service.http, in_process.resources), account, tokens, "viewer", "films:read")
    canary = "cAnary-Secret-" + "x9" * 15
    seen: Counter[int] = Counter()

    async def send(operation: Operation, body: bytes, headers: dict[str, str] | None = None, **params: str) -> None:
        query = f"?{params.pop('query')}" if "query" in params else ""
        answer = await target.api.http.request(
            operation.method,
            target.url(operation, **params) + query,
            content=body or None,
            headers=({**JSON} if body else {}) | target.headers(operation) | (headers or {}),
        )
        seen[answer.status_code] += 1
        if answer.status_code >= 400:
            error_of(answer)
            assert canary not in answer.text, (operation, body, answer.text)
            assert canary not in str(answer.headers)

    for operation in OPERATIONS:
        sane = json.dumps(operation.sample).encode() if operation.fields else b""
        for field in operation.fields:
            values: list[Any] = [{canary: canary}, [canary], [{canary: canary}], canary * 20, f"{canary}\ud800"]
            for value in [*values, canary]:
                await send(operation, operation.with_value(field.path, value))
            await send(operation, operation.with_raw(field.path, f"{canary}".encode()))
        if operation.fields:
            await send(operation, json.dumps(operation.sample | {canary: canary}).encode())
            await send(operation, json.dumps(canary).encode())
            await send(operation, f'{{"{canary}": 1, "{canary}": 2}}'.encode())
            await send(operation, sane, {"Content-Type": f"text/{canary}"})
        for name in operation.path_params:
            await send(operation, sane, **{name: canary})
        for name in (*operation.query_params, canary):
            if not operation.path.startswith(("/health", "/.well-known", "/metrics")) and operation.method == "GET":
                await send(operation, sane, query=f"{name}={canary}")
        if operation.needs_token and operation.method == "GET":
            await send(operation, sane, {"Authorization": f"Bearer {canary}"})
            await send(operation, sane, {"Authorization": canary})
    for path in (f"/{canary}", f"{V1}/{canary}/x", f"{V1}/users/me/{canary}"):
        answer = await target.api.http.get(path)
        assert error_of(answer)[0] == 404
        assert canary not in answer.text
    assert seen[422] > 100
    assert seen[400] > 50
    assert not [status for status in seen if status >= 500]
    log = service.log()
    assert log.count('"event": "request"') > sum(seen.values())
    assert canary not in log
