"""The cookies in a real browser: what docs/browsers.md shows works there, and what other pages try does not."""

import asyncio
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support import browser_walk
from tests.support.cookie_browser import ACCESS
from tests.support.hostile import stored
from tests.support.service_process import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium() as driver:
        yield driver


async def test_cke_1_and_2_on_a_host_with_hostile_siblings(fresh: Fresh, driver: Chrome) -> None:
    """The __Host- names: Chromium takes http://*.localhost for as safe as https://."""
    port = free_port()
    base = f"http://auth.cinema.localhost:{port}"
    settings = await fresh.settings(
        issuer=base.replace("http:", "https:"),
        allowed_origins=(base,),
        allowed_hosts=("auth.cinema.localhost", "127.0.0.1"),
    )
    in_process = await fresh.on(settings)
    await fresh.service(settings, port=port)
    login, _ = await asyncio.to_thread(browser_walk.walk, driver, base, print)
    assert {cookie["name"][:12] for cookie in driver.get_cookies()} == {"__Host-auth_"}
    before = await stored(in_process.resources)
    await asyncio.to_thread(_attack_from_everywhere, driver, base, login)
    assert await stored(in_process.resources) == before


def _attack_from_everywhere(driver: Chrome, base: str, login: str) -> None:
    domain = b"; Domain=cinema.localhost; Path=/"
    access = ACCESS.encode()
    tossed = [
        *(name + b"=tossed" + domain for name in (access, b"=" + access, b"\xa0" + access, b"\x85" + access)),
        *(name + b"=tossed" + domain for name in (access + b"\xa0", access.upper(), b"auth_access")),
        *(name + b"=tossed" + domain + b"/api; Secure" for name in (access, b" " + access, b"\t" + access)),
    ]
    with browser_walk.hostile_server(tossed) as port:
        for host, sent in (("evil.cinema.localhost", True), ("auth.cinema.localhost", True), ("127.0.0.1", False)):
            browser_walk.attack(driver, base, f"http://{host}:{port}", login, print, cookies_are_sent=sent)
        browser_walk.Page(driver, f"http://evil.cinema.localhost:{port}", "/toss").open()
        own = browser_walk.own_page(driver, base)
        arrived = {cookie["name"] for cookie in driver.get_cookies() if cookie["value"] == "tossed"}
        print("tossed cookies that the browser sends us:", arrived)
        assert "auth_access" in arrived, "the browser did take cookies of the sibling"
        assert own.run("send", "GET", "/users/me")["data"]["login"] == login


async def test_cke_2_with_the_names_for_development(fresh: Fresh, driver: Chrome) -> None:
    port = free_port()
    base = f"http://localhost:{port}"
    settings: Settings = await fresh.settings(issuer=base)
    in_process = await fresh.on(settings)
    await fresh.service(settings, port=port)
    login, _ = await asyncio.to_thread(browser_walk.walk, driver, base, print)
    before = await stored(in_process.resources)
    with browser_walk.hostile_server([]) as other:
        for host, sent in (("localhost", True), ("127.0.0.1", False)):
            hostile = f"http://{host}:{other}"
            await asyncio.to_thread(browser_walk.attack, driver, base, hostile, login, print, cookies_are_sent=sent)
    assert await stored(in_process.resources) == before
