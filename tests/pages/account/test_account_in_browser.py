"""The viewer's account in a real browser: by keyboard, without a complaint, and looked at by axe-core.

`PAGE_PICTURES=folder` keeps pictures: see tests/support/page_looks.py.
"""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support import browser_walk
from tests.support.api import PASSWORD, V1
from tests.support.chromium_site import Site
from tests.support.mailbox import newest
from tests.support.page_looks import PHONE, any_look, command, looked_at, looks, set_look
from tests.support.phone import shown_at

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
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
    for width, theme, language in looks():
        await set_look(site, width, theme, language)
        on_phone = width == PHONE[0]  # axe is slow: each page is asked about in one look
        for path in FOR_GUESTS:
            await looked_at(site, path, width, f"{language}-{theme}-{width}-{next(pages):02}", axe=on_phone)
        await site.open(f"{site.base}/account/sign-in")
        await site.type("#login", account.login)
        await site.type("#password", "wrong" + Keys.ENTER)
        await site.find(".summary")
        await looked_at(site, None, width, f"{language}-{theme}-{width}-{next(pages):02}", axe=not on_phone)
        await site.type("#password", PASSWORD + Keys.ENTER)
        await site.find(".sections")
        for path in SIGNED_IN:
            picture = f"{language}-{theme}-{width}-{next(pages):02}"
            await looked_at(site, f"/account{path}", width, picture, axe=not on_phone)
        await site.open(f"{site.base}/account/sessions")
        await site.press("main a[href$='/name']")
        picture = f"{language}-{theme}-{width}-{next(pages):02}-device"
        await looked_at(site, None, width, picture, axe=not on_phone)
    assert site.complaints() == []
    await any_look(site)
