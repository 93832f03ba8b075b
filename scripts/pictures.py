"""The pictures of the README, of a service that is started for them: python -m scripts.pictures

Needs chromium and chromedriver. It takes a minute, and leaves nothing behind but docs/console-*.png.
"""

import base64
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from auth_service.seed import DEMO_USERS

DOCS = Path(__file__).parent.parent / "docs"
ADMIN = DEMO_USERS[0]
PEOPLE = (
    ("boris", "Борис Петров", ["moderator"]),
    ("clara", "Clara Schumann", []),
    ("dmitri", "Дмитрий Иванов", ["content-manager"]),
    ("elena", "Elena Marković", []),
    ("farid", "Farid Haddad", []),
)
READY_SECONDS = 120


def main() -> int:
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        print("chromium and chromedriver are not installed: apt-get install chromium chromium-driver", file=sys.stderr)
        return 2
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://localhost:{port}"
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        command = [sys.executable, "-m", "auth_service", "dev", "--port", str(port), "--data", folder]
        service = subprocess.Popen(command)
        try:
            _wait(base, service)
            clara = _fill(base)
            _take(base, clara)
        finally:
            service.send_signal(signal.SIGINT)
            service.wait()
    return 0


def _wait(base: str, service: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and service.poll() is None:
        try:
            if httpx.get(f"{base}/health/ready", timeout=2, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("the service did not become ready; its output is above")


def _fill(base: str) -> str:
    """The id of somebody who may not watch films."""
    with httpx.Client(base_url=f"{base}/api/v1", trust_env=False) as http:
        tokens = http.post("/auth/login", json={"login": ADMIN.login, "password": ADMIN.password})
        http.headers["Authorization"] = f"Bearer {tokens.json()['access_token']}"
        ids = {}
        for login, name, roles in PEOPLE:
            account = {"login": login, "email": f"{login}@cinema.example", "full_name": name, "roles": roles}
            ids[login] = http.post("/admin/users", json=account).raise_for_status().json()["id"]
    return str(ids["clara"])


def _take(base: str, clara: str) -> None:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        driver.get(f"{base}/console")
        driver.find_element(By.ID, "login").send_keys(ADMIN.login)
        driver.find_element(By.ID, "password").send_keys(f"{ADMIN.password}\n")
        WebDriverWait(driver, 20).until(lambda browser: browser.find_elements(By.CSS_SELECTOR, ".filters"))
        _shoot(driver, f"{base}/console/users", ".top", (0, 1100, 780), "console-users.png")
        _shoot(
            driver, f"{base}/console/users/{clara}?permission=films:watch", "#why", (272, 828, 780), "console-why.png"
        )
    finally:
        driver.quit()


def _shoot(driver: Chrome, address: str, selector: str, box: tuple[int, int, int], name: str) -> None:
    """From the element on; `box`: left edge, width and height, on a page that is 1,100 wide."""
    left, width, height = box
    metrics = {"width": 1100, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(address)
    top = driver.execute_script(
        "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY", selector
    )
    clip = {"x": left, "y": max(0, top - 16), "width": width, "height": height, "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    picture = base64.b64decode(shot["data"])
    (DOCS / name).write_bytes(picture)
    print(f"docs/{name}: {len(picture) // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main())
