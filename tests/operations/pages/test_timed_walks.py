"""Two first times, as a person would have them, in less than two minutes each: `make walk`."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyotp
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.conftest import ROOT
from tests.operations.pages.person import DECIDE, HAND, KEY, POINT, Person
from tests.support import browser_walk
from tests.support.chromium_site import CUT
from tests.support.service_process import free_port

pytestmark = pytest.mark.skipif(
    browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
    reason="needs a browser: apt-get install chromium chromium-driver",
)
AT_MOST_SECONDS = 120
START_SECONDS = 180
PASSWORD = "nine paper lanterns"
# A hand to the phone, its lock, the app and its +, and the camera until it has found the square.
PHONE_SECONDS = HAND + DECIDE + 3 * (POINT + KEY) + DECIDE + 3


@dataclass(frozen=True)
class Running:
    """What `make run` has printed, and after how long."""

    printed: str
    seconds: float

    def told(self, pattern: str) -> tuple[str, ...]:
        found = re.search(pattern, self.printed)
        assert found, self.printed
        return found.groups()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`make run` on a folder of its own, so a first start."""
    arguments = f"--port {free_port()} --data {tmp_path_factory.mktemp('dev') / 'data'}"
    began = time.monotonic()
    command = ["make", "run", f"ARGS={arguments}", f"VENV={Path(sys.prefix)}"]
    environment = {name: text for name, text in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    watch = threading.Timer(START_SECONDS, process.send_signal, [signal.SIGINT])
    watch.start()
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C stops" in line:
                break
        watch.cancel()
        rest = threading.Thread(target=process.stdout.read)  # nothing may wait for a full pipe
        rest.start()
        yield Running(printed, time.monotonic() - began)
    finally:
        watch.cancel()
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to make and to what it started
        process.wait(60)
        rest.join()
        process.stdout.close()


@pytest.fixture
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium(CUT, "--window-size=1280,900") as driver:
        yield driver


async def test_from_make_run_to_a_role_changed_with_its_effect_seen(running: Running, driver: Chrome) -> None:
    """Nothing is known but what the terminal says."""
    address, login, password = running.told(r"Console\s+(\S+)\s+sign in as (\S+) with (\S+)")
    person = Person(driver)
    await person.open(address, says="Sign in to continue.")
    await person.type(f"{login}{Keys.TAB}{password}{Keys.ENTER}", f"sign in as {login}", says="Invite a user")
    await person.click(".sections a[href$='/roles']", "the section Roles", says="Who inherits from whom")
    await person.click(".list a[href$='/roles/moderator']", "the role Moderator", says="Own permissions")
    await person.click("main a[href$='/edit']", "Change", says="Change the role moderator")
    await person.click("[aria-label='Search: Permissions']", "the field above the permissions")
    await person.type("films:publish", "search films:publish")
    await person.click("[name='permission.films:publish']", "tick it")
    await person.click("main form > button", "See what would happen", says="What changing moderator would do")
    effect = await person.read("main", "read what it would do")
    await person.click("[value=make]", "Change the role", says="The role is changed.")
    print(f"\nmake run: ready after {running.seconds:.1f} s, its first start")
    print(person.table("From the words of make run to a role changed, with its effect seen"))
    assert "1 user gains" in effect
    assert "moderator" in effect
    assert person.seconds < AT_MOST_SECONDS


async def test_from_register_to_the_second_factor(running: Running, driver: Chrome) -> None:
    (address,) = running.told(r"Account\s+(\S+)")
    person = Person(driver)
    await person.open(address, says="Sign in")
    await person.click("a[href$='/account/register']", "Register", says="Create your account")
    form = f"neo{Keys.TAB}neo@cinema.example{Keys.TAB}{PASSWORD}{Keys.ENTER}"
    await person.type(form, "login, address, password", says="Your account is ready.")
    await person.click(".act a[href$='/second-factor']", "Two-step sign-in: Turn on", says="Your current password")
    await person.click("#current_password", "the field for the password")
    await person.type(f"{PASSWORD}{Keys.ENTER}", "the password", says="Scan this")
    uri = await asyncio.to_thread(driver.find_element(By.CSS_SELECTOR, "a[href^='otpauth:']").get_attribute, "href")
    shown = (await person.read(".secret", "find the square")).replace(" ", "")
    app = pyotp.parse_uri(unquote(str(uri)) if "%" not in str(uri) else str(uri))
    assert app.secret == shown, "the square and the text are one key"
    person.waits("scan it with the phone", PHONE_SECONDS)
    await person.click("#code", "the field for the code")
    await person.type(f"{app.now()}{Keys.ENTER}", "six digits", says="Two-step sign-in is on.")
    await person.read(".codes", "see the recovery codes")
    print("\n" + person.table("From /account to two-step sign-in on"))
    assert person.seconds < AT_MOST_SECONDS
