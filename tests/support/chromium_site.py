"""Pages in a real browser whose network ends at this machine."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.api import Api
from tests.support.service_process import ServiceProcess

CUT = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
PATIENCE_SECONDS = 60
AXE = Path(__file__).with_name("axe.min.js.gz")  # axe-core, packed: see NOTICE


class Site:
    """A service of its own, the app in this process on the same stores, and the browser."""

    def __init__(self, api: Api, service: ServiceProcess, base: str, driver: Chrome) -> None:
        self.api, self.service, self.base, self._driver = api, service, base, driver

    @property
    def path(self) -> str:
        return str(self._driver.current_url).removeprefix(self.base)

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

    async def press(self, selector: str = "main form > button") -> None:
        await asyncio.to_thread((await self.find(selector)).click)

    async def keys(self, *keys: str) -> None:
        """To whatever has the focus."""
        await asyncio.to_thread(ActionChains(self._driver).send_keys(*keys).perform)

    async def says(self, text: str) -> None:
        """Waits until the page's content does."""

        def said(driver: Chrome) -> bool:
            return text in driver.find_element(By.TAG_NAME, "main").text

        wait = WebDriverWait(self._driver, PATIENCE_SECONDS, ignored_exceptions=[WebDriverException])
        await asyncio.to_thread(wait.until, said, text)

    async def axe(self) -> list[str]:
        """What axe-core finds to be serious or critical on the page."""
        source = await asyncio.to_thread(gzip.decompress, AXE.read_bytes())
        await self.run(source.decode())
        found = await asyncio.to_thread(
            self._driver.execute_async_script,
            "const done = arguments[0]; axe.run().then(({violations}) => done(violations.map("
            "({id, impact, nodes}) => [impact, `${id}: ${nodes.map(({html}) => html)}`])))",
        )
        return [words for impact, words in found if impact in {"serious", "critical"}]

    async def type(self, selector: str, text: str) -> None:
        element = await self.find(selector)
        await asyncio.to_thread(element.clear)
        await asyncio.to_thread(element.send_keys, text)

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
