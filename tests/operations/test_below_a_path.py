"""The service at /id/ of a site, behind both nginx blocks of docs/deployment.md: the path stays on, or is taken off."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from selenium.webdriver import Chrome

from auth_service.config import Settings
from auth_service.seed import DEMO_USERS, seed_users
from tests.conftest import ROOT, Fresh, Servers
from tests.operations.nginx import running_nginx
from tests.pages.test_pages_in_browser import NEW_PASSWORD
from tests.support import browser_walk
from tests.support.api import V1, Api
from tests.support.chromium_site import CUT, Site
from tests.support.mailbox import newest
from tests.support.service_process import ServiceProcess, free_port

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs a program that pip cannot give: nginx")
needs_browser = pytest.mark.skipif(
    browser_walk.CHROMIUM is None or browser_walk.CHROMEDRIVER is None,
    reason="needs a browser: apt-get install chromium chromium-driver",
)

DOCUMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
WAYS = dict(zip(("left on", "taken off"), re.findall(r"^```nginx\n(.*?)^```$", DOCUMENT, re.M | re.S), strict=True))
ADDRESS = re.compile(r"https?://[^\s\"'<>\\)`]+")
PAGES = (
    "account/sign-in",
    "account/register",
    "auth/docs",
    "auth/redoc",
    "forgot-password",
    "reset-password",
    "confirm-email",
    "dev/mails",
)


@dataclass(frozen=True)
class Below:
    """`base` is the public address with /id and without a slash at its end; `api` speaks to the stores' app itself."""

    base: str
    api: Api
    service: ServiceProcess
    http: httpx.AsyncClient

    @property
    def root(self) -> str:
        return self.base.removesuffix("/id")


async def stand(
    stack: AsyncExitStack,
    fresh: Fresh,
    folder: Path,
    block: str,
    *,
    host: str,
    scheme: str = "http",
    through_shipped: bool = False,
) -> Below:
    """`scheme`: that of ISSUER; nginx itself speaks http. `through_shipped`: Compose's nginx stands in between."""
    port = free_port()
    origin = f"http://{host}:{port}"
    settings: Settings = await fresh.settings(
        app_env="development",
        issuer=f"{scheme}://{host}:{port}/id",
        allowed_hosts=(host, "127.0.0.1"),
        allowed_origins=(origin,),
        trusted_proxies=("127.0.0.1",),
    )
    api = await fresh.on(settings)
    service = await fresh.service(settings)
    address = service.base_url.removeprefix("http://")
    shipped = await stack.enter_async_context(running_nginx(folder / "shipped", address))
    assert block.count("http://127.0.0.1:8000") == 2
    site = f"server {{ listen 127.0.0.1:{port}; server_name {host};\n{block}\nlocation / {{ return 410; }} }}"
    site = site.replace("http://127.0.0.1:8000", shipped.base_url if through_shipped else service.base_url)
    await stack.enter_async_context(running_nginx(folder / "site", address, {"below.conf": site}))
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=origin, trust_env=False, timeout=60))
    return Below(f"{origin}/id", api, service, http)


@pytest.fixture(scope="module", params=WAYS)
async def below(
    request: pytest.FixtureRequest, servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Below]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("below") / "nginx"
        below = await stand(stack, Fresh(servers, template, stack), folder, WAYS[request.param], host="localhost")
        await seed_users(below.api.resources)
        yield below


async def test_the_quickstart_runs_there(below: Below) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "scripts" / "run_doc.py"), str(ROOT / "docs" / "quickstart.md")),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "BASE": below.base},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"grant_expired" in output


async def test_every_address_in_an_answer_is_below_the_path(below: Below) -> None:
    account = await below.api.create_user()
    await below.http.post(f"/id{V1}/auth/password/forgot", json={"email": account.email})
    await newest(below.api, account.email, "reset_password")
    admin = DEMO_USERS[0]
    body = {"login": admin.login, "password": admin.password}
    tokens = (await below.http.post(f"/id{V1}/auth/login", json=body)).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    as_person = {"Accept": "text/html"}
    answers = [
        *[await below.http.get(f"/id/{page}", headers=as_person) for page in PAGES],
        await below.http.get("/id/auth/openapi.json"),
        await below.http.get("/id/.well-known/authzen-configuration"),
        await below.http.get("/.well-known/authzen-configuration/id"),
        await below.http.get("/id/dev/mails.json"),
        await below.http.get(f"/id{V1}/admin/events", headers=bearer),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    host = urlsplit(below.base).hostname
    found = [item for answer in answers for item in ADDRESS.findall(answer.text) if urlsplit(item).hostname == host]
    assert [item for item in found if item != below.base and not item.startswith(f"{below.base}/")] == []
    assert f"{below.base}/access/v1/evaluation" in found
    assert any(item.startswith(f"{below.base}/reset-password#") for item in found)
    assert {item["source"] for item in answers[-1].json()["items"]} == {below.base}
    assert answers[len(PAGES)].json()["servers"] == [{"url": "/id"}]
    for page, answer in zip(PAGES, answers, strict=False):
        for link in re.findall(r'(?:href|src|data-api)="([^"#][^"]*)"', answer.text):
            there = urljoin(f"{below.base}/{page}", link)
            assert there == below.base or there.startswith((f"{below.base}/", "data:")), (page, link)


async def test_redirects_stay_below_it(below: Below) -> None:
    bare = await below.http.get("/id?lang=ru")
    assert bare.status_code in {301, 308}
    assert urljoin(f"{below.root}/id", bare.headers["location"]) == f"{below.base}/?lang=ru"
    slash = await below.http.get("/id/auth/docs/")
    assert urljoin(f"{below.base}/auth/docs/", slash.headers["location"]) == f"{below.base}/auth/docs"


async def test_keys_and_forward_authentication_answer_there(below: Below) -> None:
    inside, before = [await below.http.get(p) for p in ("/id/.well-known/jwks.json", "/.well-known/jwks.json/id")]
    assert inside.json() == before.json()
    account, tokens = await below.api.as_role("subscriber")
    for client, path in ((below.http, f"/id{V1}"), (below.service.http, V1), (below.service.http, f"/id{V1}")):
        answer = await client.get(f"{path}/auth/verify?permission=films:watch", headers=tokens.bearer)
        assert (answer.status_code, answer.headers["x-auth-user"]) == (200, str(account.id))


async def test_cke_2_cookies_and_cors_go_by_the_origin_of_the_site(below: Below) -> None:
    account = await below.api.create_user()
    body = {"login": account.login, "password": account.password}
    way = {"X-Token-Transport": "cookie", "Origin": below.root}
    async with httpx.AsyncClient(base_url=below.base, trust_env=False, timeout=60) as browser:
        login = await browser.post(f"{V1}/auth/login", json=body, headers=way)
        assert login.headers["access-control-allow-origin"] == below.root
        assert all("; Path=/;" in cookie for cookie in login.headers.get_list("set-cookie"))
        csrf = {"X-CSRF-Token": login.json()["csrf_token"]}
        changed = [
            await browser.patch(f"{V1}/users/me", json={"full_name": "Neo"}, headers=headers)
            for headers in (way | csrf, way, csrf | {"Origin": "http://evil.example"})
        ]
        assert [answer.status_code for answer in changed] == [200, 403, 403]
        preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PATCH"}
        answer = await browser.options(f"{V1}/users/me", headers=preflight)
        assert "access-control-allow-origin" not in answer.headers


HOSTILE = {
    404: [
        "/id/metrics",
        "/id//metrics",
        "/id/%6detrics",
        "/id/./metrics",
        "/id/x/../metrics",
        "/%69d/metrics",
        "/id/id/metrics",
    ],
    410: ["/metrics", "/ID/health/live", "/id;x", "/idx", "/id/../metrics", "/id/%2e%2e/metrics", "/x/../metrics"],
}
ODD = ["/id//api/v1/users/me", "/id/%2e", "/id/%00", "/id/%ff", "/id/%0d%0aX:y", "/id/id", "/id/;x", "/id/%2f%2fevil"]
ODD += ["/id/health/live;x", "/id/" + "id/" * 30, "/%2Fid/health/live", "/.well-known/%2e%2e/id", "/.well-known/x/id"]


async def raw_status(below: Below, path: str) -> tuple[int, bytes]:
    """As it is written, which a client would tidy up."""
    host, port = urlsplit(below.base).hostname, urlsplit(below.base).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(("status", "path"), [(status, path) for status, paths in HOSTILE.items() for path in paths])
async def test_adm_2_no_spelling_leads_to_the_metrics(below: Below, status: int, path: str) -> None:
    """410 is the site's own answer to what is not ours."""
    found, answer = await raw_status(below, path)
    assert b"auth_http_requests" not in answer
    assert found == status


@pytest.mark.parametrize("path", ODD)
async def test_edg_3_an_odd_path_is_no_failure(below: Below, path: str) -> None:
    found, answer = await raw_status(below, path)
    assert found < 500, answer  # nginx tidies a path where it takes something off: some of them are then our own
    location = re.search(rb"(?i)location: (\S+)", answer)
    assert location is None or location[1] == b"/id/"


async def test_in_front_of_composes_nginx_the_path_is_taken_off(fresh: Fresh, tmp_path: Path) -> None:
    """Whose rules for single paths then hold: a large batch, a small limit for the rest, and no metrics."""
    async with AsyncExitStack() as stack:
        below = await stand(stack, fresh, tmp_path, WAYS["taken off"], host="localhost", through_shipped=True)
        _, tokens = await below.api.as_role()
        large = {"checks": [{"permission": "films:read" + " " * 100}] * 1000}
        answers = [
            await below.http.post(f"/id{V1}/permissions/check{path}", json=large, headers=tokens.bearer)
            for path in ("/batch", "")
        ]
        assert [answer.status_code for answer in answers] == [200, 413]
        for path in HOSTILE[404]:
            assert (await raw_status(below, path))[0] == 404, path


# --- in a browser


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser_walk.chromium(CUT, "--window-size=1280,900") as driver:
        yield driver


@needs_browser
@pytest.mark.parametrize("way", WAYS)
async def test_cke_1_the_walk_of_a_page_of_the_site(way: str, fresh: Fresh, tmp_path: Path) -> None:
    """With the __Host- names: Chromium takes http://*.localhost for as safe as https://."""
    async with AsyncExitStack() as stack:
        below = await stand(stack, fresh, tmp_path / "nginx", WAYS[way], host="cinema.localhost", scheme="https")
        with browser_walk.chromium() as driver, browser_walk.hostile_server([]) as port:
            login, _ = await asyncio.to_thread(browser_walk.walk, driver, below.base, print)
            assert {cookie["name"][:12] for cookie in driver.get_cookies()} == {"__Host-auth_"}
            for host, sent in (("cinema.localhost", True), ("127.0.0.1", False)):
                hostile = f"http://{host}:{port}"
                await asyncio.to_thread(
                    browser_walk.attack, driver, below.base, hostile, login, print, cookies_are_sent=sent
                )


@needs_browser
async def test_pages_ask_for_nothing_outside_of_it(below: Below, driver: Chrome, tmp_path: Path) -> None:
    site = Site(below.api, below.service, below.base, driver)
    site.asked(), site.complaints()
    for page in PAGES:
        await site.open(f"{below.base}/{page}")
        await site.find("h1, .information-container")
        asked = site.asked()
        assert asked[0] == f"{below.base}/{page}"
        assert [address for address in asked if not address.startswith(f"{below.base}/")] == []
        assert site.complaints() == []
        assert driver.save_screenshot(str(tmp_path / f"{page.replace('/', '-') or 'home'}.png"))


@needs_browser
async def test_a_forgotten_password_is_replaced_there(below: Below, driver: Chrome) -> None:
    account = await below.api.create_user()
    site = Site(below.api, below.service, below.base, driver)
    await site.open(f"{below.base}/forgot-password")
    await site.type("#email", account.email)
    await site.press()
    await site.says("a mail is on its way")
    letter = await newest(below.api, account.email, "reset_password")
    assert letter.link.startswith(f"{below.base}/reset-password#")
    await site.open(letter.link)
    await site.type("#new_password", NEW_PASSWORD)
    await site.press()
    await site.says("Your new password is set")
    await site.type("#login", account.login)
    await site.type("#password", NEW_PASSWORD)
    await site.press()
    await site.find(".sections")
    assert site.path == "/account"
    assert {address for address in site.asked() if not address.startswith(f"{below.base}/")} == set()
    assert site.complaints() == []


@needs_browser
async def test_swagger_ui_tries_the_api_below_it(below: Below, driver: Chrome) -> None:
    site = Site(below.api, below.service, below.base, driver)
    await site.open(f"{below.base}/auth/docs")
    operation = "[id$=get_liveness]"
    await site.press(f"{operation} .opblock-summary-control")
    await site.press(f"{operation} .try-out__btn")
    await site.press(f"{operation} .btn.execute")
    await site.find(f"{operation} .live-responses-table")
    assert f"{below.base}/health/live" in site.asked()
