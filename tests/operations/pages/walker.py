"""One reader's way through the pages in one browser: what is wrong with each page is noted, and the walk goes on."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.keys import Keys

from tests.operations.pages.addresses import Address
from tests.operations.pages.keyboard import by_keyboard
from tests.operations.pages.scenes import Scene
from tests.operations.pages.world import World
from tests.support.api import Account
from tests.support.chromium_site import Site
from tests.support.page_looks import DESK, PHONE, command
from tests.support.page_order import FOREIGN, NAMES
from tests.support.reader import words_of

DRAWN = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
Look = tuple[int, str]  # width and theme
PROGRAMS = "Chrome|HeadlessChrome|Firefox|Safari|Mobile|iOS|Windows|Linux|okhttp"
FORMS_ANSWER = frozenset({200, 400, 401, 403, 409, 422})
HEIGHTS = dict((PHONE, DESK))
EVERY_LOOK: tuple[Look, ...] = ((PHONE[0], "light"), (PHONE[0], "dark"), (DESK[0], "light"), (DESK[0], "dark"))
WATCH = """
window.breaches = [];
addEventListener('securitypolicyviolation', event => window.breaches.push(
  event.blockedURI + ' by ' + event.effectiveDirective));
"""
# Beyond the right edge, where nothing scrolls to it.
FACTS = """
const wide = [...document.querySelectorAll('body *')].filter(one => {
  const {right, width} = one.getBoundingClientRect();
  if (!width || right <= document.documentElement.clientWidth + 1) return false;
  for (let around = one.parentElement; around; around = around.parentElement)
    if (getComputedStyle(around).overflowX !== 'visible') return false;
  return true;
}).map(one => one.outerHTML.slice(0, 120));
const small = [...document.querySelectorAll('button, input:not([type=checkbox]), select, textarea, label.check,'
  + ' .sections a, .button')].filter(one => one.offsetParent && one.offsetHeight < 44)
  .map(one => one.outerHTML.slice(0, 120));
return {
  type: document.contentType,
  here: location.href,
  shape: document.body.querySelectorAll('*').length,
  words: document.body.innerText.trim(),
  headings: [...document.querySelectorAll('h1')].map(one => one.textContent.trim()),
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  wide, small,
  breaches: window.breaches,
  links: [...document.querySelectorAll('a[href]')].map(one => new URL(one.href.baseVal ?? one.href, location))
    .filter(one => one.protocol.startsWith('http') && !(one.hash && one.pathname === location.pathname))
    .map(one => one.origin + one.pathname + one.search),
};
"""


@dataclass
class Walker:
    """`asked`: the looks in which axe is asked and the keyboard tried. `pictures`: the folder, if any are wanted.

    `wrong`: what was found.
    """

    site: Site
    reader: str
    language: str
    looks: tuple[Look, ...]
    asked: frozenset[Look]
    pictures: Path | None
    wrong: list[tuple[str, str]] = field(default_factory=list)  # what, and where
    links: dict[str, tuple[str, str]] = field(default_factory=dict)  # to the page that has them, and its address
    checks: int = 0
    _asked: set[tuple[str, ...]] = field(default_factory=set)  # what pages said that axe has seen

    async def begin(self, account: Account | None) -> None:
        """In the language, and signed in by the form."""
        driver = self.site._driver
        await command(self.site, "Page.enable")
        await command(self.site, "Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        await asyncio.to_thread(driver.delete_all_cookies)
        await self.set_look(DESK[0], "light")
        await self.site.open(f"{self.site.base}/account/language?to={self.language}&next=/account/sign-in")
        if account is not None:
            await self.site.type("#login", account.login)
            await self.site.type("#password", account.password + Keys.ENTER)
            await self.site.find(".sections")
        self._events()
        self._console()

    async def set_look(self, width: int, theme: str) -> None:
        metrics = {"width": width, "height": HEIGHTS[width], "deviceScaleFactor": 1, "mobile": width < 500}
        await command(self.site, "Emulation.setDeviceMetricsOverride", **metrics)
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await command(self.site, "Emulation.setEmulatedMedia", features=features)

    async def visit(self, address: Address, number: int) -> None:
        await self.set_look(*self.looks[0])
        await self.site.open(f"{self.site.base}{address.path}")
        await self.look_at(address.path, number, statuses=address.statuses[self.reader], ours=address.own_look)

    async def enact(self, scene: Scene, world: World, number: int) -> None:
        """With nothing else of the page begun in between, which would send the form once more."""
        await self.set_look(*self.looks[0])
        try:
            await scene(self.site, world)
        except WebDriverException as error:
            self._note(f"{self.reader} {self.language} {scene.__name__}", f"does not come about: {error.msg}")
            return
        await self.look_at(scene.__name__.strip("_"), number, statuses=FORMS_ANSWER)

    async def look_at(self, name: str, number: int, *, statuses: frozenset[int], ours: bool = True) -> None:
        """The page at hand."""
        here = f"{self.reader} {self.language} {name}"
        documents, hosts = self._events()
        for host in hosts - {urlsplit(self.site.base).hostname}:
            self._note(here, f"asks the host {host}")
        status = documents[-1] if documents else None
        if status not in statuses:
            self._note(here, f"answers {status}, not {sorted(statuses)}")
        for look in self.looks:
            await self.set_look(*look)
            await self._settled()
            facts = await self.site.run(FACTS)
            self._judge(f"{here} {look[0]} {look[1]}", facts, ours=ours)
            self.links |= {link: (here, facts["here"]) for link in facts["links"] if link not in self.links}
            if self.pictures is not None:
                await self._picture(name, look, number)
            if look in self.asked and ours and self._is_new(look, facts):
                self._note_all(f"{here} {look[0]} {look[1]}", await self.site.axe())
                self._note_all(f"{here} {look[0]}", await by_keyboard(self.site))
        if ours and self.language == "ru":
            source = await asyncio.to_thread(lambda: self.site._driver.page_source)
            latin = re.findall(
                rf"(?!(?:{PROGRAMS})\b)\b[A-Za-z]{{3,}}", FOREIGN.sub("", words_of(NAMES.sub(" ", source)))
            )
            self._note_all(here, [f"says {word} in Latin letters" for word in dict.fromkeys(latin)])
        for line in self._console():
            if not (status in statuses and status >= 400 and "the server responded with a status" in line):
                self._note(here, f"the console says: {line}")
        self.checks += 1

    def _is_new(self, look: Look, facts: dict[str, Any]) -> bool:
        """Refusals differ in their number alone; to ask axe once is enough."""
        said = re.sub(r"\b[0-9a-f-]{32,36}\b", "", facts["words"])
        shown = (str(look), str(facts["shape"]), said)
        is_new = shown not in self._asked
        self._asked.add(shown)
        return is_new

    def _judge(self, here: str, facts: dict[str, Any], *, ours: bool) -> None:
        if facts["type"] != "text/html" or len(facts["words"]) < 20:
            self._note(here, f"is {facts['type']} with the words {facts['words'][:60]!r}")
        self._note_all(here, [f"breach of the policy: {one}" for one in facts["breaches"]])
        if ours:
            if len(facts["headings"]) != 1 or not facts["headings"][0]:
                self._note(here, f"has the headings {facts['headings']}")
            if facts["overflow"] > 0:
                self._note(here, f"is {facts['overflow']} px too wide: {facts['wide'][:3]}")
            self._note_all(here, [f"is too small for a finger: {one}" for one in facts["small"]])

    async def dead_ends(self) -> None:
        """Each link of the pages met, as this reader follows it: by HTTP, with the cookies of the browser."""
        base = urlsplit(self.site.base)
        cookies = {one["name"]: one["value"] for one in await asyncio.to_thread(self.site._driver.get_cookies)}
        own = {link: page for link, page in self.links.items() if urlsplit(link).netloc == base.netloc}
        options: dict[str, Any] = {"headers": {"Accept": "text/html,*/*;q=0.5"}, "cookies": cookies, "timeout": 30}
        async with httpx.AsyncClient(**options, follow_redirects=True, trust_env=False) as http:
            for link, (page, itself) in own.items():
                answer = await http.get(link)
                # 409: a page that says why not, such as that somebody still has the role.
                refused = answer.status_code not in {200, 409} and str(answer.url) != itself
                lost = self.reader != "stranger" and answer.url.path == "/account/sign-in"
                if refused or lost:
                    self._note(
                        page, f"leads to {link.removeprefix(self.site.base)}, which answers {answer.status_code}"
                    )

    async def _settled(self) -> None:
        """Until the page is drawn anew."""
        await asyncio.to_thread(self.site._driver.execute_async_script, DRAWN)

    async def _picture(self, name: str, look: Look, number: int) -> None:
        assert self.pictures is not None
        arguments = {"captureBeyondViewport": True}
        shot = await asyncio.to_thread(self.site._driver.execute_cdp_cmd, "Page.captureScreenshot", arguments)
        plain = re.sub(r"[^A-Za-z0-9]+", "-", re.sub(r"[0-9a-f-]{36}", "id", name)).strip("-")[:80] or "home"
        file = f"{self.reader}-{look[0]}-{look[1]}-{self.language}-{number:03}-{plain}.png"
        (self.pictures / file).write_bytes(base64.b64decode(shot["data"]))

    def _events(self) -> tuple[list[int], set[str | None]]:
        """Since the last time: the statuses of documents, and the hosts that were asked."""
        documents, hosts = [], set()
        for entry in self.site._driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.responseReceived" and message["params"]["type"] == "Document":
                documents.append(message["params"]["response"]["status"])
            if message["method"] == "Network.requestWillBeSent":
                address = message["params"]["request"]["url"]
                if not address.startswith(("data:", "blob:")):
                    hosts.add(urlsplit(address).hostname)
        return documents, hosts

    def _console(self) -> list[str]:
        return [str(entry["message"]) for entry in self.site._driver.get_log("browser")]

    def _note(self, here: str, what: str) -> None:
        self.wrong.append((what, here))

    def _note_all(self, here: str, what: Iterable[str]) -> None:
        self.wrong.extend((one, here) for one in what)


@dataclass
class Progress:
    """Says where the walk is, every few seconds."""

    total: int
    say: Callable[[str], None]
    done: int = 0
    began: float = field(default_factory=time.monotonic)
    _said: float = 0.0

    def step(self, where: str) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self._said > 5 or self.done == self.total:
            self._said = now
            self.say(f"{now - self.began:5.0f} s  {self.done:4} of {self.total}  {where}")
