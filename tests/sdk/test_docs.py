"""What docs/sdk.md and docs/sdk-frameworks.md show, run against the service as it stands there."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from auth_service_client.testing import FakeAuth
from werkzeug.test import Client as WsgiClient

from tests.conftest import ROOT
from tests.sdk.conftest import Service
from tests.support.access import create_role, grant
from tests.support.api import Tokens
from tests.support.served import served


def blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.M | re.S)


def block(name: str, marker: str) -> str:
    (found,) = [text for text in blocks(name) if marker in text]
    return found


def module_of(text: str, name: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, f"docs: {name}", "exec"), module.__dict__)  # noqa: S102  our own documentation
    return module


@pytest.fixture(autouse=True)
def as_the_document_has_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "URL": service.base_url,
        "ISSUER": service.issuer,
        "CLIENT_ID": service.client_id,
        "CLIENT_SECRET": service.client_secret,
    }.items():
        monkeypatch.setenv(f"AUTH_SERVICE_{name}", value)
    yield
    sys.modules.pop("films", None)


@pytest.fixture
async def subscriber(service: Service) -> Tokens:
    account, tokens = await service.api.as_role()
    await grant(service.api, service.root, account.id, await create_role(service.api, service.root, "films:watch"))
    return tokens


async def assert_protected(service: Service, subscriber: Tokens, get: Callable[[dict[str, str]], Any]) -> Any:
    """The three answers; returns the last one's body."""
    _, stranger = await service.api.as_role()
    status, _ = await get({})
    assert status == 401
    status, body = await get(stranger.bearer)
    assert (status, body.get("detail", body)["reason"] if isinstance(body.get("detail"), dict) else body["reason"]) == (
        403,
        "no_grant",
    )
    status, body = await get(subscriber.bearer)
    assert (status, body["film"]) == (200, "1")
    return body


def over_http(base_url: str) -> Callable[[dict[str, str]], Any]:
    async def get(headers: dict[str, str]) -> tuple[int, Any]:
        async with httpx2.AsyncClient(base_url=base_url, trust_env=False) as http:
            answer = await http.get("/films/1", headers=headers)
        return answer.status_code, answer.json()

    return get


def over_wsgi(app: Any) -> Callable[[dict[str, str]], Any]:
    """In another thread, as a server of such apps has it: the service it asks is in this one."""

    def ask(headers: dict[str, str]) -> tuple[int, Any]:
        answer = WsgiClient(app).get("/films/1", headers=headers)
        return answer.status_code, answer.get_json()

    async def get(headers: dict[str, str]) -> tuple[int, Any]:
        return await asyncio.to_thread(ask, headers)

    return get


async def test_three_lines_protect_a_route(service: Service, subscriber: Tokens) -> None:
    text = block("sdk.md", "# films.py")
    ours = [line for line in text.splitlines() if "auth" in line and "lifespan" not in line]
    assert len(ours) == 3, ours
    films = module_of(text, "films")
    module_of(block("sdk.md", '@app.get("/me")'), "me")
    ask = module_of(block("sdk.md", "async def shelf"), "ask")
    async with films.auth, served(films.app) as base_url:
        await assert_protected(service, subscriber, over_http(base_url))
        async with httpx2.AsyncClient(base_url=base_url, trust_env=False) as http:
            me = (await http.get("/me", headers=subscriber.bearer)).json()
        assert me["kind"] == "user"
        assert await ask.shelf(me["id"], ["films", "series"]) == ["films"]
        assert (await ask.why(me["id"])).startswith("granted by ['role")


def test_the_tests_that_it_shows(auth: FakeAuth) -> None:
    module_of(block("sdk.md", "# films.py"), "films")
    shown = module_of(block("sdk.md", "# test_films.py"), "test_films")
    tests = [value for name, value in vars(shown).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        fake = FakeAuth()
        test(fake)
        fake.restore()


@pytest.mark.long
def test_the_real_service_in_a_test() -> None:
    assert module_of(block("sdk.md", "running_service"), "real").with_the_real_service() is True


async def test_starlette(service: Service, subscriber: Tokens) -> None:
    shown = module_of(block("sdk-frameworks.md", "Starlette("), "shown")
    async with shown.auth, served(shown.app) as base_url:
        await assert_protected(service, subscriber, over_http(base_url))


async def test_flask(service: Service, subscriber: Tokens) -> None:
    shown = module_of(block("sdk-frameworks.md", "Flask("), "shown")
    await assert_protected(service, subscriber, over_wsgi(shown.app))
    await asyncio.to_thread(shown.auth.close)


async def test_django(service: Service, subscriber: Tokens) -> None:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.urls import path

    shown = module_of(block("sdk-frameworks.md", "django"), "shown")
    shown.urlpatterns = [path("films/<film>", shown.watch)]  # type: ignore[attr-defined]
    settings.configure(ROOT_URLCONF="shown", MIDDLEWARE=["shown.AuthErrors"], ALLOWED_HOSTS=["*"], SECRET_KEY="x")
    django.setup()
    await assert_protected(service, subscriber, over_wsgi(get_wsgi_application()))
    await asyncio.to_thread(shown.auth.close)


async def test_aiohttp(service: Service, subscriber: Tokens) -> None:
    from aiohttp import web

    shown = module_of(block("sdk-frameworks.md", "aiohttp"), "shown")
    runner = web.AppRunner(shown.app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        await assert_protected(service, subscriber, over_http(f"http://{host}:{port}"))
    finally:
        await runner.cleanup()


async def test_a_script(service: Service) -> None:
    account = await service.api.create_user()
    shown = module_of(block("sdk-frameworks.md", "def may_watch"), "shown")
    assert await asyncio.to_thread(shown.may_watch, account.id) is False


def test_no_block_is_left_out() -> None:
    """Each is found above by a text of its own."""
    source = Path(__file__).read_text(encoding="utf-8")
    for name in ("sdk.md", "sdk-frameworks.md"):
        markers = re.findall(rf"block\(\"{re.escape(name)}\", ['\"](.*?)['\"]\), ", source)
        assert len(set(markers)) == len(blocks(name)), name


@pytest.mark.parametrize("name", ["url", "client_id", "client_secret", "issuer", "audience"])
def test_settings_are_listed(name: str) -> None:
    text = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    assert f"`{name}`" in text
    assert f"`AUTH_SERVICE_{name.upper()}`" in text


def test_all_arguments_are_listed_with_their_defaults() -> None:
    import inspect

    from auth_service_client import AuthClient

    table = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8").partition("## Settings")[2]
    for parameter in inspect.signature(AuthClient).parameters.values():
        if parameter.name == "http":
            continue
        row = next(line for line in table.splitlines() if line.startswith("|") and f"`{parameter.name}`" in line[:30])
        if parameter.default is not None:
            assert str(parameter.default) in row, row
