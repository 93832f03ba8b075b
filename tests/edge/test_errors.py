"""One shape for every error, the headers of every answer, and a list of codes that docs/errors.md keeps."""

import asyncio
import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisDown
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import auth_service
from auth_service.core.connections import Res
from auth_service.core.errors import AppError, Busy, is_store_failure
from auth_service.main import create_app
from tests.conftest import ROOT, TEST_SECRET, test_settings
from tests.support.api import V1, Api, error_of
from tests.support.hostile import operations

SECRET = "a canary that only the log may know of"


async def _raises() -> None:
    raise RuntimeError(SECRET)


async def _recurses() -> None:
    await _recurses()


async def _answers_wrongly() -> dict[str, int]:
    return {"a": 1}


async def _asks_badly(resources: Res) -> None:
    async with resources.db() as session:
        await session.execute(text("SELECT CAST(:secret AS text), nowhere FROM users"), {"secret": SECRET})


async def _redis_is_down() -> None:
    raise RedisDown(SECRET)


async def _postgres_is_down() -> None:
    raise ConnectionRefusedError(SECRET)


async def _too_busy() -> None:
    raise Busy


@pytest.fixture(scope="module")
async def broken(api: Api) -> Api:
    """The shared stores behind an app with routes that fail."""
    app = create_app(api.resources.settings)
    app.state.resources = api.resources
    for route in (_raises, _recurses, _asks_badly, _redis_is_down, _postgres_is_down, _too_busy):
        app.add_api_route(f"/{route.__name__}", route)
    app.add_api_route("/_answers_wrongly", _answers_wrongly, response_model=list[int])
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    return Api(httpx.AsyncClient(transport=transport, base_url="http://localhost"))


@pytest.mark.parametrize("path", ["_raises", "_recurses", "_answers_wrongly", "_asks_badly"])
async def test_edg_6_a_500_gives_only_a_request_id(broken: Api, path: str) -> None:
    answer = await broken.http.get(f"/{path}", headers={"X-Request-Id": "request-of-mine"})
    assert error_of(answer) == (500, "internal_error")
    assert answer.json() == {
        "error": "internal_error",
        "detail": "Something went wrong; quote the request id.",
        "request_id": "request-of-mine",
    }


async def test_aud_2_a_failed_query_does_not_carry_its_parameters_into_the_log(api: Api) -> None:
    with pytest.raises(DBAPIError) as caught:
        await _asks_badly(api.resources)
    assert "nowhere" in str(caught.value)
    assert SECRET not in str(caught.value)


# What is sent as a name beyond those that there are, and how the answer names it. Forty characters are the most.
UNKNOWN = {
    "logn": "logn",
    "LOGIN": "LOGIN",
    "_login-2": "_login-2",
    "a" * 40: "a" * 40,
    "a" * 41: "?",
    "": "?",
    "2fa": "?",
    "pass word": "?",
    "hunter2!": "?",
    "логин": "?",
    "login\u200b": "?",
    "a.b": "?",
    "<b>": "?",
}


@pytest.mark.parametrize("name", UNKNOWN)
async def test_an_unknown_field_is_named_where_it_looks_like_a_name(
    api: Api, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    body = {"login": "a", "password": "b", name: "a canary of a value"}
    _, tokens = await api.as_role("superuser")
    capsys.readouterr()
    answers = {
        "body": await api.http.post(f"{V1}/auth/login", json=body),
        "query": await api.http.get(f"{V1}/admin/audit", params={name: body[name]}, headers=tokens.bearer),
    }
    for place, answer in answers.items():
        assert error_of(answer) == (422, "validation_error")
        (field,) = answer.json()["fields"]
        assert (field["field"], field["type"]) == (f"{place}.{UNKNOWN[name]}", "extra_forbidden")
        assert answer.json()["detail"].startswith(f"{place}.{UNKNOWN[name]} is not a field of this request")
        assert "canary" not in answer.text
        if UNKNOWN[name] == "?" and len(name) > 3:
            assert name not in answer.text
    said = capsys.readouterr().out
    assert said.count('"event": "request"') >= 2
    if len(name) > 5 and name.lower() != "login":
        assert name not in said  # EDG-6: whoever sent it is told, the log is not
    assert "canary" not in said


async def test_edg_6_a_key_that_is_a_value_too_is_not_named(api: Api) -> None:
    """It may be the password, of a client that took one for the other."""
    _, tokens = await api.as_role()
    secret = "hunter2hunter2"
    checks = [{"permission": "films:read", secret: ""}, {"permission": secret}]
    for answer in (
        await api.http.post(f"{V1}/auth/login", json={"login": "a", "password": secret, secret: 1}),
        await api.http.post(f"{V1}/auth/login", json={"login": "a", "password": {"deep": [secret]}, secret: 1}),
        await api.http.post(f"{V1}/permissions/check/batch", json={"checks": checks}, headers=tokens.bearer),
    ):
        assert error_of(answer) == (422, "validation_error")
        assert "? is not a field of this request" in answer.text
        assert secret not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "field", "meant"),
    [
        ("/auth/login", {"logn": "a", "password": "b"}, "body.logn", "login"),
        ("/auth/login", {"LOGIN": "a", "password": "b"}, "body.LOGIN", "login"),
        ("/auth/register", {"loggin": "a"}, "body.loggin", "login"),
        ("/auth/register", {"fullname": "a"}, "body.fullname", "full_name"),
        ("/auth/refresh", {"refreshToken": "a"}, "body.refreshToken", "refresh_token"),
        ("/permissions/check/batch", {"checks": [{"permision": "a"}]}, "body.checks.0.permision", "permission"),
        ("/auth/login", {"xyz": "a"}, "body.xyz", None),
    ],
)
async def test_the_field_that_was_meant_is_suggested(
    api: Api, path: str, body: dict[str, Any], field: str, meant: str | None
) -> None:
    _, tokens = await api.as_role()
    answer = await api.http.post(f"{V1}{path}", json=body, headers=tokens.bearer if "check" in path else {})
    assert error_of(answer) == (422, "validation_error")
    (message,) = [item["message"] for item in answer.json()["fields"] if item["field"] == field]
    expected = f"; did you mean {meant}?" if meant else ""
    assert message == f"is not a field of this request{expected}"


async def test_a_parameter_that_was_meant_is_suggested(api: Api) -> None:
    _, tokens = await api.as_role("superuser")
    for path, name, meant in (
        ("audit", "actr", "actor"),
        ("users", "serch", "search"),
        ("events", "userid", "user_id"),
        ("users", "createdSince", "created_since"),
    ):
        answer = await api.http.get(f"{V1}/admin/{path}", params={name: "x"}, headers=tokens.bearer)
        assert f"query.{name} is not a field of this request; did you mean {meant}?" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["_redis_is_down", "_postgres_is_down", "_too_busy"])
async def test_a_store_that_cannot_be_asked_is_a_503(broken: Api, path: str) -> None:
    answer = await broken.http.get(f"/{path}")
    assert error_of(answer) == (503, "busy" if path == "_too_busy" else "temporarily_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert SECRET not in answer.text


async def test_404_and_405_have_the_shape(api: Api) -> None:
    for path in ("/", "/nothing", f"{V1}/nothing", f"{V1}/users/me/", "//", "/health/live/", "/HEALTH/LIVE"):
        assert error_of(await api.http.get(f"http://localhost{path}")) == (404, "not_found"), path
    wrong = await api.http.delete(f"{V1}/auth/login")
    assert error_of(wrong) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_405_names_all_methods_of_the_path(api: Api) -> None:
    """RFC 9110 section 10.2.1; each method is a route of its own to the router."""
    for path, methods in (
        ("users/me", "DELETE, GET, HEAD, PATCH"),
        ("roles", "GET, HEAD, POST"),
        ("roles/guest", "DELETE, GET, HEAD, PATCH"),
        ("permissions/check", "POST"),
    ):
        answer = await api.http.put(f"{V1}/{path}")
        assert error_of(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == methods


async def test_adm_2_unlisted_methods_are_405(api: Api) -> None:
    listed: dict[str, set[str]] = {}
    for operation in operations():
        if "{" not in operation.path:
            listed.setdefault(operation.path, set()).add(operation.method)
    listed[f"{V1}/permissions/check"] |= {"GET", "PATCH", "DELETE"}  # to the router it is also a /permissions/{code}
    for path, methods in listed.items():
        for method in {"TRACE", "TRACK", "DEBUG", "CONNECT", "PROPFIND", "OPTIONS", "PUT", "DELETE", "PATCH"} - methods:
            answer = await api.http.request(method, path)
            assert error_of(answer) == (405, "method_not_allowed"), (method, path)


async def test_no_answer_for_foreign_pages(api: Api) -> None:
    """A browser gives our answers to no page of an origin that is not listed (SEC-1)."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        await api.http.options(f"{V1}/auth/login", headers=headers),
        await api.http.get("/health/live", headers=headers),
    ):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("given", ["a1b2c3d4", "A_b.c-9" * 9, "0" * 64])
async def test_a_harmless_request_id_comes_back(api: Api, given: str) -> None:
    answer = await api.http.get("/nothing", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == given


JUNK_IDS = [
    b"",
    b"short",
    b"a" * 65,
    b"with space",
    b"a\tbcdefgh",
    b"<script>alert(1)</script>",
    b'abcdefgh"',
    b"../../etc",
]
JUNK_IDS += [b"abcdefgh\n", b"\x1b[31mred!!", "жжжжжжжж".encode(), b"\xff" * 10, b"{jndi:ldap://x}"]


@pytest.mark.parametrize("given", JUNK_IDS)
async def test_aud_3_a_junk_request_id_is_replaced(api: Api, given: bytes) -> None:
    answer = await api.http.get("/nothing", headers=[(b"x-request-id", given)])
    assert re.fullmatch(r"[0-9a-f]{16}", answer.json()["request_id"])
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_two_requests_have_two_ids(api: Api) -> None:
    ids = {(await api.http.get("/health/live")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_headers_of_every_answer(api: Api, broken: Api) -> None:
    _, tokens = await api.as_role()
    answers = [
        await api.http.get("/health/live"),
        await api.me(tokens),
        await api.http.post(f"{V1}/auth/logout"),
        await api.http.get("/nothing"),
        await api.http.delete("/health/live"),
        await api.http.post(f"{V1}/auth/login", json={}),
        await api.http.post(f"{V1}/auth/login", content=b"{"),
        await api.http.get("/health/live", headers={"Host": "evil.example"}),
        await api.http.get("/health/live", headers={"X-Long": "a" * 20_000}),
        await broken.http.get("/_raises"),
        await broken.http.get("/_redis_is_down"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers.get_list("cache-control") == ["no-store"], answer.url
        assert len(answer.headers.get_list("x-request-id")) == 1
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers
    jwks = await api.http.get("/.well-known/jwks.json")
    assert jwks.headers.get_list("cache-control") == ["public, max-age=300"]


def _in_production() -> httpx.AsyncClient:
    settings = test_settings(
        app_env="production",
        secret_key=TEST_SECRET,
        database_url="postgresql://auth:other@localhost:1/auth",
        issuer="https://auth.cinema.example",
        allowed_hosts=("localhost",),
    )
    transport = httpx.ASGITransport(create_app(settings), client=("127.0.0.1", 50000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_hsts_in_production() -> None:
    async with _in_production() as http:
        for path in ("/health/live", "/nothing"):
            assert (await http.get(path)).headers["strict-transport-security"] == "max-age=31536000"


PROBES = f"""
    /auth/docs /auth/redoc /auth/openapi.json /auth/docs/oauth2-redirect /docs /redoc /openapi.json
    /docs/oauth2-redirect {V1}/openapi.json /swagger.json /debug /debug/pprof/ /.env /.git/config
    /static/ /actuator/env /server-status /admin /graphql /metrics/
""".split()


@pytest.mark.parametrize("path", PROBES)
async def test_adm_2_nothing_to_find_in_production(path: str) -> None:
    async with _in_production() as http:
        assert error_of(await http.get(path)) == (404, "not_found")


async def test_adm_2_the_documentation_elsewhere(api: Api) -> None:
    for path in ("/auth/docs", "/auth/redoc"):
        answer = await api.http.get(path)
        assert answer.status_code == 200
        assert "text/html" in answer.headers["content-type"]
    described = (await api.http.get("/auth/openapi.json")).json()
    assert f"{V1}/auth/login" in described["paths"]


# --- the list of codes

# Of the command line, and of the readiness report, which names them in its own way.
NOT_OF_THE_API = {"no_default_role", "no_demo_in_production", "not_migrated"}


def _subclasses(kind: type[AppError]) -> Iterator[type[AppError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _subclasses(below)


def _codes_in_the_code() -> set[tuple[int, str]]:
    for module in pkgutil.walk_packages(auth_service.__path__, "auth_service."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = [kind for kind in _subclasses(AppError) if kind.__module__.startswith("auth_service.")]
    kept = {(kind.status, kind.code) for kind in ours if kind.code not in NOT_OF_THE_API}
    return kept | {(404, "not_found"), (405, "method_not_allowed")}


def _documented() -> list[tuple[int, str]]:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return [
        (int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \| [^|]+ \| [^|]+ \|$", page, re.M)
    ]


def test_every_code_is_documented() -> None:
    documented = _documented()
    assert set(documented) == _codes_in_the_code()
    assert len(documented) == len(set(documented))
    assert documented == sorted(documented)


def test_a_connection_that_the_other_side_just_closed_is_a_store_failure() -> None:
    """uvloop, which the service runs on, has a RuntimeError for it."""

    async def write_to_the_dead() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.transport.abort()
            await asyncio.sleep(0)
            writer.writelines([b"PING"])

    with pytest.raises(RuntimeError) as failure, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write_to_the_dead())
    assert is_store_failure(failure.value)
    assert not is_store_failure(RuntimeError("something else"))
