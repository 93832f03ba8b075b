"""HEAD is a GET whose body stays with us (RFC 9110 section 9.3.2): what uptime monitors ask, on every route."""

import asyncio
import http.client
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from tests.conftest import Fresh
from tests.support.api import V1, Api
from tests.support.route_table import STREAMS
from tests.support.scrape import read, value

OUTSIDE_THE_DOCUMENT = [
    *(
        "/account/sign-in",
        "/robots.txt",
        "/favicon.ico",
        "/pages/pages.css",
        "/confirm-email",
        "/reset-password",
        "/nothing",
    ),
    *("/auth/docs", "/auth/docs/swagger-ui.css", "/auth/redoc", "/auth/openapi.json"),
]
STREAMED = {f"{V1}/users/me/export"}  # nobody knows its length beforehand
OWN_TO_EACH = {"x-request-id", "date"}


def same(answer: httpx.Response) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name not in OWN_TO_EACH}


async def both(api: Api, path: str, headers: dict[str, str]) -> tuple[httpx.Response, httpx.Response]:
    return await api.http.get(path, headers=headers), await api.http.head(path, headers=headers)


async def test_every_get_has_its_head(api: Api, app: FastAPI) -> None:
    paths = [path for path, methods in app.openapi()["paths"].items() if "get" in methods]
    assert len(paths) > 25
    _, tokens = await api.as_role("superuser")
    once = f"{V1}/admin/events"  # the first reader of an event gives it its number
    await api.http.get(once, headers=tokens.bearer)
    for path in set(paths) - STREAMS:  # theirs: tests/changes
        filled = path.replace("{user_id}", str(uuid4())).replace("{", "").replace("}", "")
        for headers in ({}, tokens.bearer):
            get, head = await both(api, filled, headers)
            assert head.status_code == get.status_code != 405, path
            assert head.content == b""
            assert same(head) == same(get), path
            length = int(head.headers["content-length"]) if path not in STREAMED else len(get.content)
            assert length == len(get.content), path


@pytest.mark.parametrize("path", OUTSIDE_THE_DOCUMENT)
async def test_pages_and_files_too(api: Api, path: str) -> None:
    # The first answer of a page sets a cookie that is another one each time.
    get, head = await both(api, path, {"Accept": "text/html", "Cookie": "auth_visitor=known"})
    assert (head.status_code, same(head), head.content) == (get.status_code, same(get), b"")
    assert int(head.headers["content-length"]) == len(get.content) > 0


@pytest.mark.parametrize(
    ("path", "status", "allow"),
    [
        (f"{V1}/auth/login", 405, "POST"),
        (f"{V1}/permissions/check/batch", 405, "POST"),
        (f"{V1}/roles/none", 401, None),
    ],
)
async def test_where_there_is_no_get_there_is_no_head(api: Api, path: str, status: int, allow: str | None) -> None:
    answer = await api.http.head(path)
    assert (answer.status_code, answer.headers.get("allow"), answer.content) == (status, allow, b"")


async def test_a_405_names_head_beside_get(api: Api) -> None:
    for path in (
        "/health/live",
        "/health/ready",
        "/metrics",
        "/.well-known/jwks.json",
        "/auth/docs",
        "/robots.txt",
    ):
        answer = await api.http.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), path


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Content-Length": "x"}, {"Authorization": "A" * 20_000}]
)
async def test_what_the_edge_refuses_has_no_body_either(api: Api, headers: dict[str, str]) -> None:
    get, head = await both(api, "/health/live", headers)
    assert get.status_code >= 400
    assert (head.status_code, same(head), head.content) == (get.status_code, same(get), b"")


async def test_a_head_is_counted_and_logged_under_the_route_of_its_get(fresh: Fresh) -> None:
    api = await fresh.api()
    with capture_logs() as logged:
        await api.http.head("/health/live")
    (line,) = [entry for entry in logged if entry["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("HEAD", "/health/live", 200)
    samples = await read(api)
    assert value(samples, "auth_http_requests_total", method="HEAD", route="/health/live", status="200") == 1


async def test_over_a_real_connection_the_next_answer_is_where_it_belongs(fresh: Fresh) -> None:
    """A body after a HEAD would be read as the beginning of the next answer."""
    service = await fresh.service(await fresh.settings())

    def ask() -> list[tuple[int, int, bytes]]:
        connection = http.client.HTTPConnection(service.base_url.removeprefix("http://"), timeout=30)
        found = []
        for method, path in (
            ("HEAD", "/health/ready"),
            ("HEAD", "/nothing"),
            ("HEAD", "/metrics"),
            ("GET", "/nothing"),
        ):
            connection.request(method, path)
            answer = connection.getresponse()
            found.append((answer.status, int(answer.headers["content-length"]), answer.read()))
        connection.close()
        return found

    *heads, (status, length, body) = await asyncio.to_thread(ask)
    assert [(head[0], head[2]) for head in heads] == [(200, b""), (404, b""), (200, b"")]
    assert all(head[1] > 0 for head in heads)
    assert (status, length) == (404, len(body))
