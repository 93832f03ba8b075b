"""Forged requests: what another page can make a browser send changes nothing (CKE-2)."""

import itertools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, error_of
from tests.support.cookie_browser import FRONT, HOST, ORIGIN, SITE, Browser, Headers, enrol, logged_in
from tests.support.hostile import stored
from tests.support.phone import shown_at
from tests.support.route_table import STREAMS

GOOD_ORIGINS = [ORIGIN, FRONT]
BAD_ORIGINS: dict[str, list[str]] = {
    "absent": [],
    "empty": [""],
    "null": ["null"],
    "evil": ["https://evil.example"],
    "sibling host": ["https://evil.cinema.example"],
    "parent": ["https://cinema.example"],
    "other scheme": [f"http://{HOST}"],
    "other port": [f"{ORIGIN}:8443"],
    "its own port, written out": [f"{ORIGIN}:443"],
    "suffix": [f"{ORIGIN}.evil.example"],
    "prefix": [f"https://evil-{HOST}"],
    "userinfo": [f"{ORIGIN}@evil.example"],
    "a path": [f"{ORIGIN}/"],
    "upper case": [ORIGIN.upper()],
    "a dot at the end": [f"{ORIGIN}."],
    "a list": [f"{ORIGIN} https://evil.example"],
    "good and evil": [ORIGIN, "https://evil.example"],
    "evil and good": ["https://evil.example", ORIGIN],
    "good twice": [ORIGIN, ORIGIN],
}
JSON = "application/json"
BAD_TYPES = [
    None,
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain; application/json",
    "text/plain;charset=application/json",
    "application/jsonp",
    "application/json-patch+json",
    "application/*",
]


@dataclass
class Forgery:
    """A request that changes something, its cookies, and what it answers when it is no forgery."""

    browser: Browser
    method: str
    path: str
    body: Any
    success: int

    async def send(self, origins: list[str], csrf: list[str], content_type: str | None = JSON) -> httpx.Response:
        headers: list[tuple[str, str | bytes]] = [("Origin", origin) for origin in origins]
        headers += [("X-CSRF-Token", token) for token in csrf]
        if self.path.startswith("/auth/login"):
            headers.append(("X-Token-Transport", "cookie"))
        return await self.raw(headers, content_type)

    async def raw(self, headers: Headers, content_type: str | None = JSON, method: str | None = None) -> httpx.Response:
        # A forger's browser sends the cookies and keeps none of ours that were not set.
        content = None if self.body is None else httpx.Request("POST", ORIGIN, json=self.body).content
        typed = [("Content-Type", content_type)] if content_type is not None else []
        return await self.browser.copy().send(method or self.method, self.path, content, headers=[*headers, *typed])

    @property
    def by_cookie(self) -> bool:
        return not self.path.startswith("/auth/login")


@dataclass
class Scene:
    api: Api
    forgeries: list[Forgery]
    others_csrf: str

    async def unchanged(self) -> dict[str, tuple[int, str]]:
        return await stored(self.api.resources)


@pytest.fixture
async def scene(fresh: Fresh) -> Scene:
    clock = StoppedClock()
    api = await fresh.api(clock, **SITE)
    account, browser = await logged_in(api, "superuser")
    owner: Account = await api.create_user()
    enrolled = Browser(api)
    await enrolled.log_in(owner)
    secret = await enrol(enrolled, clock.now)
    clock.forward(seconds=30)
    challenge = (await Browser(api).log_in(owner))["challenge"]
    second = await api.log_in(account)
    _, stranger = await logged_in(api)
    _, leaving = await logged_in(api)

    async def another() -> Browser:
        own = Browser(api)
        await own.log_in(account)
        return own

    code = shown_at(secret, clock.now)
    forgeries = [
        Forgery(browser, "PATCH", "/users/me", {"full_name": "Changed"}, 200),
        Forgery(browser, "POST", "/permissions/check", {"permission": "films:watch"}, 200),
        Forgery(browser, "POST", "/roles", {"name": "forged", "title": "Forged"}, 201),
        Forgery(browser, "DELETE", f"/users/me/sessions/{second.session_id}", None, 204),
        Forgery(browser, "POST", "/auth/login", {"login": account.login, "password": PASSWORD}, 200),
        Forgery(Browser(api), "POST", "/auth/login/mfa", {"challenge": challenge, "code": code}, 200),
        Forgery(await another(), "POST", "/auth/step-up", {"current_password": PASSWORD}, 200),
        Forgery(await another(), "POST", "/auth/refresh", None, 200),
        Forgery(await another(), "POST", "/auth/logout", None, 204),
        Forgery(await another(), "POST", "/auth/logout-others", None, 204),
        Forgery(leaving, "POST", "/auth/logout-all", None, 204),
    ]
    return Scene(api, forgeries, stranger.csrf)


@pytest.mark.long
async def test_cke_2_only_our_page_with_our_token(scene: Scene) -> None:
    """Origin by CSRF token by content type, for each request; the right one at the end shows what was at stake."""
    tried = 0
    for forgery in scene.forgeries:
        right = forgery.browser.csrf
        tokens: dict[str, list[str]] = {"right": [right]}
        if forgery.by_cookie:
            wrong = [[], [""], ["wrong"], [right[:-1]], [f"{right}="], [right.swapcase()], [right, right]]
            wrong += [[scene.others_csrf], [scene.others_csrf, right], [forgery.browser.cookies["__Host-auth_access"]]]
            tokens |= {f"wrong {number}": value for number, value in enumerate(wrong)}
        before = await scene.unchanged()
        origins = {**BAD_ORIGINS, **{good: [good] for good in GOOD_ORIGINS}}
        for (origin_name, origin), (token_name, token) in itertools.product(origins.items(), tokens.items()):
            if origin_name in GOOD_ORIGINS and token_name == "right":
                continue
            answer = await forgery.send(origin, token)
            assert error_of(answer) == (403, "csrf_refused"), (forgery.path, origin_name, token_name)
            assert "set-cookie" not in answer.headers
            tried += 1
        assert await scene.unchanged() == before, forgery.path
        for content_type in BAD_TYPES if forgery.body is not None else []:
            for origin in ([ORIGIN], BAD_ORIGINS["evil"]):
                answer = await forgery.send(origin, [right], content_type)
                assert error_of(answer) == (415, "unsupported_media_type"), (forgery.path, content_type)
                tried += 1
        assert await scene.unchanged() == before, forgery.path
    for forgery in scene.forgeries:
        answer = await forgery.send([FRONT], [forgery.browser.csrf])
        assert answer.status_code == forgery.success, (forgery.path, answer.text)
    assert tried > 1500


async def test_cke_2_a_form_without_a_body_is_refused_too(scene: Scene) -> None:
    """It needs no preflight, and its content type is never looked at."""
    for forgery in scene.forgeries:
        if forgery.body is None:
            before = await scene.unchanged()
            for content_type in BAD_TYPES:
                headers = [("Origin", "https://evil.cinema.example")]
                answer = await forgery.raw(headers, content_type)
                assert error_of(answer) == (403, "csrf_refused"), (forgery.path, content_type)
            assert await scene.unchanged() == before


async def test_cke_2_no_method_changes_anything_by_another_name(scene: Scene) -> None:
    """HEAD, OPTIONS, TRACE, made-up methods and overrides; from our own page, even."""
    before = await scene.unchanged()
    overrides = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    for forgery in scene.forgeries:
        ours: list[tuple[str, str | bytes]] = [("Origin", ORIGIN), ("X-CSRF-Token", forgery.browser.csrf)]
        for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "GET/POST", "XPOST"):
            readable = method in {"GET", "HEAD"} and forgery.path in {"/users/me", "/roles"}
            answer = await forgery.raw(ours, method=method)
            assert answer.status_code in ({200, 401, 403} if readable else {405, 404}), (method, forgery.path)
        plain = Forgery(forgery.browser, "GET", "/users/me", None, 200)
        answer = await plain.raw([(name, forgery.method) for name in overrides])
        assert answer.status_code in {200, 401}
        for query in (f"_method={forgery.method}", f"method={forgery.method}"):
            answer = await forgery.browser.copy().send("GET", f"/users/me?{query}", headers=ours)
            assert answer.status_code in {200, 401}
    assert await scene.unchanged() == before


async def test_cke_2_safe_requests_change_nothing(scene: Scene) -> None:
    """Every GET of the API, as an image on an evil page asks for it: with the cookies, from nowhere we allow."""
    browser = scene.forgeries[0].browser
    schema = (await scene.api.http.get("http://localhost/auth/openapi.json")).json()
    paths = [path for path, methods in schema["paths"].items() if "get" in methods]
    me = (await browser.send("GET", "/users/me")).json()["id"]
    await browser.copy().send("GET", "/admin/events")  # the first reader of an event gives it its number, once
    before = await scene.unchanged()
    seen = set()
    for path in paths:
        url = path.replace("{user_id}", me).replace("{name}", "viewer").replace("{code}", "films:watch")
        url = url.replace("{webhook_id}", str(UUID(int=0)))
        for origin in ([], [("Origin", "null")], [("Origin", "https://evil.example")]):
            answer = (
                await browser.copy().send("HEAD" if path in STREAMS else "GET", url.removeprefix(V1), headers=origin)
                if url.startswith(V1)
                else None
            )
            if answer is not None:
                seen.add(answer.status_code)
                # A worker that has just begun may not have heard itself yet.
                assert answer.status_code in ({200, 404, 503} if path in STREAMS else {200, 404}), url
                assert "access-control-allow-origin" not in answer.headers
    assert seen >= {200}
    assert len(paths) > 8
    assert await scene.unchanged() == before


async def test_cke_2_a_login_without_cookies_leaves_a_browser_nothing(scene: Scene) -> None:
    """Login CSRF: an evil page may log itself in, but the browser keeps nothing of it."""
    forgery = next(item for item in scene.forgeries if item.path == "/auth/login")
    answer = await forgery.raw([("Origin", "https://evil.example")])
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
