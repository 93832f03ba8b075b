"""How much, how often, and under which name: bodies, headers, rates, Host, also from clients that break HTTP."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from auth_service.config import Settings
from auth_service.core.http.edge import BODY_LIMIT, BODY_LIMITS, HEADER_LIMIT
from tests.conftest import Fresh, running_app, test_settings
from tests.support.api import PASSWORD, V1, Api, error_of
from tests.support.service_process import ServiceProcess, running_service

AUTH_LIMIT = BODY_LIMITS["/api/v1/auth/"]
LOGIN = f"{V1}/auth/login"
CHECK = f"{V1}/permissions/check"


def _padded(size: int) -> bytes:
    """A JSON object of exactly this many bytes that every route refuses for its content, not for its size."""
    return b'{"a": "' + b"b" * (size - 9) + b'"}'


@pytest.mark.parametrize(("path", "limit"), [(LOGIN, AUTH_LIMIT), (CHECK, BODY_LIMIT), (f"{CHECK}/batch", 256 * 1024)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_edg_4_the_last_byte_that_is_taken(api: Api, path: str, limit: int, chunked: bool) -> None:
    _, tokens = await api.as_role()

    async def send(size: int) -> httpx.Response:
        async def chunks() -> AsyncIterator[bytes]:
            body = _padded(size)
            for start in range(0, size, 10_000):
                yield body[start : start + 10_000]

        headers = {"Content-Type": "application/json", **tokens.bearer}
        return await api.http.post(path, content=chunks() if chunked else _padded(size), headers=headers)

    assert error_of(await send(limit)) == (422, "validation_error")
    refused = await send(limit + 1)
    assert error_of(refused) == (413, "body_too_large")
    assert refused.headers["connection"] == "close"


async def test_a_thousand_checks_fit(api: Api) -> None:
    _, tokens = await api.as_role("admin")
    one = {"permission": "a" * 63 + ":" + "b" * 63, "user_id": "0" * 8 + "-0000-0000-0000-000000000000"}
    answer = await api.http.post(f"{CHECK}/batch", json={"checks": [one] * 1000}, headers=tokens.bearer)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "declared", ["-1", "1e3", "0x10", "+5", "5, 5", "", " ", "9" * 5000, "99999999999999999999", "²"]
)
async def test_edg_4_a_length_that_is_no_length(api: Api, declared: str) -> None:
    headers = [(b"content-length", declared.encode("latin-1")), (b"content-type", b"application/json")]
    assert error_of(await api.http.post(LOGIN, content=b"{}", headers=headers)) == (413, "body_too_large")


@pytest.mark.parametrize("headers", [{"X-Long": "a" * HEADER_LIMIT}, {f"X-Many-{n}": "a" * 50 for n in range(400)}])
async def test_edg_4_headers_are_limited(api: Api, headers: dict[str, str]) -> None:
    refused = await api.http.get("/health/live", headers=headers)
    assert error_of(refused) == (431, "headers_too_large")
    assert refused.headers["connection"] == "close"


async def test_edg_4_so_is_the_address(api: Api) -> None:
    for url in (f"{V1}/roles/{'a' * HEADER_LIMIT}", f"{V1}/roles?{'a' * HEADER_LIMIT}"):
        assert error_of(await api.http.get(url)) == (431, "headers_too_large")


HOSTS_REFUSED = [
    "evil.example",
    "localhost.evil.example",
    "evil.localhost",
    "localhost@evil.example",
    "localhost, evil.example",
    "localhost evil.example",
    "localhost/x?y",
    "a/b?c",
    "localhost#x",
    "localhost:",
    "localhost:80:80",
    "localhost:80x",
    "localhost:999999",
    "localhost:-1",
    "localhost:²",
    "localhost.",
    "127.0.0.1.",
    "127.1",
    "[::1",
    "[::1]x",
    "[::2]",
    "::1",
    "",
    " ",
    "*",
    "\xff",
]


@pytest.mark.parametrize("host", HOSTS_REFUSED)
async def test_edg_3_a_host_that_is_not_listed(api: Api, host: str) -> None:
    answer = await api.http.get("/.well-known/jwks.json", headers=[(b"host", host.encode("latin-1"))])
    assert error_of(answer) == (400, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
async def test_edg_3_a_host_that_is(api: Api, host: str) -> None:
    assert (await api.http.get("/health/live", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "[fd00::7]:8000", "10.1.2.3"])
async def test_edg_3_machines_find_a_replica_by_its_address_and_nobody_else_does(api: Api, host: str) -> None:
    """Probes of an orchestrator and Prometheus; a page that reaches in by DNS rebinding sends its own name."""
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert (await api.http.get(path, headers={"Host": host})).status_code == 200
        for name in ("evil.example", "10.1.2.3.evil.example", "10.1.2.3:8000x", ""):
            assert error_of(await api.http.get(path, headers={"Host": name})) == (400, "host_not_allowed")
    for path in ("/.well-known/jwks.json", "/health/live/", "/health/other", f"{V1}/users/me", "/"):
        assert error_of(await api.http.get(path, headers={"Host": host})) == (400, "host_not_allowed")


async def test_edg_3_two_hosts_are_refused(api: Api) -> None:
    for hosts in (["localhost", "evil.example"], ["evil.example", "localhost"], ["localhost", "localhost"]):
        headers = [(b"host", host.encode()) for host in hosts]
        assert error_of(await api.http.get("/health/live", headers=headers)) == (400, "host_not_allowed")


async def test_edg_3_no_other_header_names_the_host(api: Api) -> None:
    _, tokens = await api.as_role()
    for name in ("X-Forwarded-Host", "X-Host", "X-Original-Url", "X-Rewrite-Url", "Forwarded", "X-Forwarded-Prefix"):
        answer = await api.http.get(f"{V1}/users/me", headers={name: "evil.example/x", **tokens.bearer})
        assert answer.status_code == 200
        assert "evil" not in answer.text + str(answer.headers)


# --- rates

RATED = {
    "login": (LOGIN, {"login": "nobody", "password": PASSWORD}),
    "register": (f"{V1}/auth/register", {"login": "a", "email": "a", "password": "a"}),
    "refresh": (f"{V1}/auth/refresh", {"refresh_token": "a"}),
    "token": (f"{V1}/auth/token", {"grant_type": "client_credentials"}),
}


def _strict(shared: Settings, **more: Any) -> Settings:
    """On the shared stores, but with five calls an hour."""
    rates = {f"rate_limit_{name}": "5/hour" for name in RATED}
    urls = {name: getattr(shared, name).get_secret_value() for name in ("database_url", "redis_url")}
    return test_settings(**urls, **rates, **more)


async def _call(api: Api, name: str, forwarded: str | None = None) -> httpx.Response:
    path, body = RATED[name]
    return await api.http.post(path, json=body, headers={} if forwarded is None else {"X-Forwarded-For": forwarded})


async def test_edg_2_of_parallel_calls_exactly_the_limit_passes(shared_settings: Settings) -> None:
    """Each route has its own count; a made-up address is nobody's (EDG-1)."""
    async with running_app(_strict(shared_settings)) as api:
        for name in RATED:
            answers = await asyncio.gather(*(_call(api, name, f"192.0.2.{n}") for n in range(40)))
            counted = Counter(answer.status_code for answer in answers)
            assert counted[429] == 35, (name, counted)
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert error_of(refused) == (429, "rate_limited")
            assert 3000 < int(refused.headers["retry-after"]) <= 3600
            assert refused.headers["cache-control"] == "no-store"
        assert (await api.http.get("/health/live")).status_code == 200


async def test_edg_2_a_refused_call_does_nothing(shared_settings: Settings) -> None:
    async with running_app(_strict(shared_settings)) as api:
        account = await api.create_user()
        for _ in range(5):
            await _call(api, "login")
        right = {"login": account.login, "password": account.password}
        assert error_of(await api.http.post(LOGIN, json=right)) == (429, "rate_limited")
        junk = await api.http.post(LOGIN, content=b"{", headers={"Content-Type": "application/json"})
        assert error_of(junk) == (400, "invalid_json")  # the edge is before the rate
        assert await api.resources.hot.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", account.id) == 0


async def test_edg_2_the_window_opens_again(shared_settings: Settings) -> None:
    async with running_app(_strict(shared_settings).model_copy(update={"rate_limit_token": "2/second"})) as api:
        statuses = [(await _call(api, "token")).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        await asyncio.sleep(1.1)
        assert (await _call(api, "token")).status_code == 401


async def test_edg_1_a_listed_proxy_is_believed_about_the_last_hop(shared_settings: Settings) -> None:
    async with running_app(_strict(shared_settings, trusted_proxies=("127.0.0.1", "10.0.0.0/8"))) as api:

        async def passes(forwarded: str | None) -> bool:
            return (await _call(api, "token", forwarded)).status_code != 429

        # What a client writes on the left of its own address changes nothing.
        assert [await passes(f"198.51.100.{n}, 203.0.113.1") for n in range(6)] == [True] * 5 + [False]
        assert [await passes(f"203.0.113.1, 10.0.0.{n}") for n in range(2)] == [False] * 2
        assert await passes("203.0.113.2")
        # One subscriber has a /64.
        assert [await passes(f"2001:db8::{n:x}:1") for n in range(6)] == [True] * 5 + [False]
        assert await passes("2001:db8:0:1::1")
        # Junk counts for the proxy itself, however it is varied.
        assert [await passes(f"junk{n}") for n in range(6)] == [True] * 5 + [False]
        assert not await passes(None)


# --- over TCP, without a client library that would refuse to send it


@pytest.fixture(scope="module")
async def service(shared_settings: Settings) -> AsyncIterator[ServiceProcess]:
    """After all of its tests it is still well, and has logged no error."""
    async with running_service(shared_settings, 1, {}) as service:
        yield service
        assert (await service.http.get("/health/ready")).status_code == 200
        for line in service.log().splitlines():
            entry = json.loads(line)
            assert entry["level"] in {"info", "warning"}, entry
            assert entry.get("status", 0) < 500, entry


def _port(service: ServiceProcess) -> int:
    return int(service.base_url.rpartition(":")[2])


async def _raw(service: ServiceProcess, *pieces: bytes, half_close: bool = True) -> bytes:
    """Whatever comes back until the service closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(service))
    try:
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if half_close:
                writer.write_eof()
        received = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while chunk := await reader.read(65536):
                    received += chunk
        return received
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", received)]


POST = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"

# One answer, 400, and the connection closed: nothing behind it may be taken for a second request.
BROKEN_HTTP = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + SMUGGLED,
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
    "list of lengths": POST + b"Content-Length: 2, 60\r\n\r\n{}" + SMUGGLED,
    "length with a sign": POST + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
    "negative length": POST + b"Content-Length: -1\r\n\r\n{}" + SMUGGLED,
    "hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}" + SMUGGLED,
    "length beyond 64 bits": POST + b"Content-Length: 18446744073709551618\r\n\r\n{}" + SMUGGLED,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n{}" + SMUGGLED,
    "chunked is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size beyond 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\n1" + b"0" * 16 + b"\r\n{}\r\n" + SMUGGLED,
    "lying chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "NUL in a header": GET + b"X-A: a\x00b\r\n\r\n" + SMUGGLED,
    "line break in a header": GET + b"X-A: a\rb\r\n\r\n" + SMUGGLED,
    "space in a header's name": GET + b"X A: a\r\n\r\n" + SMUGGLED,
    "header without a name": GET + b": a\r\n\r\n" + SMUGGLED,
    "header without a colon": GET + b"X-A\r\n\r\n" + SMUGGLED,
    "no method": b"/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    "unknown method": b"EVIL /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    "HTTP/9.9": b"GET /health/live HTTP/9.9\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "noise": bytes(range(256)) * 40,
}


@pytest.mark.parametrize("sent", BROKEN_HTTP.values(), ids=BROKEN_HTTP)
async def test_edg_4_what_two_servers_could_read_in_two_ways(service: ServiceProcess, sent: bytes) -> None:
    received = await _raw(service, sent)
    assert _statuses(received) == [400], received
    assert b"alive" not in received


# Whole requests, but none that we want.
REFUSED_HTTP = {
    "no Host": (b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n", 400, b"host_not_allowed"),
    "HTTP/1.0 without a Host": (b"GET /health/live HTTP/1.0\r\n\r\n", 400, b"host_not_allowed"),
    "two Hosts": (GET + b"Host: localhost\r\nConnection: close\r\n\r\n", 400, b"host_not_allowed"),
    "whole address": (
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        400,
        b"host_not_allowed",
    ),
    "100 KB header": (GET + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", 431, b"headers_too_large"),
    "2,000 headers": (GET + b"X-A: abcdefgh\r\n" * 2000 + b"\r\n", 431, b"headers_too_large"),
    "40 KB path": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, b"headers_too_large"),
    "too long, declared": (POST + b"Content-Length: 99999\r\n\r\n", 413, b"body_too_large"),
    "too long, asks first": (
        POST + b"Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n",
        413,
        b"body_too_large",
    ),
    "too long, in chunks": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"a" * 4096 + b"\r\n") * 8,
        413,
        b"body_too_large",
    ),
    "TRACE": (
        b"TRACE /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        405,
        b"method_not_allowed",
    ),
    "NUL in the path": (
        b"GET /health/live%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        400,
        b"invalid_path",
    ),
    "latin-1 in the path": (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400, b""),
    "nothing to upgrade to": (
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        404,
        b"not_found",
    ),
}


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED_HTTP.values(), ids=REFUSED_HTTP)
async def test_edg_4_whole_requests_that_are_too_much(
    service: ServiceProcess, sent: bytes, status: int, code: bytes
) -> None:
    received = await _raw(service, sent)
    assert _statuses(received) == [status], received
    assert code in received


async def test_edg_4_a_body_longer_than_declared_is_cut_and_its_rest_refused(service: ServiceProcess) -> None:
    received = await _raw(service, POST + b'Content-Length: 2\r\n\r\n{}, "login": "a"}' + b"\r\n\r\n" + SMUGGLED)
    assert _statuses(received) in ([422, 400], [400]), received
    assert b"alive" not in received


async def test_edg_4_half_requests_are_answered_by_nobody(service: ServiceProcess) -> None:
    """The client went away: no route may see what was left of its body, even where that looks whole."""
    login = "half-" + "a" * 20
    whole = json.dumps({"login": login, "email": f"{login}@example.com", "password": PASSWORD}).encode()
    register = POST.replace(b"login", b"register") + b"Content-Length: %d\r\n\r\n" % (len(whole) + 1) + whole
    for sent in (b"G", GET, GET + b"X-A: ", POST + b"Content-Length: 10\r\n\r\n{", register):
        assert await _raw(service, sent) == b""
    async with asyncio.timeout(20):
        while "/auth/register" not in service.log():  # noqa: ASYNC110  written when all is over
            await asyncio.sleep(0.05)
    nobody = await service.http.post(LOGIN, json={"login": login, "password": PASSWORD})
    assert error_of(nobody) == (401, "invalid_credentials")


async def test_edg_4_endless_bodies_are_not_kept_in_memory(service: ServiceProcess) -> None:
    """Thirty clients that would send 20 MB each, whatever they were told."""
    process = psutil.Process(service.pid)
    assert _statuses(await _raw(service, GET + b"Connection: close\r\n\r\n")) == [200]
    before = process.memory_info().rss
    endless = [POST + b"Transfer-Encoding: chunked\r\n\r\n"] + [b"10000\r\n" + b"a" * 65536 + b"\r\n"] * 320
    lying = [POST + b"Content-Length: 16000\r\n\r\n"] + [b" " * 65536] * 320
    await asyncio.gather(*(_raw(service, *pieces) for pieces in [endless, lying] * 15))
    assert process.memory_info().rss - before < 20 * 2**20


async def test_edg_2_routes_that_check_a_password_of_a_logged_in_user_are_limited_too(fresh: Fresh) -> None:
    """Each costs a hash, and hashes are what logins queue for."""
    api = await fresh.api(rate_limit_login="5/minute")
    _, tokens = await api.as_role()
    wrong = {"current_password": "not the password"}
    calls = [
        ("POST", "/users/me/password", wrong | {"new_password": "a new one of mine"}),
        ("POST", "/users/me/login", wrong | {"login": "another-login"}),
        ("DELETE", "/users/me", wrong),
        ("POST", "/mfa/totp", wrong),
        ("DELETE", "/mfa/totp", wrong | {"code": "000000"}),
        ("POST", "/mfa/recovery-codes", wrong | {"code": "000000"}),
        ("POST", "/mfa/totp/confirm", {"code": "000000"}),
    ]
    answers = [
        await api.http.request(method, f"{V1}{path}", json=body, headers=tokens.bearer) for method, path, body in calls
    ]
    assert [answer.status_code for answer in answers] == [403] * 4 + [429] * 3
