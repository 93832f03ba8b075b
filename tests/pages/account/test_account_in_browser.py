"""The viewer's account in a real browser: by keyboard, without a complaint, and looked at by axe-core.

`PAGE_PICTURES=folder` keeps a picture of each page, on a phone and on a desk, light and dark, in both languages.
"""

import asyncio
import base64
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.conftest import Fresh
from tests.support import browser_walk
from tests.support.api import PASSWORD, V1
from tests.support.chromium_site import CUT, Site
from tests.support.mailbox import newest
from tests.support.phone import shown_at
from tests.support.service_process import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
PHONE, DESK = (390, 844), (1280, 900)
SIGNED_IN = (
    "",
    "/sessions",
    "/history",
    "/second-factor",
    "/data",
    "/name",
    "/email",
    "/password",
    "/delete",
    "/confirm",
)
FOR_GUESTS = ("/account/sign-in", "/account/register", "/forgot-password", "/reset-password", "/account/nothing")
PICTURES = os.environ.get("PAGE_PICTURES")


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium(CUT, "--window-size=1280,900") as driver:
        yield driver


@pytest.fixture
async def site(fresh: Fresh, driver: Chrome) -> AsyncIterator[Site]:
    port = free_port()
    base = f"http://localhost:{port}"
    settings = await fresh.settings(issuer=base)
    site = Site(await fresh.on(settings), await fresh.service(settings, port=port), base, driver)
    await asyncio.to_thread(site.asked)
    await asyncio.to_thread(site.complaints)
    yield site
    await asyncio.to_thread(driver.delete_all_cookies)


async def command(site: Site, name: str, **arguments: object) -> None:
    await asyncio.to_thread(site._driver.execute_cdp_cmd, name, arguments)


async def fill(site: Site, *texts: str) -> None:
    """By keyboard alone, from the field that has the focus on."""
    for number, text in enumerate(texts):
        await site.keys(*([Keys.TAB] if number else []), text)
        if await site.run("return document.activeElement.type") == "password":
            await site.keys(Keys.TAB)  # past the button that shows what was typed
    await site.keys(Keys.TAB)


async def test_an_account_from_its_beginning_by_keyboard(site: Site) -> None:
    login, address = "neo", "neo@example.com"
    await site.open(f"{site.base}/")
    await site.says("Sign in")
    assert await site.run("return document.activeElement.id") == "login"
    await site.open(f"{site.base}/account/register")
    await fill(site, login, address, PASSWORD)
    await site.keys("Нео" + Keys.ENTER)
    await site.says("Your account is ready.")
    await site.open((await newest(site.api, address, "verify_email")).link)
    await site.press()
    await site.says("Your e-mail address is confirmed.")
    await site.open(f"{site.base}/account/second-factor")
    await site.type("#current_password", PASSWORD + Keys.ENTER)
    await site.says("Scan this")
    secret = (await site.find(".secret")).text.replace(" ", "")
    await site.type("#code", shown_at(secret, datetime.now(UTC)) + Keys.ENTER)
    await site.says("Your recovery codes")
    code = (await site.find(".codes code")).text
    await site.press(".top form button")
    await site.says("You are signed out.")
    await asyncio.to_thread(site._driver.back)
    await asyncio.sleep(0.3)
    assert code not in await site.run("return document.body.innerText"), "nothing of it is behind the back button"
    await site.open(f"{site.base}/account/history")
    await fill(site, login, PASSWORD)
    await site.keys(Keys.ENTER)
    await site.says("Enter your code")
    await site.keys(code + Keys.ENTER)
    await site.says("Sign-in history")
    assert site.path == "/account/history", "back to where the way began"
    await site.open(f"{site.base}/account/sessions")
    assert await site.run("return new Set(document.cookie.match(/auth_\\w+/g)).size") == 2, "csrf and the time zone"
    assert site.complaints() == []
    assert {path for path in site.asked() if not path.startswith(site.base)} == set()
    log = site.service.log()
    assert not [text for text in (PASSWORD, secret, code, code.replace("-", "")) if text in log]


async def test_pages_work_without_scripts(site: Site) -> None:
    account = await site.api.create_user()
    await command(site, "Emulation.setScriptExecutionDisabled", value=True)
    try:
        await site.open(f"{site.base}/account/password")
        await site.type("#login", account.login)
        await site.type("#password", PASSWORD)
        await site.press()
        await site.says("Change your password")
        await site.type("#current_password", PASSWORD)
        await site.type("#new_password", "short")
        await site.press()
        await site.says("The password needs at least 8 characters.")
        await site.type("#current_password", PASSWORD)
        await site.type("#new_password", "twenty paper lanterns")
        await site.press()
        await site.says("Your password is changed.")
    finally:
        await command(site, "Emulation.setScriptExecutionDisabled", value=False)


async def test_pages_fit_are_readable_and_please_axe(site: Site) -> None:
    account = await site.api.create_user()
    tokens = await site.api.log_in(account, device_name="\u202e" + "W" * 99)
    name = {"full_name": "\u202e" + "Ж" * 190 + "<b>"}
    assert (await site.api.http.patch(f"{V1}/users/me", json=name, headers=tokens.bearer)).status_code == 200
    pages = itertools.count()
    looks = [(PHONE, "light", "en"), (DESK, "dark", "ru")]
    if PICTURES:
        looks = list(itertools.product((PHONE, DESK), ("light", "dark"), ("en", "ru")))
    for (width, height), theme, language in looks:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await command(site, "Emulation.setDeviceMetricsOverride", **metrics)
        await command(site, "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await asyncio.to_thread(site._driver.delete_all_cookies)
        await site.open(f"{site.base}/account/language?to={language}&next=/account/sign-in")
        for path in FOR_GUESTS:
            await looked_at(site, path, width, f"{language}-{theme}-{width}-{next(pages):02}")
        await site.open(f"{site.base}/account/sign-in")
        await site.type("#login", account.login)
        await site.type("#password", "wrong" + Keys.ENTER)
        await site.find(".summary")
        await looked_at(site, None, width, f"{language}-{theme}-{width}-{next(pages):02}")
        await site.type("#password", PASSWORD + Keys.ENTER)
        await site.find(".sections")
        for path in SIGNED_IN:
            await looked_at(site, f"/account{path}", width, f"{language}-{theme}-{width}-{next(pages):02}")
    assert site.complaints() == []
    await command(site, "Emulation.clearDeviceMetricsOverride")
    await command(site, "Emulation.setEmulatedMedia", features=[])


async def looked_at(site: Site, path: str | None, width: int, picture: str) -> None:
    """`path`: None for the page at hand."""
    if path is not None:
        await site.open(f"{site.base}{path}")
    await site.find("h1")
    assert await site.run("return document.documentElement.scrollWidth") <= width, path
    small = await site.run(
        "return [...document.querySelectorAll('button, input:not([type=checkbox]), label.check, .sections a, .button')]"
        ".filter(item => item.offsetParent && item.offsetHeight < 44).map(item => item.outerHTML)"
    )
    assert small == [], path
    # Each page once; every look, where somebody wants to see them all.
    if PICTURES or (width == PHONE[0]) == (path in FOR_GUESTS):
        assert await site.axe() == [], path
    if PICTURES:
        arguments = {"captureBeyondViewport": True}
        shot = await asyncio.to_thread(site._driver.execute_cdp_cmd, "Page.captureScreenshot", arguments)
        name = (path or "wrong").strip("/").replace("/", "-") or "account"
        (Path(PICTURES) / f"{picture}-{name}.png").write_bytes(base64.b64decode(shot["data"]))
