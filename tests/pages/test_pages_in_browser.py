"""The pages in a real browser whose network ends at this machine: they work, and ask no other host for anything."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from auth_service.pages.texts import TEXTS
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.conftest import Fresh
from tests.support import browser_walk
from tests.support.api import PASSWORD, V1, Account, Api, error_of
from tests.support.mailbox import newest
from tests.support.service_process import ServiceProcess, free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
CUT = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
PATIENCE_SECONDS = 60
NEW_PASSWORD = "twenty paper lanterns"


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium(CUT, "--window-size=1280,900", languages="ru-RU,ru") as driver:
        yield driver


class Site:
    """A service of its own, the app in this process on the same stores, and the browser."""

    def __init__(self, api: Api, service: ServiceProcess, base: str, driver: Chrome) -> None:
        self.api, self.service, self.base, self._driver = api, service, base, driver

    async def open(self, address: str) -> None:
        await asyncio.to_thread(self._driver.get, address)

    async def run(self, script: str) -> Any:
        return await asyncio.to_thread(self._driver.execute_script, script)

    async def find(self, selector: str) -> WebElement:
        """Waits until it is shown."""

        def shown(driver: Chrome) -> WebElement | None:
            found = driver.find_elements(By.CSS_SELECTOR, selector)
            return next((item for item in found if item.is_displayed()), None)

        element = await asyncio.to_thread(WebDriverWait(self._driver, PATIENCE_SECONDS).until, shown)
        assert element is not None
        return element

    async def press(self, selector: str = "button.main") -> None:
        await asyncio.to_thread((await self.find(selector)).click)

    async def type(self, selector: str, text: str) -> None:
        element = await self.find(selector)
        await asyncio.to_thread(element.clear)
        await asyncio.to_thread(element.send_keys, text)

    async def outcome(self, name: str) -> str:
        return str((await self.find(f"[data-outcome={name}]")).text)

    def asked(self) -> list[str]:
        """The addresses asked for since the last time; says so where it was another host than this machine."""
        messages = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        sent = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
        asked = [address for address in sent if not address.startswith(("data:", "blob:"))]
        assert {urlsplit(address).hostname for address in asked} <= {"localhost"}
        return asked

    def complaints(self) -> list[str]:
        """What the console says of the page itself; that an answer was a 401 is no fault of the page."""
        said = [entry for entry in self._driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [entry["message"] for entry in said if "Failed to load resource" not in entry["message"]]


@pytest.fixture
async def site(fresh: Fresh, driver: Chrome) -> Site:
    port = free_port()
    base = f"http://localhost:{port}"
    settings = await fresh.settings(issuer=base)
    api = await fresh.on(settings)
    site = Site(api, await fresh.service(settings, port=port), base, driver)
    await asyncio.to_thread(site.asked)
    await asyncio.to_thread(site.complaints)
    return site


async def register(site: Site, login: str) -> Account:
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    answer = await site.api.http.post(f"{V1}/auth/register", json=body)
    return Account(answer.json()["id"], login, body["email"])


# --- the documentation


async def test_swagger_ui_works_without_the_internet(site: Site) -> None:
    account = await site.api.create_user()
    tokens = await site.api.log_in(account)
    await site.open(f"{site.base}/auth/docs")
    operation = "#operations-own_account-get_own_account"
    await site.press(".btn.authorize")
    await site.type(".modal-ux input#auth-bearer-value", tokens.access)
    await site.press(".modal-ux .btn.modal-btn.authorize")
    await site.press(".modal-ux .btn-done")
    await site.press(f"{operation} .opblock-summary-control")
    await site.press(f"{operation} .try-out__btn")
    await site.press(f"{operation} .btn.execute")
    answer = await site.find(f"{operation} .live-responses-table .highlight-code")
    assert account.email in answer.text
    assert site.complaints() == []
    assert f"{site.base}/api/v1/users/me" in site.asked()


async def test_redoc_works_without_the_internet(site: Site) -> None:
    await site.open(f"{site.base}/auth/redoc")
    title = await site.find("h1")
    assert "Cinema auth service" in title.text
    await site.type("input[type=text]", "recovery")
    hit = await site.find("[data-role='search:results'] li")
    assert hit.text
    background = await site.run("return getComputedStyle(document.querySelector('.menu-content')).backgroundColor")
    assert background == "rgb(250, 250, 250)", "its styles are let in"
    assert site.complaints() == []
    assert f"{site.base}/auth/redoc/logo-mini.svg" in site.asked()


# --- the links of mails


async def test_a_link_confirms_an_address_by_a_click_alone(site: Site) -> None:
    account = await register(site, "trinity")
    letter = await newest(site.api, account.email, "verify_email")
    await site.open(letter.link)
    assert TEXTS["confirm_words"]["ru"] in (await site.find("main")).text
    assert await site.run("return location.href") == f"{site.base}/confirm-email"
    assert letter.token not in str(await site.run("return JSON.stringify([history.state, document.referrer])"))
    assert not any("/api/" in address for address in site.asked()), "a scanner that runs scripts confirms nothing"
    await site.press("[data-language=en]")
    assert TEXTS["confirm_title"]["en"] == (await site.find("h1")).text == await site.run("return document.title")
    await site.press()
    assert await site.outcome("done") == f"The address {account.email} is confirmed.\nYou can close this page."
    tokens = await site.api.log_in(account)
    assert (await site.api.me(tokens)).json()["email_verified"] is True
    await site.run("location.reload()")
    assert TEXTS["missing"]["ru"] in await site.outcome("missing")
    await site.open(letter.link)
    await site.press()
    assert await site.outcome("used") == TEXTS["confirm_used"]["ru"]
    assert site.complaints() == []
    assert letter.token not in site.service.log()


async def test_both_ends_confirm_a_change_of_address(site: Site) -> None:
    account = await register(site, "morpheus")
    await site.open((await newest(site.api, account.email, "verify_email")).link)
    await site.press()
    await site.outcome("done")
    tokens = await site.api.log_in(account)
    body = {"email": "new@example.com", "current_password": PASSWORD}
    await site.api.http.post(f"{V1}/users/me/email", json=body, headers=tokens.bearer)
    # The second link comes into the same tab, where only what is behind the # differs.
    await site.open((await newest(site.api, account.email, "email_change_old")).link)
    await site.press()
    assert await site.outcome("waiting") == TEXTS["waiting"]["ru"].format(email="new@example.com")
    await site.open((await newest(site.api, "new@example.com", "email_change_new")).link)
    await site.press()
    assert "new@example.com" in await site.outcome("done")
    assert (await site.api.me(tokens)).json()["email"] == "new@example.com"
    assert site.complaints() == []


async def test_a_forgotten_password_is_set_with_the_keyboard_alone(site: Site) -> None:
    account = await register(site, "niobe")
    await site.open(f"{site.base}/")  # where a notice leads that says: if this was not you, set a new password
    await site.press("a[href='forgot-password']")
    await site.type("#email", "nobody" + Keys.ENTER)
    assert await site.run("return email.matches(':invalid')"), "the browser says so itself"
    await site.type("#email", account.email + Keys.ENTER)
    assert await site.outcome("sent") == TEXTS["sent"]["ru"].format(minutes=30)
    letter = await newest(site.api, account.email, "reset_password")
    await site.open(letter.link)
    for first, second, name in (
        ("short", "short", "short"),
        (NEW_PASSWORD, PASSWORD, "different"),
        ("password1", "password1", "weak"),
        ("niobe1234", "niobe1234", "weak"),
    ):
        await site.type("#password", first)
        await site.type("#again", second + Keys.ENTER)
        said = await site.outcome(name)
        assert said == TEXTS[name]["ru"].format(min=8, name="Cinema"), first
        focused = await site.run("return document.activeElement.dataset.outcome ?? null")
        assert focused == name, "a screen reader is told"
    await site.type("#password", NEW_PASSWORD)
    await site.type("#again", NEW_PASSWORD + Keys.ENTER)
    assert TEXTS["reset_done"]["ru"] in await site.outcome("done")
    assert await site.run("return document.querySelector('form').hidden && password.value === ''")
    assert error_of(await site.api.log_in_as(account.login, PASSWORD)) == (401, "invalid_credentials")
    assert (await site.api.log_in_as(account.login, NEW_PASSWORD)).status_code == 200
    cookies = await asyncio.to_thread(site._driver.get_cookies)
    assert "auth_device" in {cookie["name"] for cookie in cookies}, "this browser is a known device"
    await site.open(letter.link)
    await site.type("#password", NEW_PASSWORD)
    await site.type("#again", NEW_PASSWORD)
    await site.press()
    assert await site.outcome("used") == TEXTS["reset_used"]["ru"] + "\n" + TEXTS["ask_again"]["ru"]
    assert site.complaints() == []
    log = site.service.log()
    assert letter.token not in log
    assert NEW_PASSWORD not in log


async def test_a_service_that_is_away_is_said_and_the_link_kept(site: Site) -> None:
    account = await register(site, "tank")
    await site.open((await newest(site.api, account.email, "verify_email")).link)
    await site.find("button.main")
    site.service.process.terminate()
    await site.service.process.wait()
    await site.press()
    assert await site.outcome("down") == TEXTS["down"]["ru"]
    assert await site.run("return !document.querySelector('form').hidden && !document.querySelector('.main').disabled")


@pytest.mark.parametrize("path", ["/", "/confirm-email#token=x", "/reset-password#token=x", "/forgot-password"])
async def test_pages_fit_a_phone(site: Site, path: str) -> None:
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    await asyncio.to_thread(site._driver.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", metrics)
    try:
        await site.open(f"{site.base}{path}")
        await site.find("h1")
        assert await site.run("return document.documentElement.scrollWidth") == 360
        small = await site.run(
            "return [...document.querySelectorAll('button, input:not([type=checkbox]), label.check')]"
            ".filter(item => item.offsetParent && item.offsetHeight < 44).map(item => item.outerHTML)"
        )
        assert small == []
    finally:
        await asyncio.to_thread(site._driver.execute_cdp_cmd, "Emulation.clearDeviceMetricsOverride", {})
