"""Who may read our answers from a page of another origin (CKE-4)."""

from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from auth_service.config import Settings
from tests.support.api import Api
from tests.support.cookie_browser import FRONT, HOST, ORIGIN, Browser, logged_in, running_site

HOSTILE_ORIGINS = [
    *("null", "", "*", "https://*", "https://*.cinema.example", "file://", "data:", "blob:null", "about:blank"),
    *("https://evil.example", "https://evil.cinema.example", "https://cinema.example", "https://example"),
    *(f"http://{HOST}", "http://www.cinema.example", f"wss://{HOST}", f"chrome-extension://{HOST}"),
    *(f"{ORIGIN}:8443", f"{ORIGIN}:443", f"{ORIGIN}:", f"{ORIGIN}.", f"{ORIGIN}/", f"{ORIGIN}/auth", f"{ORIGIN}?x"),
    *(f"{ORIGIN}.evil.example", f"https://evil{HOST}", f"https://evil-{HOST}", f"{ORIGIN}evil.example"),
    *(f"{ORIGIN}@evil.example", f"https://evil.example#{ORIGIN}", f"https://evil.example/{HOST}"),
    *(f"{ORIGIN}%00.evil.example", f"{ORIGIN}_.evil.example", f"{ORIGIN}`.evil.example", f"{ORIGIN}\\.evil.example"),
    *(f"{ORIGIN} https://evil.example", f"{ORIGIN}, https://evil.example", f"{ORIGIN},{FRONT}", ORIGIN.upper()),
    *(f" {ORIGIN}\t.", "https://auth-cinema.example", "https://authXcinema.example", "https://WWW.cinema.example"),
    *("http://localhost", "https://localhost", "http://127.0.0.1", "https://xn--uth-5cd.cinema.example"),
]


@pytest.fixture(scope="module")
async def site(shared_settings: Settings) -> AsyncIterator[Api]:
    async with running_site(shared_settings) as api:
        yield api


def preflight(origin: str, method: str = "POST", headers: str = "content-type, x-csrf-token") -> list[tuple[str, str]]:
    return [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", headers),
    ]


async def test_cke_4_no_other_origin_is_allowed_to_read(site: Api) -> None:
    assert len(HOSTILE_ORIGINS) >= 30
    _, browser = await logged_in(site)
    for origin in HOSTILE_ORIGINS:
        for answer in (
            await browser.copy().send("GET", "/users/me", headers=[("Origin", origin)]),
            await browser.copy().send("GET", "/health/live", headers=[("Origin", origin)]),
            await Browser(site).send("GET", "/users/me", headers=[("Origin", origin)]),
            await browser.copy().send("GET", "/nothing-here", headers=[("Origin", origin)]),
            await browser.copy().send("POST", "/auth/login", {}, headers=[("Origin", origin)]),
            await browser.copy().send("POST", "/auth/login", b"<", headers=[("Origin", origin)]),
            await browser.copy().send("OPTIONS", "/users/me", headers=preflight(origin)),
            await browser.copy().send("OPTIONS", "/users/me", headers=preflight(origin, "DELETE", "authorization")),
        ):
            assert "access-control-allow-origin" not in answer.headers, (origin, answer.request.url)


@pytest.mark.parametrize("origin", [ORIGIN, FRONT])
async def test_cke_4_allowed_origins_are_mirrored_exactly(site: Api, origin: str) -> None:
    _, browser = await logged_in(site)
    for answer, status in (
        (await browser.copy().send("GET", "/users/me", headers=[("Origin", origin)]), 200),
        (await Browser(site).send("GET", "/users/me", headers=[("Origin", origin)]), 401),
        (await browser.copy().send("PATCH", "/users/me", {}, headers=[("Origin", origin)]), 403),
        (await browser.copy().send("OPTIONS", "/users/me", headers=preflight(origin, "PATCH")), 200),
    ):
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [origin]
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "origin" in answer.headers["vary"].lower()
        assert "*" not in answer.headers.get("access-control-allow-headers", "")


async def test_cke_4_caches_are_told_that_the_origin_matters(site: Api) -> None:
    """An answer kept for one origin, or for none, must not be given to another."""
    for headers in ([], [("Origin", "https://evil.example")], [("Origin", FRONT)]):
        answer = await site.http.get(f"{ORIGIN}/.well-known/jwks.json", headers=headers)
        assert answer.headers["cache-control"].startswith("public"), "the one answer that caches may keep"
        assert answer.headers["vary"].lower() == "origin"


async def test_cke_4_preflights_allow_no_more_than_is_used(site: Api) -> None:
    for method, headers, allowed in [
        ("POST", "content-type,x-csrf-token,x-token-transport", True),
        ("DELETE", "authorization", True),
        ("TRACE", "content-type", False),
        ("CONNECT", "content-type", False),
        ("POST", "x-http-method-override", False),
        ("POST", "cookie", False),
        ("POST", "x-forwarded-for", False),
    ]:
        answer = await Browser(site).send("OPTIONS", "/users/me", headers=preflight(FRONT, method, headers))
        assert (answer.status_code == 200) is allowed, (method, headers)


@pytest.mark.parametrize(
    ("issuer", "origin"),
    [
        ("https://auth.cinema.example:443/", ORIGIN),
        ("https://AUTH.cinema.example/path", ORIGIN),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_cke_4_the_issuers_origin_is_written_as_browsers_do(issuer: str, origin: str) -> None:
    assert Settings(_env_file=None, issuer=issuer).origins == {origin}


@pytest.mark.parametrize(
    "listed",
    [
        *("*", "null", "https://*.cinema.example", f"{FRONT}/", f"{FRONT}/page", f"{FRONT}:443", "http://localhost:80"),
        *(FRONT.upper(), "www.cinema.example", f"{FRONT} {ORIGIN}", "https://user@www.cinema.example", "file:///"),
        *(f"{FRONT}?x", f"{FRONT}#x", "https://", "wss://www.cinema.example", "https://www.cinema.example:99999999"),
    ],
)
def test_cke_4_what_no_browser_sends_is_no_setting(listed: str) -> None:
    with pytest.raises(ValidationError, match="exact origins"):
        Settings(_env_file=None, allowed_origins=f"{FRONT},{listed}")
