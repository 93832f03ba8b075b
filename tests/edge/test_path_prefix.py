"""Below a path of a site: by ISSUER alone, with a proxy that strips the path and with one that does not."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from auth_service.config import ConfigError, load_settings
from tests.conftest import Fresh, Servers
from tests.support.api import PASSWORD, V1, Api, unique

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
            for path in ("/health/ready", "/auth/docs", "/")
        ],
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert site.resources.metrics.requests.labels("GET", "/users/me", "200")._value.get() > 0


async def test_links_of_pages_and_the_document_stay_below_it(site: Api) -> None:
    document = (await site.http.get("/id/auth/openapi.json")).json()
    assert document["servers"] == [{"url": "/id"}]
    for path in ("/id/", "/id/auth/docs", "/id/auth/redoc", "/id/forgot-password", "/id/dev/mails"):
        page = (await site.http.get(path, headers={"accept": "text/html"})).text
        absolute = [link for link in re.findall(r'(?:href|src|action)="([^"]*)"', page) if link.startswith("/")]
        assert not absolute, path


async def test_without_its_slash_it_is_sent_there(site: Api) -> None:
    answer = await site.http.get("/id?lang=ru")
    assert (answer.status_code, answer.headers["location"]) == (308, "/id/?lang=ru")


async def test_the_prefix_comes_once_and_from_no_header(site: Api) -> None:
    assert (await site.http.get("/id/id/health/live")).status_code == 404
    assert (await site.http.get("/identity/health/live")).status_code == 404
    for header in ("X-Forwarded-Prefix", "X-Script-Name", "X-Forwarded-Path"):
        assert (await site.http.get("/other/health/live", headers={header: "/other"})).status_code == 404
    document = (await site.http.get("/auth/openapi.json", headers={"X-Forwarded-Prefix": "/other"})).json()
    assert document["servers"] == [{"url": "/id"}]


async def test_mailed_links_lead_below_it(site: Api) -> None:
    account = await site.create_user()
    await site.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})
    mails = (await site.http.get("/dev/mails.json", params={"to": account.email})).json()
    assert any("https://cinema.example/id/reset-password" in mail["text"] for mail in mails), mails


@pytest.mark.parametrize("path", ["/auth", "/api/id", "/health/"])
def test_a_path_of_the_service_itself_is_refused(path: str) -> None:
    """Behind a proxy that strips it, /auth/docs could be /docs or /auth/docs."""
    with pytest.raises(ConfigError, match="ISSUER must not have a path that the service has itself"):
        load_settings(issuer=f"https://cinema.example{path}")
