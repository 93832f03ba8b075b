"""The wheel of the client, in an environment in which nothing of the server is."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.sdk.conftest import Service
from tests.sdk.test_docs import assert_protected, block, over_http, subscriber  # noqa: F401  a fixture
from tests.support.api import Tokens
from tests.support.service_process import free_port

pytestmark = pytest.mark.long

UV = str(Path(sys.executable).parent / "uv")
LOOK = (
    "import importlib.util as u, auth_service_client, auth_service_client.testing;"
    "print([n for n in ('auth_service', 'asyncpg', 'redis') if u.find_spec(n)])"
)


def run(*command: str, cwd: Path) -> str:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def install(python: Path, folder: Path, *what: str) -> None:
    """Out of uv's cache where it has them; skips where the index cannot be reached either."""
    for offline in (["--offline"], []):
        ran = subprocess.run(
            [UV, "pip", "install", "--quiet", *offline, "--python", str(python), *what],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode == 0:
            return
    pytest.skip(f"neither the cache nor the index has what the client needs: {ran.stderr[-300:]}")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a new environment with the wheel, FastAPI, uvicorn and pytest."""
    folder = tmp_path_factory.mktemp("client")
    source = folder / "source"
    shutil.copytree(ROOT / "clients" / "python", source, ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
    build = (UV, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable)
    run(*build, "--out-dir", str(folder / "dist"), str(source), cwd=folder)
    (wheel,), (sdist,) = (list((folder / "dist").glob(name)) for name in ("*.whl", "*.tar.gz"))
    assert sdist.stat().st_size > 10_000
    run(UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv"), cwd=folder)
    python = folder / "venv" / "bin" / "python"
    install(python, folder, str(wheel), "fastapi", "uvicorn", "pytest")
    return python


def test_it_needs_nothing_of_the_server(python: Path, tmp_path: Path) -> None:
    assert run(str(python), "-c", LOOK, cwd=tmp_path).strip() == "[]"


def test_its_fixture_is_there_without_an_import(python: Path, tmp_path: Path) -> None:
    test = "def test_it(auth):\n    auth.grant('01980000-0000-7000-8000-000000000001', 'films:watch')\n"
    (tmp_path / "test_it.py").write_text(test, encoding="utf-8")
    assert "1 passed" in run(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)


def test_its_types_are_there(python: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(block("sdk.md", "# films.py"), encoding="utf-8")
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "app.py", cwd=tmp_path)


async def test_the_three_lines_run(python: Path, tmp_path: Path, service: Service, subscriber: Tokens) -> None:  # noqa: F811
    (tmp_path / "films.py").write_text(block("sdk.md", "# films.py"), encoding="utf-8")
    port = free_port()
    variables = {
        "AUTH_SERVICE_URL": service.base_url,
        "AUTH_SERVICE_ISSUER": service.issuer,
        "AUTH_SERVICE_CLIENT_ID": service.client_id,
        "AUTH_SERVICE_CLIENT_SECRET": service.client_secret,
    }
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "uvicorn", "films:app", "--port", str(port)), cwd=tmp_path, env={**os.environ, **variables}
    )
    try:
        await _until_it_listens(port)
        await assert_protected(service, subscriber, over_http(f"http://127.0.0.1:{port}"))
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(60), httpx2.AsyncClient(trust_env=False) as http:
        while True:
            try:
                await http.get(f"http://127.0.0.1:{port}/openapi.json")
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
