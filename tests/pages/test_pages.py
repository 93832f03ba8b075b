"""What a person meets in a browser: nothing inline, nothing from another host, and words in both languages."""

import asyncio
import re
from dataclasses import replace

import jinja2
import pytest

from auth_service import __version__
from auth_service.config import Environment, Settings
from auth_service.core.accept import by_preference
from auth_service.jobs import jobs_of
from auth_service.pages import templating
from auth_service.pages.catalogue import LANGUAGES
from auth_service.pages.docs_router import FILES
from tests.conftest import Fresh
from tests.support.api import Api, error_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
LINKS = ("/confirm-email", "/reset-password", "/forgot-password")
DOCS = ("/auth/docs", "/auth/redoc")
REST = {"script-src": "'self'", "img-src": "'self' data:", "default-src": "'none'", "base-uri": "'none'"}


@pytest.mark.parametrize("path", [*LINKS, *DOCS, "/dev/mails"])
async def test_a_page_loads_its_own_files_and_nothing_else(fresh: Fresh, path: str) -> None:
    api = await fresh.api(app_env="development")
    page = await api.http.get(path, headers=BROWSER)
    assert page.status_code == 200
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy | REST == policy
    assert (policy["frame-ancestors"], policy["form-action"]) == ("'none'", "'self'" if path in LINKS else "'none'")
    assert "unsafe" not in str(policy)
    assert page.headers["cache-control"] == "no-store"
    assert not re.findall(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:", page.text)
    assert page.text.count("<h1>") == (path not in DOCS)
    loaded = re.findall(r'<(?:script|link|img)\b[^>]* (?:src|href)="([^"]*)"', page.text)
    assert loaded
    for address in loaded:
        file = await api.http.get(str(page.url.join(address)))
        assert (file.status_code, file.headers["cache-control"]) == (200, "public, max-age=3600"), address
        name = address.partition("?")[0]
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[name.rpartition(".")[2]]
        assert file.headers["content-type"].partition(";")[0] == kind
        assert file.headers["x-content-type-options"] == "nosniff"
        if "etag" not in file.headers:
            assert "brand.css?" in address, "which has another address after a change"
            continue
        again = await api.http.get(str(page.url.join(address)), headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_the_documentation_names_no_other_host(api: Api) -> None:
    for page in DOCS:
        assert "://" not in (await api.http.get(page)).text
    for folder, files in FILES.items():
        for name in files:
            assert (await api.http.get(f"/auth/{folder}/{name}")).status_code == 200, name
    for page in DOCS:
        moved = await api.http.get(f"{page}/")
        assert (moved.status_code, str(moved.url.join(moved.headers["location"]).path)) == (308, page)
    assert error_of(await api.http.get("/auth/docs/LICENSE")) == (404, "not_found")
    assert error_of(await api.http.get("/auth/redoc/..%2fswagger%2fLICENSE")) == (404, "not_found")


async def test_the_bare_address_leads_people_to_the_account_and_programs_nowhere(api: Api, fresh: Fresh) -> None:
    for accept in ("application/json", "*/*", "text/html;q=0", ""):
        answer = await api.http.get("/", headers={"Accept": accept})
        assert error_of(answer) == (404, "not_found")
        assert "Accept" in answer.headers["vary"]
    answer = await api.http.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "account")
    assert "Accept" in answer.headers["vary"]
    page = await api.http.get("/account/sign-in", headers=BROWSER)
    assert 'href="/auth/docs"' in page.text
    assert "dev/mails" not in page.text  # they are there in development only
    settings = await fresh.settings(app_env="development")
    assert 'href="/dev/mails"' in (await (await fresh.on(settings)).http.get("/account/sign-in")).text


async def test_production_tells_a_visitor_nothing_about_itself(fresh: Fresh, shared_settings: Settings) -> None:
    update = {"app_env": Environment.PRODUCTION, "account_url": "https://www.cinema.example/account"}
    api = await fresh.on(shared_settings.model_copy(update=update))
    page = await api.http.get("/", headers=BROWSER)
    assert page.status_code == 200
    assert re.findall(r'<a class="button" href="([^"]*)"', page.text) == ["https://www.cinema.example/account"]
    assert not [word for word in (__version__, "docs", "openapi", "health", "api/") if word in page.text]
    for files in FILES.values():
        for name in files:
            assert error_of(await api.http.get(f"/auth/docs/{name}")) == (404, "not_found")
            assert error_of(await api.http.get(f"/pages/{name}")) == (404, "not_found")


async def test_what_browsers_and_crawlers_ask_for_by_themselves(api: Api) -> None:
    robots = await api.http.get("/robots.txt")
    assert robots.headers["content-type"].startswith("text/plain")
    assert robots.text.splitlines() == ["User-agent: *", "Disallow: /"]
    icon = await api.http.get("/favicon.ico")
    assert icon.headers["content-type"] == "image/svg+xml"
    assert icon.text.startswith("<svg")


# --- languages


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("RU", "ru"),
        ("en-GB,en;q=0.9,ru;q=0.8", "en"),
        ("de-DE,de;q=0.9,ru;q=0.5,en;q=0.4", "ru"),
        ("en;q=0.1, ru;q=0.2", "ru"),
        ("ru;q=0, en;q=0.1", "en"),
        ("de", "en"),
        ("*", "en"),
        (";;q=,,=", "en"),
    ],
)
async def test_a_page_opens_in_the_readers_language(api: Api, wanted: str, shown: str) -> None:
    page = await api.http.get("/account/sign-in", headers={"Accept-Language": wanted})
    assert page.headers["content-language"] == shown
    assert "Accept-Language" in page.headers["vary"]
    assert f'<html lang="{shown}"' in page.text
    assert f"<title>{'Войти' if shown == 'ru' else 'Sign in'} – Cinema</title>" in page.text


def test_preferences_are_read_by_weight() -> None:
    assert by_preference("a;q=0.2, b, c;x=1;q=0.5, d;q=0, e;q=2, f;q=x, , g;Q=0.3") == ["b", "c;x=1", "g", "a"]
    assert by_preference("") == []


async def test_templates_are_compiled_before_somebody_opens_a_page(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templating, "COMPILE_AFTER_SECONDS", 0)
    templating.environment.cache_clear()
    api = await fresh.api()
    environments = [templating.environment(language) for language in LANGUAGES]
    async with asyncio.timeout(30):
        while not all(len(one.cache or {}) == len(one.list_templates()) for one in environments):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    monkeypatch.setattr(jinja2.Environment, "compile", None)
    for language in LANGUAGES:
        page = await api.http.get("/account/sign-in", headers={**BROWSER, "Accept-Language": language})
        assert page.headers["content-language"] == language
    elsewhere = replace(api.resources, settings=api.resources.settings.model_copy(update={"account_url": "https://x"}))
    assert "templates" not in {job.name for job in jobs_of(elsewhere)}
