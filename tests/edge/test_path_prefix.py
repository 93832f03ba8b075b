"""Below a path of a site: by ISSUER alone, with a proxy that strips the path and with one that does not."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import unquote

import httpx
import orjson
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Message

from auth_service.config import OWN_PATHS, ConfigError, load_settings
from tests.conftest import Fresh, Servers
from tests.support.api import PASSWORD, V1, Api, unique
from tests.support.check_cast import BATCH, CHECK, QUERIES, VERIFY, Cast, both, cast_of
from tests.support.fast_answers import note_fast_answers
from tests.support.hostile import HOSTILE_PATH_PARTS
from tests.support.scrape import read, value

ISSUER = "https://cinema.example/id"


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        fresh = Fresh(servers, template, stack)
        yield await fresh.api(issuer=ISSUER, allowed_hosts=("cinema.example", "localhost"), app_env="development")


@pytest.fixture(params=["", "/id"], ids=["stripped", "not stripped"])
def at(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_every_kind_of_route_answers(site: Api, at: str) -> None:
    login = unique("prefixed")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    assert (await site.http.post(f"{at}{V1}/auth/register", json=body)).status_code == 201
    tokens = (await site.http.post(f"{at}{V1}/auth/login", json={"login": login, "password": PASSWORD})).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    answers = [
        await site.http.post(f"{at}{V1}/permissions/check", json={"permission": "films:read"}, headers=bearer),
        await site.http.post(f"{at}{V1}/permissions/check", json={"permission": "films:read"}, headers=bearer),
        await site.http.get(f"{at}{V1}/users/me", headers=bearer),
        await site.http.post(f"{at}{V1}/auth/refresh", json={"refresh_token": tokens["refresh_token"]}),
        await site.http.get(f"{at}/.well-known/jwks.json"),
        *[
            await site.http.get(f"{at}{path}", headers={"accept": "text/html"})
            for path in ("/health/ready", "/auth/docs", "/account/sign-in")
        ],
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert site.resources.metrics.requests.labels("GET", "/users/me", "200")._value.get() > 0


async def test_links_of_pages_and_the_document_stay_below_it(site: Api) -> None:
    document = (await site.http.get("/id/auth/openapi.json")).json()
    assert document["servers"] == [{"url": "/id"}]
    for path in ("/id/account/sign-in", "/id/auth/docs", "/id/auth/redoc", "/id/forgot-password", "/id/dev/mails"):
        page = await site.http.get(path, headers={"accept": "text/html"})
        assert page.status_code == 200
        absolute = [link for link in re.findall(r'(?:href|src|action)="([^"]*)"', page.text) if link.startswith("/")]
        assert not [link for link in absolute if not link.startswith("/id/")], path
    for path, leads_to in (("/id/", "account"), ("/id/account", "/id/account/sign-in")):
        assert (await site.http.get(path, headers={"accept": "text/html"})).headers["location"] == leads_to


async def test_without_its_slash_it_is_sent_there(site: Api) -> None:
    answer = await site.http.get("/id?lang=ru", headers={"x-request-id": "without-a-slash"})
    assert (answer.status_code, answer.headers["location"]) == (308, "/id/?lang=ru")
    assert answer.headers["x-request-id"] == "without-a-slash"
    assert (await site.http.get("/id", headers={"host": "evil.example"})).json()["error"] == "host_not_allowed"
    assert (await site.http.get("/id?a=%0d%0aX:y")).json()["error"] == "invalid_path"


async def test_the_prefix_comes_once_and_from_no_header(site: Api) -> None:
    assert (await site.http.get("/id/id/health/live")).status_code == 404
    assert (await site.http.get("/identity/health/live")).status_code == 404
    for header in ("X-Forwarded-Prefix", "X-Script-Name", "X-Forwarded-Path"):
        assert (await site.http.get("/other/health/live", headers={header: "/other"})).status_code == 404
    document = (await site.http.get("/auth/openapi.json", headers={"X-Forwarded-Prefix": "/other"})).json()
    assert document["servers"] == [{"url": "/id"}]


async def test_well_known_documents_are_at_the_root_of_the_site_too(site: Api) -> None:
    """RFC 8414 section 3.1: the well-known part stands before the issuer's path."""
    for name in ("authzen-configuration", "jwks.json"):
        inside, before = f"/id/.well-known/{name}", f"/.well-known/{name}/id"
        answers = [await site.http.get(path) for path in (inside, before)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
    document = (await site.http.get("/.well-known/authzen-configuration/id")).json()
    assert document.pop("policy_decision_point") == ISSUER
    assert all(address.startswith(f"{ISSUER}/access/v1/") for address in document.values())
    for path in (
        "/.well-known/jwks.json/identity",
        "/.well-known/x/jwks.json/id",
        "/.well-known/id",
        "/health/live/id",
    ):
        assert (await site.http.get(path)).status_code == 404, path


async def raw_answer(api: Api, path: str) -> tuple[int, Any, dict[bytes, bytes]]:
    """To a path as a client wrote it, which httpx would tidy up; as uvicorn hands it over."""
    transport = api.http._transport
    assert isinstance(transport, httpx.ASGITransport)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "query_string": b""},
        **{"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "scheme": "http", "http_version": "1.1"},
    }
    await transport.app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    try:
        told = orjson.loads(body)
        told.pop("request_id", None)
    except ValueError:
        told = body
    return sent[0]["status"], told, dict(sent[0]["headers"])


PARTS = [f"/health/{part}" for part in HOSTILE_PATH_PARTS]
BELOW = [
    *("//api/v1/users/me", "/../api/v1/users/me", "/./health/live", "/%2e%2e/metrics", "/api/v1//users/me", "//"),
    *("/%2Fhealth/live", "/health%2Flive", "/health/live/", "/HEALTH/live", "/health/live;x", "/;x", "/*", "/.."),
    *("/%00", "/%ff", "/%0d%0aX-Injected:%20y", "/" + "a" * 17_000, "/\u00fcber", "/auth/docs/", "/pages/../config.py"),
    *PARTS,
]
BESIDE = ["/ID/health/live", "/Id", "/id;x", "/id;x/health/live", "/idx", "//id/health/live", "/%2Fid/health/live"]
BESIDE += ["/id%00/health/live", "/./id/health/live", "/x/../id/health/live", "/id%20/health/live", "/id%0a", "/%ffid/"]


@pytest.mark.parametrize("path", BELOW)
async def test_edg_3_a_hostile_path_is_below_it_what_it_is_without(site: Api, path: str) -> None:
    status, told, headers = await raw_answer(site, path)
    below = await raw_answer(site, f"/id{path}")
    assert below[:2] == (status, told)
    assert below[2].keys() == headers.keys()
    assert status < 500


@pytest.mark.parametrize("path", BESIDE)
async def test_edg_3_what_only_looks_like_it_is_no_prefix(site: Api, api: Api, path: str) -> None:
    status, told, _ = await raw_answer(site, path)
    assert (status, told) == (await raw_answer(api, path))[:2]
    assert status in {400, 404}


@pytest.mark.parametrize("path", ["/%69d/health/live", "/id%2Fhealth/live", "/i%64/health/live"])
async def test_the_decoded_path_counts(site: Api, path: str) -> None:
    assert (await raw_answer(site, path))[0] == 200


@pytest.fixture(scope="module")
async def cast(site: Api) -> Cast:
    return await cast_of(site)


@pytest.fixture
async def at_it(site: Api, cast: Cast, at: str) -> AsyncIterator[Cast]:
    transport = site.http._transport
    async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost{at}") as http:
        yield Cast(Api(http, site.resources), cast.callers, cast.codes, cast.users)


async def test_chk_1_checks_from_memory_are_those_of_the_ordinary_way(site: Api, at_it: Cast) -> None:
    cast = at_it
    before = value(await read(site), "auth_check_hits_total", route=CHECK)
    for caller in ("holder", "service", "poor service", "logged out", "none"):
        for code in cast.codes:
            body = orjson.dumps({"permission": code, "user_id": cast.users[0]})
            await both(cast, caller, "POST", CHECK, body, times=2)
        await both(cast, caller, "GET", f"{VERIFY}?permission={cast.codes[0]}", times=2)
    for query in QUERIES:
        await both(cast, "holder", "GET", f"{VERIFY}{query}", times=2)
    checks = orjson.dumps({"checks": [{"permission": code} for code in cast.codes]})
    assert (await both(cast, "holder", "POST", BATCH, checks, times=2)).status_code == 200
    assert value(await read(site), "auth_check_hits_total", route=CHECK) > before + len(cast.codes)


async def test_fast_routes_answer_as_the_ordinary_ones(at_it: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = note_fast_answers(monkeypatch)
    cast = at_it
    question = {"subject": {"type": "user", "id": cast.users[0]}, "action": {"name": "watch"}}
    question["resource"] = {"type": "films", "id": "1"}
    wrong = orjson.dumps({"login": "nobody-at-all", "password": "wrong horse battery"})
    seen = [
        await both(cast, "holder", "GET", "/users/me"),
        await both(cast, "service", "POST", "/access/v1/evaluation", orjson.dumps(question)),
        await both(cast, "none", "POST", "/auth/login", wrong),
        await both(cast, "none", "POST", "/auth/refresh", b'{"refresh_token":"junk"}'),
    ]
    assert [answer.status_code for answer in seen] == [200, 200, 401, 401]
    assert len(answered) == len(seen), answered


async def test_cke_1_cookies_are_those_of_the_whole_host(site: Api) -> None:
    """__Host- wants Path=/; and the page's origin is that of the site, without the path."""
    account = await site.create_user()
    body = {"login": account.login, "password": account.password}
    way = {"x-token-transport": "cookie", "origin": "https://cinema.example"}
    answer = await site.http.post(f"/id{V1}/auth/login", json=body, headers=way)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://cinema.example"
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 4
    assert all(cookie.startswith("__Host-") and "; Path=/;" in cookie for cookie in cookies), cookies
    for origin in ("https://cinema.example/id", "https://cinema.example.evil.example", "null"):
        refused = await site.http.post(f"/id{V1}/auth/login", json=body, headers=way | {"origin": origin})
        assert refused.json()["error"] == "csrf_refused"
        assert "access-control-allow-origin" not in refused.headers


async def test_mailed_links_lead_below_it(site: Api) -> None:
    account = await site.create_user()
    await site.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})
    mails = (await site.http.get("/dev/mails.json", params={"to": account.email})).json()
    assert any("https://cinema.example/id/reset-password" in mail["text"] for mail in mails), mails


@pytest.mark.parametrize("path", ["/auth", "/api/id", "/health/", "/metrics", "/reset-password", "/account"])
def test_a_path_of_the_service_itself_is_refused(path: str) -> None:
    """Behind a proxy that strips it, /auth/docs could be /docs or /auth/docs."""
    with pytest.raises(ConfigError, match="ISSUER must not have a path that the service has itself"):
        load_settings(issuer=f"https://cinema.example{path}")


def test_every_path_of_the_service_counts_as_its_own(app: FastAPI) -> None:
    paths = [str(route.path) for route in iter_route_contexts(app.routes)]
    assert {path.split("/")[1] for path in paths} - {""} <= OWN_PATHS
    assert "/forgot-password" in paths
