"""Roles, permissions, grants, services and webhooks of the console in a real browser: by keyboard, and as they look."""

import asyncio
import itertools

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support import browser_walk
from tests.support.api import PASSWORD, V1, Account
from tests.support.chromium_site import Site
from tests.support.page_looks import DESK, any_look, looked_at, looks, set_look

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
HOSTILE = "\u202e<b>" + "Ж" * 190
PAGES = (
    "/console/roles",
    "/console/roles/admin",
    "/console/roles/hostile",
    "/console/roles/hostile/edit",
    "/console/roles/_new",
    "/console/roles/moderator/delete",
    "/console/permissions",
    "/console/permissions/films:watch",
    "/console/permissions/films:watch/people",
    "/console/permissions/films:watch/edit",
    "/console/grants",
    "/console/grants/new?user=viewer&role=subscriber",
    "/console/grants/jobs",
    "/console/grants/jobs/new",
    "/console/services",
    "/console/services/new",
    "/console/webhooks",
    "/console/webhooks/new",
)


async def sign_in(site: Site, account: Account) -> None:
    await site.open(f"{site.base}/account/sign-in?next=/console/roles")
    await site.type("#login", account.login)
    await site.type("#password", PASSWORD + Keys.ENTER)
    await site.find(".graph svg")


async def tab_to(site: Site, selector: str) -> None:
    """By the tab key alone."""
    for _ in range(90):
        await site.keys(Keys.TAB)
        if await site.run(f"return document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"no key leads to {selector}")


async def test_a_role_is_changed_with_its_effect_seen_by_keyboard(site: Site) -> None:
    admin, anna = await site.api.create_user("superuser"), await site.api.create_user("moderator")
    await sign_in(site, admin)
    await tab_to(site, "svg a[href$='/moderator']")
    await site.keys(Keys.ENTER)
    await site.says("Own permissions")
    await tab_to(site, "a[href$='/edit']")
    await site.keys(Keys.ENTER)
    await site.says("Change the role moderator")
    await tab_to(site, "[aria-label='Search: Permissions']")
    await site.keys("films:publish" + Keys.ENTER)
    shown = (
        "return [...document.querySelectorAll('[name^=\"permission.\"]')]"
        ".filter(one => one.offsetParent).map(one => one.name)"
    )
    assert await site.run(shown) == ["permission.films:publish"]
    await tab_to(site, "[name='permission.films:publish']")
    await site.keys(Keys.SPACE, Keys.TAB, Keys.ENTER)
    await site.says("What changing moderator would do")
    await site.says("1 user gains")
    await site.says(anna.login)
    await tab_to(site, "[value=make]")
    await site.keys(Keys.ENTER)
    await site.says("The role is changed.")
    assert site.path == "/console/roles/moderator"
    assert (await site.api.check(await site.api.log_in(anna), "films:publish"))["allowed"] is True
    assert site.complaints() == []


async def test_pages_fit_are_readable_and_please_axe(site: Site) -> None:
    admin = await site.api.create_user("superuser")
    pages = [*PAGES, *await fill_in(site, admin)]
    numbers = itertools.count()
    for width, theme, language in looks():
        await set_look(site, width, theme, language)
        await sign_in(site, admin)
        for path in pages:
            picture = f"{language}-{theme}-{width}-{next(numbers):02}"
            await looked_at(site, path, width, picture, axe=width == DESK[0])
        await site.open(f"{site.base}/console/roles/hostile/edit")
        await site.run("document.querySelector('[name=\"permission.reviews:delete\"]').click()")
        await site.press("main form > button")
        await site.find("[value=make]")
        await looked_at(site, None, width, f"{language}-{theme}-{width}-{next(numbers):02}", axe=width == DESK[0])
    assert site.complaints() == []
    await any_look(site)


async def fill_in(site: Site, admin: Account) -> list[str]:
    """Something of each kind, some of it hostile; and the pages of it."""
    http, headers = site.api.http, (tokens := await site.api.log_in(admin)).bearer
    role = {"name": "hostile", "title": HOSTILE, "permissions": ["films:*", "reviews:write"], "parents": ["viewer"]}
    assert (await http.post(f"{V1}/roles", json=role, headers=headers)).status_code == 201
    holder = await site.api.create_user(login="viewer")
    dates = {"valid_until": "2035-01-01T00:00:00Z", "reason": HOSTILE}
    granted = await http.put(f"{V1}/users/{holder.id}/roles/hostile", json=dates, headers=headers)
    assert granted.status_code == 200, granted.text
    service, _ = await site.api.create_service(tokens, ["permissions:check", "films:read"])
    hook = {"url": "https://hooks.example/hook", "description": HOSTILE, "kinds": ["role_granted"]}
    webhook = (await http.post(f"{V1}/admin/webhooks", json=hook, headers=headers)).json()["id"]
    job = {"role": "hostile", "users": ["viewer", "nobody"]}
    made = (await http.post(f"{V1}/grants/jobs", json=job, headers=headers)).json()["id"]
    for _ in range(100):
        if (await http.get(f"{V1}/grants/jobs/{made}", headers=headers)).json()["finished_at"] is not None:
            break
        await asyncio.sleep(0.1)
    return [
        f"/console/{path}"
        for path in (f"grants/jobs/{made}", f"services/{service}", f"webhooks/{webhook}", f"webhooks/{webhook}/edit")
    ]
