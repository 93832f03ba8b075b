"""A real Chromium walks through what docs/browsers.md shows, and then opens hostile pages: `make browser`."""

import http.server
import json
import os
import re
import secrets
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PAGE = Path(__file__).parents[2] / "docs" / "browsers.md"
EXAMPLE_ADDRESS = '"https://auth.cinema.example"'
Say = Callable[[str], None]


@contextmanager
def chromium(*arguments: str, languages: str = "en") -> Iterator[Chrome]:
    """`languages`: for Accept-Language. What the console says and what is asked for is logged."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    # As root in a container there is neither a sandbox nor a large /dev/shm.
    always = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server")
    for argument in (*always, *arguments):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"intl.accept_languages": languages})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, ChromeService(CHROMEDRIVER))
    try:
        driver.set_script_timeout(20)
        yield driver
    finally:
        driver.quit()


def example() -> str:
    """The JavaScript of the page for front-end developers."""
    (block,) = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block.count(EXAMPLE_ADDRESS) == 1
    return str(block)


class Page:
    """The driver on a page of `origin`; `run` gives what an expression of JavaScript comes to."""

    def __init__(self, driver: Chrome, origin: str, path: str = "/", script: str = "") -> None:
        self._driver, self._address, self._script = driver, f"{origin}{path}", script

    def open(self) -> "Page":
        self._driver.get(self._address)
        return self

    def run(self, expression: str, *arguments: Any) -> Any:
        """A thrown error is {"thrown": its text}."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        expression = f"{expression}({given})" if arguments else expression
        return self._driver.execute_async_script(
            f"{self._script}\nconst done = arguments[arguments.length - 1];"
            f"(async () => {expression})().then(done, error => done({{thrown: String(error)}}));"
        )

    @property
    def readable_cookies(self) -> set[str]:
        """The names that document.cookie shows."""
        text = str(self._driver.execute_script("return document.cookie"))
        return {part.partition("=")[0].strip() for part in text.split(";") if part.strip()}


def own_page(driver: Chrome, base: str) -> Page:
    """Any answer of the service has its origin; this one needs no token."""
    return Page(driver, base, "/health/live", example().replace(EXAMPLE_ADDRESS, json.dumps(base))).open()


def expect(say: Say, step: str, found: Any, wanted: Any) -> None:
    say(f"{'ok' if found == wanted else 'WRONG'}  {step}: {found}")
    assert found == wanted, step


def walk(driver: Chrome, base: str, say: Say) -> tuple[str, str]:
    """Register, log in, me, a change, refresh, step up, log out, log in again; gives login and password."""
    page = own_page(driver, base)
    login, password = f"neo-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    account = {"login": login, "email": f"{login}@cinema.example", "password": password}
    expect(say, "register", page.run("send", "POST", "/auth/register", account)["status"], 201)
    answer = page.run("logIn", login, password)
    kinds = {"token_type", "csrf_token", "expires_in", "session_id", "ended_sessions"}
    expect(say, "log in: no token in the body", set(answer["data"]) - kinds, set())
    (csrf_cookie,) = page.readable_cookies or {"none"}
    expect(say, "document.cookie shows the CSRF token only", csrf_cookie.removeprefix("__Host-"), "auth_csrf")
    kept = {cookie["name"].removeprefix("__Host-"): cookie for cookie in driver.get_cookies()}
    expect(say, "the browser keeps", sorted(kept), ["auth_access", "auth_csrf", "auth_device", "auth_refresh"])
    expect(say, "HttpOnly", sorted(name for name in kept if not kept[name]["httpOnly"]), ["auth_csrf"])
    expect(say, "me", page.run("call", "GET", "/users/me")["data"]["login"], login)
    changed = page.run("call", "PATCH", "/users/me", {"full_name": "Neo"})
    expect(say, "a change with the CSRF token", changed["data"]["full_name"], "Neo")
    without = """fetch(AUTH + "/api/v1/users/me", {method: "PATCH", credentials: "include", body: '{"full_name": "X"}',
        headers: {"Content-Type": "application/json"}}).then(answer => answer.json())"""
    expect(say, "a change without it", page.run(without)["error"], "csrf_refused")
    expect(say, "refresh", page.run("send", "POST", "/auth/refresh")["status"], 200)
    prefix = csrf_cookie.removesuffix("auth_csrf")
    driver.delete_cookie(f"{prefix}auth_access")
    expect(say, "me, when the access token has run out", page.run("call", "GET", "/users/me")["data"]["login"], login)
    before = page.run("call", "GET", "/users/me/sessions")["data"]["items"]
    expect(say, "step up", page.run("stepUp", password)["status"], 200)
    after = page.run("call", "GET", "/users/me/sessions")["data"]["items"]
    expect(say, "a new session in place of the old one", (len(before), len(after), before == after), (1, 1, False))
    changed = page.run("call", "PATCH", "/users/me", {"full_name": "The One"})
    expect(say, "a change with the new CSRF token", changed["status"], 200)
    expect(say, "log out", page.run("logOut()")["status"], 204)
    left = sorted(cookie["name"].removeprefix("__Host-") for cookie in driver.get_cookies())
    expect(say, "the browser keeps", left, ["auth_device"])
    expect(say, "me, logged out", page.run("send", "GET", "/users/me")["status"], 401)
    expect(say, "log in again", page.run("logIn", login, password)["status"], 200)
    devices = page.run("call", "GET", "/users/me/devices")["data"]["items"]
    expect(say, "on a device that is known", len(devices), 1)
    return login, password


# Each of them with the cookies, as far as the browser sends them along.
FORGERIES = """
async function forge(service) {
  const found = {};
  const tries = {
    "no-cors, text/plain": ["POST", {mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: "{}"}],
    "no-cors, no body": ["POST", {mode: "no-cors"}],
    "no-cors, a beaconed blob": ["POST", {mode: "no-cors", body: new Blob(["{}"], {type: "text/plain"})}],
    "no-cors read": ["GET", {mode: "no-cors"}],
    "cors read": ["GET", {mode: "cors"}],
    "cors, JSON": ["POST", {mode: "cors", headers: {"Content-Type": "application/json"}, body: "{}"}],
    "cors, CSRF header": ["POST", {mode: "cors", headers: {"X-CSRF-Token": "x"}}],
    "cors, DELETE": ["DELETE", {mode: "cors"}],
  };
  for (const [name, [method, options]] of Object.entries(tries)) {
    for (const path of method === "GET" ? ["/users/me"] : ["/auth/logout-all", "/auth/logout", "/auth/refresh"]) {
      try {
        const answer = await fetch(service + "/api/v1" + path, {method, credentials: "include", ...options});
        found[name + " " + path] = answer.type + (await answer.text());
      } catch (error) {
        found[name + " " + path] = error.name;
      }
    }
  }
  return found;
}
async function forgeFromSandbox(service) {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-forms";
  frame.srcdoc = `<script>fetch("${service}/api/v1/auth/logout-all", {method: "POST", mode: "no-cors",
    credentials: "include"}).then(answer => parent.postMessage(self.origin + " " + answer.type, "*"))</` + "script>";
  const said = new Promise(resolve => addEventListener("message", event => resolve(event.data), {once: true}));
  document.body.append(frame);
  return said;
}
"""


@contextmanager
def hostile_server(tossed: list[bytes]) -> Iterator[int]:
    """An empty page at every path, on a port of its own; /toss sets the cookies `tossed`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><body>")

        def end_headers(self) -> None:
            if self.path == "/toss":
                for line in tossed:
                    self._headers_buffer.append(b"Set-Cookie: " + line + b"\r\n")  # the bytes as they are
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing to standard error."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attack(driver: Chrome, base: str, hostile: str, login: str, say: Say, *, cookies_are_sent: bool) -> None:
    """From a page at `hostile`; on the same site only Origin and the CSRF token stand between it and the session."""
    page = Page(driver, hostile, script=FORGERIES).open()
    for name, outcome in page.run("forge", base).items():
        expect(say, f"{hostile}: {name}", outcome, "opaque" if name.startswith("no-cors") else "TypeError")
    expect(say, f"{hostile}: a sandboxed frame", page.run("forgeFromSandbox", base), "null opaque")
    refusal = "csrf_refused" if cookies_are_sent else "not_authenticated"
    for enctype, path, body, wanted in (
        ("text/plain", "/auth/logout-all", "", refusal),
        ("application/x-www-form-urlencoded", "/auth/logout-others", "", refusal),
        ("text/plain", "/auth/step-up", '{"current_password": "', "unsupported_media_type"),
        ("multipart/form-data", "/auth/login", "login", "unsupported_media_type"),
    ):
        expect(
            say, f"{hostile}: a form to {path}", _post_form(driver, page, f"{base}/api/v1{path}", enctype, body), wanted
        )
    own = own_page(driver, base)
    expect(say, "and the session lives", own.run("send", "GET", "/users/me")["data"]["login"], login)
    expect(say, "and is the only one", len(own.run("send", "GET", "/users/me/sessions")["data"]["items"]), 1)


def _post_form(driver: Chrome, page: Page, action: str, enctype: str, body: str) -> str:
    """The error code that the browser, now on the service's answer, shows."""
    page.open()
    driver.execute_script(
        """const form = document.createElement("form");
        Object.assign(form, {method: "post", action: arguments[0], enctype: arguments[1]});
        if (arguments[2]) {
          const field = document.createElement("input");
          Object.assign(field, {name: arguments[2], value: '"}'});
          form.append(field);
        }
        document.body.append(form);
        form.submit();""",
        action,
        enctype,
        body,
    )
    WebDriverWait(driver, 10).until(lambda driver: driver.current_url == action)
    text = driver.execute_script("return document.body.innerText")
    return str(json.loads(text[text.index("{") : text.rindex("}") + 1])["error"])


def main() -> int:
    base = os.environ.get("BASE", "http://localhost:8000").rstrip("/")
    if CHROMIUM is None or CHROMEDRIVER is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        return 2
    host = urlsplit(base).hostname
    with chromium() as driver, hostile_server([]) as port:
        login, _ = walk(driver, base, print)
        same_site = host if host in {"localhost", "127.0.0.1"} else None
        if same_site:
            attack(driver, base, f"http://{same_site}:{port}", login, print, cookies_are_sent=True)
        other_site = "127.0.0.1" if host != "127.0.0.1" else "localhost"
        attack(driver, base, f"http://{other_site}:{port}", login, print, cookies_are_sent=False)
        own_page(driver, base).run("logOut()")
    print("every step was as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
