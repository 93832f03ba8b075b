"""The nginx block of docs/forward-auth.md, run: who gets through, and what the service behind is told."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, Fresh, Servers
from tests.operations.nginx import running_nginx
from tests.support.access import create_permission, create_role, grant
from tests.support.api import V1, Account, Api, Tokens
from tests.support.service_process import free_port

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs a program that pip cannot give: nginx")

SECRET = "the film itself"
HOSTS = {"allowed_hosts": ("service", "localhost", "127.0.0.1"), "trusted_proxies": ("127.0.0.1",)}


@dataclass
class Films:
    """The guarded service: it answers with the headers it got."""

    port: int = field(default_factory=free_port)
    asked: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        body = json.dumps({"request": head[0], "headers": [[name.lower(), value] for name, value in pairs]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@dataclass
class Site:
    http: httpx.AsyncClient
    port: int
    films: Films

    async def told(self, headers: dict[str, str]) -> dict[str, str]:
        """Of what reached the films, the headers that concern us."""
        answer = await self.http.get("/films/1", headers=headers)
        assert answer.status_code == 200, answer.text
        names = [name for name, _ in answer.json()["headers"]]
        assert len(names) == len(set(names))
        return {
            name: value
            for name, value in answer.json()["headers"]
            if name.replace("_", "-").startswith("x-auth") or name in {"authorization", "cookie"}
        }


@asynccontextmanager
async def running_site(folder: Path, service: str) -> AsyncIterator[Site]:
    document = (ROOT / "docs" / "forward-auth.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", document, re.M | re.S)
    films, port = Films(), free_port()
    media = folder / "srv" / "media"
    media.mkdir(parents=True)
    (media / "film.mp4").write_text(SECRET)
    (folder / "srv" / "beside.txt").write_text(SECRET)
    for old, new in {
        "listen 8081": f"listen 127.0.0.1:{port}",
        "films.cinema.example": "localhost",
        "http://service:8000": f"http://{service}",
        "http://films:9000": f"http://127.0.0.1:{films.port}",
        "/srv/media/": f"{media}/",
    }.items():
        assert old in block
        block = block.replace(old, new)
    server = await asyncio.start_server(films.serve, "127.0.0.1", films.port)
    async with (
        server,
        running_nginx(folder / "nginx", service, {"films.conf": block}),
        httpx.AsyncClient(base_url=f"http://localhost:{port}", trust_env=False, timeout=20) as http,
    ):
        yield Site(http, port, films)


@pytest.fixture(scope="module")
async def api(servers: Servers, template: str) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        yield await Fresh(servers, template, stack).api(**HOSTS)


@pytest.fixture(scope="module")
async def site(
    servers: Servers, api: Api, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        service = await Fresh(servers, template, stack).service(api.resources.settings)
        address = service.base_url.removeprefix("http://")
        yield await stack.enter_async_context(running_site(tmp_path_factory.mktemp("site"), address))


@pytest.fixture(scope="module")
async def subscriber(api: Api) -> tuple[Account, Tokens]:
    return await api.as_role("subscriber")


async def test_the_service_behind_is_told_who_is_calling(site: Site, subscriber: tuple[Account, Tokens]) -> None:
    account, tokens = subscriber
    assert await site.told(tokens.bearer) == {"x-auth-user": str(account.id), "x-auth-session": tokens.session_id}
    media = await site.http.get("/media/film.mp4", headers=tokens.bearer)
    assert (media.status_code, media.text) == (200, SECRET)


async def test_headers_that_a_client_forges_do_not_pass(
    site: Site, api: Api, subscriber: tuple[Account, Tokens]
) -> None:
    account, tokens = subscriber
    forged = dict.fromkeys(("X-Auth-User", "x-auth-session", "X-AUTH-SERVICE", "X_Auth_User"), "forged")
    told = await site.told(tokens.bearer | forged)
    assert told == {"x-auth-user": str(account.id), "x-auth-session": tokens.session_id}
    _, root = await api.as_role("superuser")
    service = await api.service_token(*await api.create_service(root, ["films:watch"]))
    told = await site.told(service | forged)
    assert told.keys() == {"x-auth-service"}
    assert "forged" not in told.values()


async def test_who_may_not_is_refused_with_the_reason(site: Site, api: Api) -> None:
    before = site.films.asked
    for headers in ({}, {"Authorization": "Bearer junk"}, {"X-Auth-User": "forged", "X-Original-URI": "/public"}):
        refused = await site.http.get("/films/1", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
    _, viewer = await api.as_role()
    refused = await site.http.get("/films/1?permission=films:read", headers=viewer.bearer)
    assert (refused.status_code, refused.headers["x-auth-reason"]) == (403, "no_grant")
    assert site.films.asked == before


async def test_a_grant_and_its_end_count_for_the_next_request(site: Site, api: Api) -> None:
    _, root = await api.as_role("superuser")
    account, tokens = await api.as_role()
    assert (await site.http.get("/films/1", headers=tokens.bearer)).status_code == 403
    await grant(api, root, account.id, "subscriber")
    assert (await site.http.get("/films/1", headers=tokens.bearer)).status_code == 200
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    assert (await site.http.get("/films/1", headers=tokens.bearer)).status_code == 401


async def test_step_up_required_is_told(site: Site, api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    marked = await api.http.patch(f"{V1}/permissions/films:watch", json={"step_up": True}, headers=root.bearer)
    assert marked.status_code == 200
    account, tokens = await api.as_role()
    await grant(api, root, account.id, await create_role(api, root, code, "films:watch"))
    try:
        refused = await site.http.get("/films/1", headers=tokens.bearer)
        assert (refused.status_code, refused.headers["x-auth-reason"]) == (403, "step_up_required")
    finally:
        await api.http.patch(f"{V1}/permissions/films:watch", json={"step_up": False}, headers=root.bearer)


async def test_cke_2_a_cookie_lets_read_and_nothing_else(site: Site, subscriber: tuple[Account, Tokens]) -> None:
    """A page of a sibling host sends it along; no CSRF token is asked for here."""
    _, tokens = subscriber
    cookie = {"Cookie": f"auth_access={tokens.access}"}
    assert (await site.http.get("/films/1", headers=cookie)).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await site.http.request(method, "/films/1", headers=cookie)).status_code == 401
        assert (await site.http.request(method, "/films/1", headers=tokens.bearer)).status_code == 200


async def test_a_body_reaches_the_films_and_not_the_question(site: Site, subscriber: tuple[Account, Tokens]) -> None:
    _, tokens = subscriber
    answer = await site.http.post("/films/1", headers=tokens.bearer, content=b"x" * 30_000)
    assert answer.status_code == 200
    assert ["content-length", "30000"] in answer.json()["headers"]


PATHS = [
    "/media/film.mp4",
    "//media/film.mp4",
    "/media//film.mp4",
    "/%6dedia/film.mp4",
    "/x/../media/film.mp4",
    "/films/../media/film.mp4",
    "/films/%2e%2e/media/film.mp4",
    "/films/..%2fmedia/film.mp4",
    "/./media/./film.mp4",
    "/MEDIA/film.mp4",
    "/media/film.mp4/",
    "/media/film.mp4?permission=films:read",
    "/media/film.mp4%00",
    "/media/..;/film.mp4",
    "/media",
    "/media../media/film.mp4",
    "/media../beside.txt",
    "/media/../beside.txt",
    "/media/..%2fbeside.txt",
    "/media/%2e%2e/beside.txt",
    "/_auth",
    "/_auth?permission=films:read",
    "/_unknown",
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_spelling_of_a_path_leads_around_the_question(site: Site, path: str) -> None:
    """Raw, since a client would tidy it up."""
    before = site.films.asked
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\nRange: bytes=0-3\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert int(answer.split()[1]) in {301, 400, 401, 404}, answer
    assert SECRET[:4].encode() not in answer.partition(b"\r\n\r\n")[2], answer
    assert site.films.asked == before


async def test_chk_4_unknown_is_a_503(tmp_path: Path, subscriber: tuple[Account, Tokens]) -> None:
    """The service is away: neither a yes nor a no, and the films are not asked."""
    async with running_site(tmp_path, f"127.0.0.1:{free_port()}") as site:
        for path in ("/films/1", "/media/film.mp4"):
            answer = await site.http.get(path, headers=subscriber[1].bearer)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert SECRET not in answer.text
        assert site.films.asked == 0
