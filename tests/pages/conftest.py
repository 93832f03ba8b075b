"""A browser for the tests of a file, and for each of them a service to open in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from selenium.webdriver import Chrome

from tests.conftest import Fresh
from tests.support import browser_walk
from tests.support.chromium_site import CUT, Site
from tests.support.service_process import held_port


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium(CUT, "--window-size=1280,900") as driver:
        yield driver


@pytest.fixture
async def site(fresh: Fresh, driver: Chrome) -> AsyncIterator[Site]:
    with held_port() as port:
        base = f"http://localhost:{port}"
        settings = await fresh.settings(issuer=base)
        site = Site(await fresh.on(settings), await fresh.service(settings, port=port), base, driver)
    await asyncio.to_thread(site.asked)
    await asyncio.to_thread(site.complaints)
    yield site
    await asyncio.to_thread(driver.delete_all_cookies)
