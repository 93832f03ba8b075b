"""Somebody without scripts at the pages: cookies, links and forms, as a browser handles them."""

import html
import re
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx

from tests.support.api import PASSWORD, V1, Account, Api, Tokens, unique
from tests.support.cookie_browser import keep_cookies

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ORIGIN = "http://localhost:8000"  # of ISSUER, as the tests have it


def words_of(source: str) -> str:
    body = re.sub(r"<(svg|script|head)\b.*?</\1>", " ", source, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body))).strip()


@dataclass
class Page:
    answer: httpx.Response

    @property
    def path(self) -> str:
        """Where the reader ended up."""
        return str(self.answer.request.url.raw_path.decode())

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def html(self) -> str:
        return self.answer.text

    @property
    def words(self) -> str:
        """What can be read on it."""
        return words_of(self.html)

    @property
    def title(self) -> str:
        return html.unescape(re.findall(r"<title>(.*?)</title>", self.html)[0])

    def hidden(self, name: str) -> str:
        found = re.findall(rf'<input type="hidden" (?:id="\w+" )?name="{name}" value="([^"]*)">', self.html)
        return html.unescape(found[0]) if found else ""

    def fields(self, path: str) -> dict[str, str]:
        """What a browser would send of the form for `path` that nobody has touched."""
        (form,) = re.findall(rf'<form method="post" action="{re.escape(path)}"[^>]*>(.*?)</form>', self.html, re.DOTALL)
        found = {}
        for tag in re.findall(r"<input\b[^>]*>", form):
            given = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
            if given.get("type") != "checkbox" or tag.endswith(" checked>"):
                found[given["name"]] = html.unescape(given.get("value", ""))
        for name, text in re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
            found[name] = html.unescape(text)
        for name, options in re.findall(r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>', form, re.DOTALL):
            chosen = re.findall(r'value="([^"]*)" selected', options) or re.findall(r'value="([^"]*)"', options)
            found[name] = html.unescape(chosen[0])
        return found

    def error(self, name: str) -> str:
        """What is said beside a field that refers to it."""
        (said,) = re.findall(rf'<p class="error" id="{name}-error">(.*?)</p>', self.html)
        (field,) = re.findall(rf'<input id="{name}"[^>]*>', self.html)
        assert 'aria-invalid="true"' in field
        assert f"{name}-error" in re.findall(r'aria-describedby="([^"]*)"', field)[0].split()
        return html.unescape(said)


@dataclass
class Reader:
    api: Api
    language: str = "en"
    origin: str = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    page: Page | None = None

    async def open(self, path: str) -> Page:
        return await self._follow(await self.ask("GET", path))

    async def send(self, path: str, **fields: str) -> Page:
        """The form for `path` of the page at hand: with its CSRF token and where it leads to."""
        assert self.page is not None
        known = {name: text for name in ("csrf", "next", "token") if (text := self.page.hidden(name))}
        return await self._follow(await self.ask("POST", path, known | fields, {"Origin": self.origin}))

    async def fill(self, path: str, fields: dict[str, str] | None = None, *, without: tuple[str, ...] = ()) -> Page:
        """As `send`, with all that the form has already; boxes of `without` are unticked."""
        assert self.page is not None
        known = {name: text for name, text in self.page.fields(path).items() if name not in without}
        return await self._follow(await self.ask("POST", path, known | (fields or {}), {"Origin": self.origin}))

    async def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One request, with the cookies, and nothing followed."""
        sent = {"Accept": ACCEPT, "Accept-Language": self.language, **self.headers, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.api.http.cookies.clear()
        answer = await self.api.http.request(method, path, data=fields, headers=sent)
        self.api.http.cookies.clear()  # this class is the jar
        keep_cookies(self.cookies, answer)
        return answer

    async def sign_in(self, account: Account, password: str = PASSWORD) -> Page:
        await self.open("/account/sign-in")
        return await self.send("/account/sign-in", login=account.login, password=password)

    async def _follow(self, answer: httpx.Response) -> Page:
        for _ in range(5):
            if answer.status_code != 303:
                self.page = Page(answer)
                return self.page
            address = urljoin(str(answer.request.url), answer.headers["location"])
            assert urlsplit(address).netloc == answer.request.url.netloc.decode(), address
            answer = await self.ask("GET", urlsplit(address)._replace(scheme="", netloc="").geturl())
        raise AssertionError("too many redirects")


async def signed_in(api: Api, *roles: str, language: str = "en") -> tuple[Account, Reader]:
    account, reader = await api.create_user(*roles, login=unique("reader")), Reader(api, language)
    page = await reader.sign_in(account)
    assert page.status == 200, page.words
    assert page.path == "/account"
    return account, reader


async def newest_row(api: Api, about: Account, auditor: Tokens) -> int:
    """The number of the last row that the audit trail has about the account."""
    answer = await api.http.get(f"{V1}/admin/audit?target={about.id}", headers=auditor.bearer)
    return int(answer.json()["items"][0]["id"])
