"""The viewer's pages without scripts: what one can do there, in both languages."""

import json
import re

import pytest

from tests.conftest import Fresh
from tests.support.api import PASSWORD, Api, StoppedClock, unique
from tests.support.mailbox import newest
from tests.support.page_order import in_order
from tests.support.phone import shown_at
from tests.support.reader import Reader, signed_in

PAGES = ("", "/name", "/login", "/email", "/password", "/second-factor", "/sessions", "/history", "/data", "/delete")
FOR_GUESTS = ("/account/sign-in", "/account/register", "/forgot-password", "/confirm-email", "/reset-password")
NEW_PASSWORD = "twenty paper lanterns"


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "ru"])
async def test_each_page_is_in_order_in_each_language(api: Api, language: str) -> None:
    guest = Reader(api, language)
    for path in FOR_GUESTS:
        in_order(await guest.open(path), language)
    _, reader = await signed_in(api, language=language)
    for path in PAGES:
        page = await reader.open(f"/account{path}")
        assert page.path == f"/account{path}"
        in_order(page, language)


async def test_first_load_is_light(api: Api) -> None:
    page = await Reader(api).open("/account")
    loaded = re.findall(r'<(?:script|link|img)\b[^>]* (?:src|href)="([^"]*)"', page.html)
    files = [await api.http.get(address) for address in loaded]
    assert [file.status_code for file in files] == [200] * 4
    assert len(page.answer.content) + sum(len(file.content) for file in files) < 100_000


async def test_register_then_confirm_by_the_mailed_link(api: Api) -> None:
    reader, login = Reader(api), unique("reader")
    await reader.open("/account/register?next=/account/history")
    page = await reader.send("/account/register", login=login, email=f"{login}@example.com", password=PASSWORD)
    assert page.path == "/account/history"
    assert "We sent you a mail" in page.words
    assert "We sent you a mail" not in (await reader.open("/account")).words, "it is said once"
    assert "not confirmed" in (await reader.open("/account")).words
    letter = await newest(api, f"{login}@example.com", "verify_email")
    await reader.open("/confirm-email")
    page = await reader.send("/confirm-email", token=f"  {letter.link} ")  # who has no scripts pastes the link
    assert "Your e-mail address is confirmed" in page.words
    assert "not confirmed" not in (await reader.open("/account")).words
    await reader.open("/confirm-email")
    assert "This link no longer works" in (await reader.send("/confirm-email", token=letter.token)).words


async def test_what_is_wrong_is_said_beside_the_field_and_at_the_top(api: Api) -> None:
    taken, reader = await api.create_user(), Reader(api)
    await reader.open("/account/register")
    page = await reader.send(
        "/account/register", login='"><b>', email="nobody", password="password1", full_name="x" * 201
    )
    assert page.status == 422
    assert page.title == "Error: Create your account – Cinema"
    summary = re.findall(r'<div class="summary" role="alert" tabindex="-1" autofocus>.*?</div>', page.html, re.DOTALL)[
        0
    ]
    assert re.findall(r'href="#(\w+)"', summary) == ["login", "email", "password", "full_name"]
    assert page.error("login") == "A login has only letters, digits, dots, dashes and underscores."
    assert page.error("email").startswith("This is not an e-mail address")
    assert page.error("password").startswith("This password is one of those")
    assert page.error("full_name") == "This is too long."
    assert 'value="&#34;&gt;&lt;b&gt;"' in page.html, "what was typed is there still"
    assert "password1" not in page.html, "but no password"
    page = await reader.send("/account/register", login=taken.login, email="free@example.com", password=PASSWORD)
    assert page.error("login") == "This login is taken, or looks like one that is."
    page = await reader.send("/account/register", login=unique("reader"), email=taken.email, password=PASSWORD)
    assert page.error("email") == "This address belongs to an account already."
    assert (await reader.send("/account/register")).error("login") == "Fill this in."


async def test_sign_in_tells_nothing_about_the_account_and_leads_back(api: Api) -> None:
    account, reader = await api.create_user(), Reader(api)
    page = await reader.open("/account/history")
    assert page.path == "/account/sign-in?next=/account/history"
    assert "Sign in to continue" in page.words
    said = [
        (await reader.send("/account/sign-in", login=login, password="wrong")).words.replace(login, "")
        for login in (account.login, unique("nobody"))
    ]
    assert said[0] == said[1]
    assert "The login or the password is wrong." in said[0]
    page = await reader.send("/account/sign-in", login=account.email, password=PASSWORD)
    assert page.path == "/account/history"
    assert "Wrong password" in page.words
    assert (await reader.open("/account/sign-in")).path == "/account", "who is signed in need not sign in"
    page = await reader.send("/account/sign-out")
    assert (page.path, "You are signed out." in page.words) == ("/account/sign-in", True)
    assert (await reader.open("/account")).path == "/account/sign-in"


async def test_many_tries_are_refused_in_words(fresh: Fresh) -> None:
    api = await fresh.api(rate_limit_login="2/minute")
    account, reader = await api.create_user(), Reader(api)
    await reader.open("/account/sign-in")
    for _ in range(2):
        page = await reader.send("/account/sign-in", login=account.login, password="wrong")
    page = await reader.send("/account/sign-in", login=account.login, password=PASSWORD)
    assert page.status == 429
    assert re.search(r"Too many attempts\. Wait \d+ (seconds|minute)", page.words)
    assert page.answer.headers["retry-after"].isdigit()
    assert f'value="{account.login}"' in page.html


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_second_factor_from_on_to_off(fresh: Fresh, language: str) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, reader = await signed_in(api, language=language)
    await reader.open("/account/second-factor")
    page = await reader.send("/account/second-factor/start", current_password="wrong")
    assert page.error("current_password")
    page = await reader.send("/account/second-factor/start", current_password=PASSWORD)
    in_order(page, language)
    assert "<svg" in page.html
    secret = "".join(re.findall(r"<span>([A-Z2-7]{4})</span>", page.html))
    assert len(secret) == 32
    page = await reader.send("/account/second-factor/confirm", code="000000")
    assert page.error("code")
    assert secret[:4] not in page.html, "the secret is shown once"
    page = await reader.send("/account/second-factor/confirm", code=shown_at(secret, clock()))
    in_order(page, language)
    codes = re.findall(r"<code>([a-z2-9-]{19})</code>", page.html)
    assert len(codes) == 10
    again = (await reader.open("/account/second-factor")).html
    assert not any(code in again for code in (*codes, secret[:8]))
    await reader.send("/account/sign-out")

    page = await reader.sign_in(account)
    assert page.path == "/account/sign-in/code?next=/account"
    in_order(page, language)
    assert (await reader.send("/account/sign-in/code", code="123")).error("code")
    assert (await reader.send("/account/sign-in/code", code="000000")).status == 401
    clock.forward(seconds=60)
    page = await reader.send("/account/sign-in/code", code=shown_at(secret, clock()), trust_device="on")
    assert page.path == "/account"
    await reader.send("/account/sign-out")
    assert (await reader.sign_in(account)).path == "/account", "a trusted device is asked for none"

    await reader.open("/account/second-factor/codes")
    page = await reader.send("/account/second-factor/codes", current_password=PASSWORD, code=codes[0].upper())
    new = re.findall(r"<code>([a-z2-9-]{19})</code>", page.html)
    assert len(new) == 10
    assert not set(new) & set(codes)
    await reader.open("/account/second-factor/off")
    page = await reader.send("/account/second-factor/off", current_password=PASSWORD, code=new[0])
    assert page.path == "/account"
    for nothing_to_do in ("codes", "off"):
        assert (await reader.open(f"/account/second-factor/{nothing_to_do}")).path == "/account/second-factor"
    await reader.send("/account/sign-out")
    assert (await reader.sign_in(account)).path == "/account"


async def test_a_login_step_that_is_over_begins_again(api: Api) -> None:
    reader = Reader(api)
    assert (await reader.open("/account/sign-in/code")).path == "/account/sign-in"
    reader.cookies["auth_challenge"] = "junk"
    await reader.open("/account/sign-in/code")
    page = await reader.send("/account/sign-in/code", code="123456")
    assert (page.path, "That took too long" in page.words) == ("/account/sign-in", True)


async def test_profile_address_and_password_change(api: Api) -> None:
    account, reader = await signed_in(api)
    await reader.open("/account/name")
    assert "Ada Lovelace" in (await reader.send("/account/name", full_name=" Ada Lovelace ")).words
    await reader.open("/account/name")
    assert "not given" in (await reader.send("/account/name", full_name="")).words
    await reader.open("/account/login")
    login = unique("reader")
    assert (await reader.send("/account/login", login=login, current_password="wrong")).error("current_password")
    assert login in (await reader.send("/account/login", login=login, current_password=PASSWORD)).words

    await reader.open("/account/email")
    address = f"{login}@example.org"
    page = await reader.send("/account/email", email=address, current_password=PASSWORD)
    assert f"Waiting to be confirmed: {address}" in page.words
    assert await newest(api, address, "email_change_new")
    await reader.open("/account/email")
    assert address not in (await reader.send("/account/email/cancel")).words
    page = await reader.send("/account/email/verify")
    assert "A mail is on its way" in page.words
    assert await newest(api, account.email, "verify_email")

    other = Reader(api)
    await other.open("/account/sign-in")
    await other.send("/account/sign-in", login=login, password=PASSWORD)
    await reader.open("/account/password")
    page = await reader.send("/account/password", current_password=PASSWORD, new_password=f"{login}{login}")
    assert page.error("new_password").startswith("This password is mostly")
    page = await reader.send("/account/password", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert (page.path, "Your password is changed" in page.words) == ("/account", True)
    assert (await other.open("/account")).path == "/account/sign-in"


async def test_a_forgotten_password(api: Api) -> None:
    account, reader = await api.create_user(), Reader(api)
    await reader.open("/forgot-password")
    assert (await reader.send("/forgot-password", email="nobody")).error("email")
    said = set()
    for email in ("no@example.com", account.email):
        await reader.open("/forgot-password")
        said.add((await reader.send("/forgot-password", email=email)).words)
    assert len(said) == 1
    letter = await newest(api, account.email, "reset_password")
    await reader.open("/reset-password")
    page = await reader.send("/reset-password", token=letter.link, new_password="short")
    assert page.error("new_password") == "The password needs at least 8 characters."
    page = await reader.send("/reset-password", new_password=NEW_PASSWORD)  # the token is in the page still
    assert (page.path, "Your new password is set" in page.words) == ("/account/sign-in", True)
    assert "auth_device" in reader.cookies, "this browser is a known device"
    assert (await reader.sign_in(account, NEW_PASSWORD)).path == "/account"
    await reader.open("/reset-password")
    page = await reader.send("/reset-password", token=letter.token, new_password=NEW_PASSWORD)
    assert (page.status, "Ask for a new link" in page.words) == (401, True)


async def test_sessions_and_devices_end(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, reader = await signed_in(api)
    others = [
        Reader(api, headers={"User-Agent": f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"})
        for n in (130, 131, 132)
    ]
    for other in others:
        await other.sign_in(account)
    page = await reader.open("/account/sessions")
    assert {"Firefox 130 · Linux", "Firefox 132 · Linux"} <= set(re.findall(r"<bdi>([^<]*)</bdi>", page.html))
    actions = re.findall(r'action="(/account/sessions/[^"]*)"', page.html)
    ends = [action for action in actions if action.endswith("/end")]
    assert len(ends) == 4

    clock.forward(minutes=6)
    page = await reader.send("/account/sessions/end-others")
    assert page.path == "/account/confirm?next=/account/sessions", "the password is asked for again"
    assert (await reader.send("/account/confirm")).error("current_password")
    assert (await reader.send("/account/confirm", current_password="wrong")).error("current_password")
    page = await reader.send("/account/confirm", current_password=PASSWORD)
    assert (page.path, "Now you can continue" in page.words) == ("/account/sessions", True)
    newest_first = re.findall(r'action="(/account/sessions/[^"]*/end)"', page.html)
    page = await reader.send(next(end for end in newest_first if end in ends))
    assert "That device is signed out." in page.words
    assert page.html.count('/end"') == 3
    alive = [(await other.open("/account")).path for other in others]
    assert sorted(alive) == ["/account", "/account", "/account/sign-in"]
    await reader.open("/account/sessions")
    page = await reader.send("/account/sessions/end-others")
    assert "All other devices are signed out." in page.words
    assert [(await other.open("/account")).path for other in others] == ["/account/sign-in"] * 3
    assert (await reader.send("/account/sessions/00000000-0000-7000-8000-000000000000/end")).status == 404
    assert (await reader.open("/account/sessions")).status == 200
    forgets = re.findall(r'action="(/account/sessions/devices/[^"]*)"', reader.page.html if reader.page else "")
    assert len(forgets) == 4
    for action in forgets:
        page = await reader.send(action)
        if page.path != "/account/sessions":
            break
    assert page.path == "/account/sign-in", "the device at hand was among them"


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_device_gets_a_name(api: Api, language: str) -> None:
    _, reader = await signed_in(api, language=language)
    _, stranger = await signed_in(api)
    naming = re.findall(r'href="([^"]*/name)"', (await reader.open("/account/sessions")).html)
    assert len(naming) == 2
    assert len(set(naming)) == 1, "that of the session is that of its device"
    in_order(await reader.open(naming[0]), language)
    page = await reader.send(naming[0], name=" ")
    assert page.error("name")
    page = await reader.send(naming[0], name="Anna's tablet")
    assert page.path == "/account/sessions"
    assert page.words.count("Anna's tablet") == 2
    await reader.open(naming[0])
    assert (await reader.send(naming[0], name="x" * 101)).error("name")
    assert (await stranger.open(naming[0])).status == 404
    await stranger.open("/account/sessions")
    assert (await stranger.send(naming[0], name="Mine")).status == 404


async def test_history_has_pages(api: Api) -> None:
    account, reader = await signed_in(api)
    for _ in range(9):
        await api.log_in(account)
    for _ in range(11):
        await api.log_in_as(account.login, "wrong")
    page = await reader.open("/account/history")
    assert page.html.count("<time ") == 20
    (older,) = re.findall(r'<a href="(/account/history\?cursor=[^"]*)" rel="next"', page.html)
    page = await reader.open(older)
    assert page.html.count("<time ") == 1
    assert "Newest" in page.words
    assert (await reader.open("/account/history?cursor=junk")).status == 404


async def test_data_are_downloaded_and_the_account_deleted(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, reader = await signed_in(api)
    await reader.open("/account/data")
    page = await reader.send("/account/data")
    assert page.answer.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert json.loads(page.html)["account"]["login"] == account.login
    clock.forward(minutes=6)
    await reader.open("/account/data")
    assert (await reader.send("/account/data")).path == "/account/confirm?next=/account/data"
    await reader.open("/account/delete")
    assert (await reader.send("/account/delete", current_password="wrong")).error("current_password")
    page = await reader.send("/account/delete", current_password=PASSWORD)
    assert (page.path, "Your account is deleted" in page.words) == ("/account/sign-in", True)
    assert (await reader.sign_in(account)).status == 401


async def test_the_language_is_chosen_and_kept(api: Api) -> None:
    reader = Reader(api, "de, en;q=0.5")
    page = await reader.open("/account/sign-in")
    (address,) = re.findall(r'<a href="(/account/language\?to=ru[^"]*)"', page.html)
    page = await reader.open(address.replace("&amp;", "&"))
    assert page.path == "/account/sign-in"
    assert '<html lang="ru">' in page.html
    assert '<html lang="ru">' in (await reader.open("/forgot-password")).html
    assert '<html lang="ru">' in (await reader.open("/account/language?to=xx&next=/reset-password")).html
    assert reader.page is not None
    assert reader.page.path == "/reset-password"


async def test_times_are_in_the_zone_of_the_browser(api: Api) -> None:
    _, reader = await signed_in(api)
    assert " UTC" in (await reader.open("/account/history")).words
    reader.cookies["auth_timezone"] = "Europe/Moscow"
    assert " MSK" in (await reader.open("/account/history")).words
    for junk in ("../../etc/passwd", "Nowhere/None", "%00", "x" * 300):
        reader.cookies["auth_timezone"] = junk
        assert " UTC" in (await reader.open("/account/history")).words
