"""Clients generated from the OpenAPI document, in Python and TypeScript: they compile, and call the service."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.conftest import ROOT, Fresh
from tests.support.api import PASSWORD

pytestmark = pytest.mark.long
WALKS = ROOT / "tests" / "support" / "generated_clients"
UV = Path(sys.executable).with_name("uv")
# In an environment of its own: it pins an older typer than we run.
PYTHON_GENERATOR = (UV, "tool", "run", "--from", "openapi-python-client==0.29.1", "openapi-python-client")
NPM_PACKAGES = ("@hey-api/openapi-ts@0.95.0", "typescript@5.9.3")
# Every module is imported, and mypy reads it; what it says of client.py is the generator's own.
CHECK_MODULES = """
import importlib, pkgutil, auth_client
names = [module.name for module in pkgutil.walk_packages(auth_client.__path__, "auth_client.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


@pytest.fixture
def folder(tmp_path: Path, app: FastAPI) -> Path:
    (tmp_path / "openapi.json").write_text(json.dumps(app.openapi()), encoding="utf-8")
    return tmp_path


@pytest.fixture
async def caller(fresh: Fresh) -> dict[str, str]:
    """What a walk is told of the service that runs."""
    settings = await fresh.settings()
    api = await fresh.on(settings)
    account, admin = await api.as_role("admin")
    for _ in range(5):
        await api.create_user("moderator")
    client_id, secret = await api.create_service(admin, ["permissions:check", "tokens:introspect"])
    service = await fresh.service(settings)
    told = {"BASE": service.base_url, "USER_ID": str((await api.create_user()).id)}
    told |= {"LOGIN": account.login, "PASSWORD": PASSWORD}
    return told | {"CLIENT_ID": client_id, "CLIENT_SECRET": secret}


EXPECTED = {
    "scope": "permissions:check tokens:introspect",
    "allowed": True,
    "batch": ["granted", "no_grant", "unknown_permission"],
    "roles": True,
    "pages": 3,
    "moderators": 5,
    "refused": "invalid_credentials",
    "forbidden": [403, "permission_denied"],
    "live": [True, "N_A"],
    "left": 204,
    "dead": {"active": False},
}


async def run(*command: Any, cwd: Path, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def succeed(*command: Any, cwd: Path, **environment: str) -> str:
    code, output = await run(*command, cwd=cwd, **environment)
    assert code == 0, output
    return output


async def test_a_python_client(folder: Path, caller: dict[str, str]) -> None:
    code, output = await run(*PYTHON_GENERATOR, "--version", cwd=folder)
    if code:
        pytest.skip(f"openapi-python-client cannot be had: {output.strip().splitlines()[-1]}")
    made = await succeed(
        *PYTHON_GENERATOR,
        *("generate", "--path", "openapi.json", "--meta", "none", "--output-path", "auth_client"),
        cwd=folder,
    )
    assert "WARNING" not in made.upper(), made
    await succeed(sys.executable, "-m", "compileall", "-q", "auth_client", cwd=folder)
    assert int(await succeed(sys.executable, "-c", CHECK_MODULES, cwd=folder)) > 150
    mypy = (
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-warn-redundant-casts",
        "--cache-dir",
        ".mypy",
        "--config-file",
        os.devnull,
    )
    _, found = await run(*mypy, "-p", "auth_client", cwd=folder)
    assert [line for line in found.splitlines() if ": error:" in line and "auth_client/client.py" not in line] == []
    walked = await succeed(sys.executable, WALKS / "walk.py", cwd=folder, PYTHONPATH=str(folder), **caller)
    assert json.loads(walked.splitlines()[-1]) == EXPECTED


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
async def test_a_typescript_client(folder: Path, caller: dict[str, str]) -> None:
    for package in NPM_PACKAGES:
        code, output = await run("npm", "view", package, "version", cwd=folder)
        if code:
            pytest.skip(f"the npm registry cannot be asked: {output.strip().splitlines()[0]}")
    (folder / "package.json").write_text("{}", encoding="utf-8")
    await succeed("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *NPM_PACKAGES, cwd=folder)
    programs = folder / "node_modules" / ".bin"
    await succeed(programs / "openapi-ts", "-i", "openapi.json", "-o", "auth-client", cwd=folder)
    for name in ("walk.ts", "tsconfig.json"):
        shutil.copy(WALKS / name, folder)
    await succeed(programs / "tsc", "--noEmit", cwd=folder)
    await succeed(programs / "tsc", cwd=folder)
    walked = await succeed("node", "out/walk.js", cwd=folder, **caller)
    assert json.loads(walked.splitlines()[-1]) == EXPECTED
