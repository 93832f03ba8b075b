"""The pages in a real browser whose network ends at this machine: they work, and ask no other host for anything."""

import asyncio
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.conftest import Fresh
from tests.support import browser_walk
from tests.support.api import PASSWORD, V1, Account, error_of
from tests.support.chromium_site import CUT, Site
from tests.support.mailbox import newest
from tests.support.service_process import held_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
NEW_PASSWORD = "twenty paper lanterns"


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium(CUT, "--window-size=1280,900", languages="ru-RU,ru") as driver:
        yield driver


@pytest.fixture
async def site(fresh: Fresh, driver: Chrome) -> Site:
    with held_port() as port:
        base = f"http://localhost:{port}"
        settings = await fresh.settings(issuer=base)
        site = Site(await fresh.on(settings), await fresh.service(settings, port=port), base, driver)
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
    await site.says("Нажмите кнопку, чтобы подтвердить то, о чём просит письмо.")
    assert await site.run("return location.href") == f"{site.base}/confirm-email"
    assert await site.run("return document.querySelector('[data-token]').hidden"), "there is nothing to type"
    assert letter.token not in str(await site.run("return JSON.stringify([history.state, document.referrer])"))
    tokens = await site.api.log_in(account)
    assert (await site.api.me(tokens)).json()["email_verified"] is False, "a scanner that runs scripts confirms nothing"
    await site.press("[data-language][lang=en]")
    await site.says("Press the button to confirm what the mail asks for.")
    assert await site.run("return location.href") == f"{site.base}/confirm-email", "another language keeps the token"
    await site.press()
    await site.says("Your e-mail address is confirmed.")
    assert (await site.api.me(tokens)).json()["email_verified"] is True
    await site.open(f"{site.base}/confirm-email")
    await site.says("The link from our mail")
    await site.open(letter.link)
    await site.press()
    await site.says("This link no longer works")
    await site.open(f"{letter.link}x")
    await site.says("Press the button")
    assert site.complaints() == []
    assert letter.token not in site.service.log()
    assert letter.token not in "".join(site.asked())
    await site.press("[data-language][lang=ru]")


async def test_both_ends_confirm_a_change_of_address(site: Site) -> None:
    account = await register(site, "morpheus")
    await site.open((await newest(site.api, account.email, "verify_email")).link)
    await site.press()
    await site.says("Адрес почты подтверждён.")
    tokens = await site.api.log_in(account)
    body = {"email": "new@example.com", "current_password": PASSWORD}
    await site.api.http.post(f"{V1}/users/me/email", json=body, headers=tokens.bearer)
    # The links come into one tab, where only what is behind the # differs.
    old = (await newest(site.api, account.email, "email_change_old")).link
    for link in (f"{site.base}/confirm-email", f"{old}x", old):
        await site.open(link)
    await site.press()
    await site.says("Остался один шаг")
    await site.open((await newest(site.api, "new@example.com", "email_change_new")).link)
    await site.press()
    await site.says("Адрес почты подтверждён.")
    assert (await site.api.me(tokens)).json()["email"] == "new@example.com"
    assert site.complaints() == []


async def test_a_forgotten_password_is_set_with_the_keyboard_alone(site: Site) -> None:
    account = await register(site, "niobe")
    await site.open(f"{site.base}/")  # where a notice leads that says: if this was not you, set a new password
    await site.press("a[href$='forgot-password']")
    await site.type("#email", "nobody" + Keys.ENTER)
    await site.says("Это не адрес почты.")
    assert await site.run("return document.activeElement.className") == "summary", "a screen reader is told"
    await site.type("#email", account.email + Keys.ENTER)
    await site.says("Если у какой-то учётной записи такой адрес, письмо уже в пути.")
    letter = await newest(site.api, account.email, "reset_password")
    await site.open(letter.link)
    for weak in ("short", "password1", "niobe1234"):
        await site.type("#new_password", weak + Keys.ENTER)
        await site.says("Проверьте, что вы ввели")
        assert await site.run("return document.activeElement.className") == "summary"
        assert await site.run("return document.title") == "Ошибка: Новый пароль – Cinema"
    await site.type("#new_password", NEW_PASSWORD + Keys.ENTER)
    await site.says("Новый пароль задан")
    assert error_of(await site.api.log_in_as(account.login, PASSWORD)) == (401, "invalid_credentials")
    assert (await site.api.log_in_as(account.login, NEW_PASSWORD)).status_code == 200
    cookies = await asyncio.to_thread(site._driver.get_cookies)
    assert "auth_device" in {cookie["name"] for cookie in cookies}, "this browser is a known device"
    await site.open(letter.link)
    await site.type("#new_password", NEW_PASSWORD)
    await site.press()
    await site.says("Запросить новую ссылку")
    assert site.complaints() == []
    log = site.service.log()
    assert letter.token not in log
    assert NEW_PASSWORD not in log
