"""The console in a real browser: by keyboard, and as it looks; see tests/support/page_looks.py for pictures."""

import itertools

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support import browser_walk
from tests.support.api import PASSWORD, V1, Account, Tokens
from tests.support.chromium_site import Site
from tests.support.page_looks import DESK, any_look, looked_at, looks, set_look

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
HOSTILE = "\u202e" + "Ж" * 100 + "<b>"


async def to_link(site: Site, words: str) -> None:
    """By the tab key alone, until it is there."""
    for _ in range(60):
        await site.keys(Keys.TAB)
        if await site.run("return document.activeElement.textContent.trim()") == words:
            return
    raise AssertionError(f"no key leads to {words}")


async def to_field(site: Site, name: str) -> None:
    for _ in range(60):
        await site.keys(Keys.TAB)
        if await site.run("return document.activeElement.name") == name:
            return
    raise AssertionError(f"no key leads to {name}")


async def sign_in(site: Site, account: Account) -> None:
    await site.type("#login", account.login)
    await site.type("#password", PASSWORD + Keys.ENTER)


async def test_from_the_sign_in_to_a_role_and_why_by_keyboard(site: Site) -> None:
    admin, anna = await site.api.create_user("admin"), await site.api.create_user(login="anna")
    await site.open(f"{site.base}/console")
    await site.says("Sign in to continue.")
    await site.keys(admin.login, Keys.TAB, PASSWORD, Keys.ENTER)
    await site.find(".filters")
    await to_field(site, "search")
    await site.keys("ann" + Keys.ENTER)
    await to_link(site, "anna")
    await site.keys(Keys.ENTER)
    await site.says("Why may they, or why not?")
    await to_field(site, "permission")
    await site.keys("films:watch" + Keys.ENTER)
    await site.says("anna may not films:watch")
    await to_link(site, "Grant: Subscriber")
    await site.keys(Keys.ENTER)
    await site.says("Grant a role")
    assert await site.run("return document.querySelector('#role').value") == "subscriber"
    await to_field(site, "reason")
    await site.keys("asked for it")
    await site.keys(Keys.TAB, Keys.ENTER)
    await site.says("Nothing is changed yet.")
    await to_link(site, "Grant the role")
    await site.keys(Keys.ENTER)
    await site.says("The role is granted.")
    await to_field(site, "permission")
    await site.keys("films:watch" + Keys.ENTER)
    await site.says("anna may films:watch")
    await site.says("asked for it")
    assert (await site.api.check(await site.api.log_in(anna), "films:watch"))["allowed"]
    assert site.complaints() == []
    assert {address for address in site.asked() if not address.startswith(site.base)} == set()


async def test_pages_fit_are_readable_and_please_axe(site: Site) -> None:
    admin, anna = await site.api.create_user("superuser", login="anna-of-the-office"), await site.api.create_user()
    tokens = await site.api.log_in(admin)
    await site.api.log_in(anna, device_name="\u202e" + "W" * 99)
    await fill_in(site, tokens, anna)
    row = (await site.api.http.get(f"{V1}/admin/audit?action=role.granted", headers=tokens.bearer)).json()["items"][0]
    own = f"/console/users/{anna.id}"
    pages = ["/console/users", "/console/users?search=nobody&active=false", "/console/users/new", own]
    pages += [f"{own}?permission=films:watch", f"{own}?permission=none:none", f"{own}/sessions", f"{own}/history"]
    pages += [
        f"{own}/edit",
        f"{own}/grant",
        f"{own}/roles/moderator",
        f"{own}/delete",
        "/console/audit",
        "/console/audit?actor=nobody",
    ]
    pages += [f"/console/audit/{row['id']}", f"/console/audit/{row['id']}/people", "/console/sign-ins"]
    pages += ["/console/health", "/console/confirm", "/console/nothing"]
    numbers = itertools.count()
    for width, theme, language in looks():
        await set_look(site, width, theme, language)
        await sign_in(site, admin)
        await site.find(".sections")
        for path in pages:
            picture = f"{language}-{theme}-{width}-{next(numbers):02}"
            await looked_at(site, path, width, picture, axe=width == DESK[0])
        await site.open(f"{site.base}{own}/edit")
        for name, text in (("login", "another-anna"), ("email", "another@example.com")):
            await site.type(f"#{name}", text)
        await site.press("main form button")
        await site.find("[value=make]")
        picture = f"{language}-{theme}-{width}-{next(numbers):02}-edit"
        await looked_at(site, None, width, picture, axe=width == DESK[0])
    assert site.complaints() == []
    await any_look(site)


async def fill_in(site: Site, tokens: Tokens, anna: Account) -> None:
    """What a console has to show after a while, some of it hostile."""
    http, headers = site.api.http, tokens.bearer
    name = {"full_name": HOSTILE}
    assert (await http.patch(f"{V1}/admin/users/{anna.id}", json=name, headers=headers)).status_code == 200
    for role, more in (
        ("moderator", {"reason": HOSTILE}),
        ("content-manager", {"valid_until": "2099-01-01T00:00:00Z"}),
    ):
        granted = await http.put(f"{V1}/users/{anna.id}/roles/{role}", json=more, headers=headers)
        assert granted.status_code == 200, granted.text
    for number in range(30):
        await site.api.create_user(login=f"viewer-{number:02}")
    await site.api.resources.hot.execute(
        "INSERT INTO login_history (id, login_at, succeeded, reason) SELECT gen_random_uuid(),"
        " now() - random() * random() * interval '29 days', n % 7 > 1,"
        " CASE WHEN n % 7 <= 1 THEN (ARRAY['wrong_password', 'locked', 'wrong_code'])[1 + n % 3] END"
        " FROM generate_series(1, 5000) AS n"
    )
