"""A person at a page: what each step costs them by the keystroke-level model, and how long the page kept them waiting.

Card, Moran and Newell, "The keystroke-level model for user performance time with interactive systems" (1980): a key or
click K, pointing with the mouse P, a hand to the mouse or back H, a decision M. Reading is four words a second.
"""

import asyncio
import time
from dataclasses import dataclass, field

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

KEY, POINT, HAND, DECIDE, WORD = 0.28, 1.1, 0.4, 1.35, 0.25
PATIENCE_SECONDS = 60


@dataclass
class Step:
    what: str
    person: float
    page: float


@dataclass
class Person:
    """`steps` is filled as they go; each act waits until the page says what is expected of it."""

    driver: Chrome
    steps: list[Step] = field(default_factory=list)
    _at_mouse: bool = False

    async def open(self, address: str, says: str) -> None:
        """Types it into the address bar."""
        typed = address.removeprefix("http://")
        cost = DECIDE + self._hand(mouse=True) + POINT + KEY + self._hand(mouse=False) + KEY * (len(typed) + 1)
        await self._does(f"open {typed}", cost, lambda: self.driver.get(address), says)

    async def click(self, selector: str, what: str, says: str = "") -> None:
        element = await self._shown(selector)
        cost = DECIDE + self._hand(mouse=True) + POINT + KEY
        await self._does(what, cost, ActionChains(self.driver).move_to_element(element).click().perform, says)

    async def type(self, text: str, what: str, says: str = "") -> None:
        """Where the focus is; Tab and Enter are characters of it."""
        cost = DECIDE + self._hand(mouse=False) + KEY * len(text)
        await self._does(what, cost, ActionChains(self.driver).send_keys(text).perform, says)

    async def read(self, selector: str, what: str) -> str:
        text = (await self._shown(selector)).text
        self.steps.append(Step(what, DECIDE + WORD * len(text.split()), 0))
        return text

    def waits(self, what: str, seconds: float) -> None:
        """For something that is no page."""
        self.steps.append(Step(what, seconds, 0))

    @property
    def seconds(self) -> float:
        return sum(step.person + step.page for step in self.steps)

    def table(self, title: str) -> str:
        lines = [f"{title}", f"  {'step':56} {'person':>7} {'page':>7}"]
        lines += [f"  {step.what:56} {step.person:6.1f}s {step.page:6.2f}s" for step in self.steps]
        person, page = sum(step.person for step in self.steps), sum(step.page for step in self.steps)
        return "\n".join(
            [*lines, f"  {'in all: ' + format(person + page, '.1f') + ' s':56} {person:6.1f}s {page:6.2f}s"]
        )

    def _hand(self, *, mouse: bool) -> float:
        moved, self._at_mouse = mouse != self._at_mouse, mouse
        return HAND if moved else 0

    async def _shown(self, selector: str) -> "object":
        def shown(driver: Chrome) -> object:
            return next((one for one in driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()), None)

        return await asyncio.to_thread(WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05).until, shown, selector)

    async def _does(self, what: str, cost: float, act: "object", says: str) -> None:
        def done() -> float:
            began = time.monotonic()
            act()
            if says:
                script = "return document.readyState === 'complete' && document.body.innerText.includes(arguments[0])"
                wait = WebDriverWait(self.driver, PATIENCE_SECONDS, 0.02)
                wait.until(lambda driver: driver.execute_script(script, says), f"{what}: {says}")
            return time.monotonic() - began

        self.steps.append(Step(what, cost, await asyncio.to_thread(done)))
