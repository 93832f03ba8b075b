"""A browser as far as cookies go: it keeps what Set-Cookie says, sends it back, and names its page in Origin."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from auth_service.config import Settings
from auth_service.core.clock import Clock, utc_now
from tests.conftest import running_app
from tests.support.api import PASSWORD, V1, Account, Api
from tests.support.phone import shown_at

HOST = "auth.cinema.example"
ORIGIN = f"https://{HOST}"
FRONT = "https://www.cinema.example"
SITE: dict[str, Any] = {"issuer": ORIGIN, "allowed_hosts": (HOST, "localhost"), "allowed_origins": (FRONT,)}
ACCESS, REFRESH, CSRF, DEVICE = (f"__Host-auth_{name}" for name in ("access", "refresh", "csrf", "device"))
Headers = Sequence[tuple[str, str | bytes]]


@dataclass
class SetCookie:
    """`attributes` with lower-case names; a flag has an empty value."""

    name: str
    value: str
    attributes: dict[str, str]
    size: int


def set_cookies(answer: httpx.Response) -> dict[str, SetCookie]:
    """By name; parsed by RFC 6265 section 5.2, not by the library that wrote them."""
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        pair, *rest = line.split(";")
        name, _, value = pair.strip().partition("=")
        attributes = {part.strip().partition("=")[0].lower(): part.strip().partition("=")[2] for part in rest}
        assert name not in found, "one Set-Cookie for each name (RFC 6265 section 4.1.1)"
        found[name] = SetCookie(name, value.strip('"'), attributes, len(line))
    return found


def keep_cookies(jar: dict[str, str], answer: httpx.Response) -> None:
    """As a browser does: what is set, and not what ends with the answer."""
    for cookie in set_cookies(answer).values():
        jar[cookie.name] = cookie.value
        if cookie.attributes.get("max-age") == "0":
            del jar[cookie.name]


@dataclass
class Browser:
    """On the page `origin`; `cookies` may be read, planted and lost."""

    api: Api
    origin: str | None = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
    base: str = ORIGIN

    async def send(self, method: str, path: str, body: Any = None, *, headers: Headers | None = None) -> httpx.Response:
        """Without `headers`: as a page of ours does it. With them: exactly those, and the cookies."""
        if headers is None:
            headers = [("Origin", self.origin or ""), ("X-CSRF-Token", self.csrf), ("X-Token-Transport", "cookie")]
        sent = [(name, value if isinstance(value, bytes) else value.encode("latin-1")) for name, value in headers]
        if self.cookies:
            line = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent.append(("Cookie", line.encode("latin-1")))
        url = f"{self.base}{path if path.startswith('/health') else V1 + path}"
        content = {} if body is None else {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = await self.api.http.request(method, url, headers=sent, **content)
        self.api.http.cookies.clear()  # this class is the jar
        keep_cookies(self.cookies, answer)
        return answer

    @property
    def csrf(self) -> str:
        return self.cookies.get(CSRF) or self.cookies.get("auth_csrf", "")

    async def log_in(self, account: Account, **more: Any) -> dict[str, Any]:
        answer = await self.send("POST", "/auth/login", {"login": account.login, "password": account.password, **more})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def who(self) -> str | int:
        """The login name that the cookies stand for, or the status of the refusal."""
        answer = await self.send("GET", "/users/me")
        return str(answer.json()["login"]) if answer.status_code == 200 else answer.status_code

    def copy(self) -> "Browser":
        return Browser(self.api, self.origin, dict(self.cookies), self.base)


async def logged_in(api: Api, *roles: str) -> tuple[Account, Browser]:
    """A new user with these roles, in a new browser."""
    account, browser = await api.create_user(*roles), Browser(api)
    await browser.log_in(account)
    return account, browser


@asynccontextmanager
async def running_site(settings: Settings, clock: Clock = utc_now, **overrides: Any) -> AsyncIterator[Api]:
    """One more app on the stores of `settings`, with the public address ORIGIN."""
    values = settings.model_dump() | SITE | overrides
    async with running_app(Settings(_env_file=None, **values), clock) as api:
        yield api


async def enrol(browser: Browser, now: datetime) -> str:
    """The seed of the authenticator that this browser's user has from now on."""
    started = await browser.send("POST", "/mfa/totp", {"current_password": PASSWORD})
    assert started.status_code == 201, started.text
    secret: str = started.json()["secret"]
    confirmed = await browser.send("POST", "/mfa/totp/confirm", {"code": shown_at(secret, now)})
    assert confirmed.status_code == 200, confirmed.text
    return secret
