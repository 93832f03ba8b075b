"""The systemd units: valid, closed as far as the service can bear it, and the service does run under that."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from auth_service.seed import seed_users
from tests.conftest import ROOT, Fresh
from tests.support.service_process import environment_of, free_port

DEPLOY = ROOT / "deploy" / "systemd"
UNITS = ("auth-service.service", "auth-service-migrate.service")
EXPOSED_AT_MOST = 1.5  # of 10; a unit without any of it has 9.6

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs a program that pip cannot give: systemd-analyze"
)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=600
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system as install.sh leaves it, its environment included."""
    root = tmp_path_factory.mktemp("installed")
    done = run("sh", str(DEPLOY / "install.sh"), DESTDIR=str(root), PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def contents(root: Path) -> dict[str, bytes]:
    names = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in names}


def test_sec_2_what_is_installed_and_who_may_read_it(installed: Path) -> None:
    etc = installed / "etc" / "auth-service"
    assert (etc / "secrets").stat().st_mode & 0o777 == 0o700
    for name in ("env", "secrets/secret_key", "secrets/database_url", "secrets/redis_url"):
        assert (etc / name).stat().st_mode & 0o777 == 0o600, name
    assert len((etc / "secrets" / "secret_key").read_text()) == 64
    assert "\nAPP_ENV=production\n" in (etc / "env").read_text()
    shown = run(str(installed / "opt/auth-service/.venv/bin/python"), "-P", "-c", "import uvicorn, asyncpg, jose")
    assert shown.returncode == 0, shown.stderr


def test_installing_again_keeps_settings_and_secrets(installed: Path) -> None:
    env = installed / "etc" / "auth-service" / "env"
    env.write_text(env.read_text() + "ISSUER=https://auth.cinema.example\n")
    before = contents(installed)
    again = run("sh", str(DEPLOY / "install.sh"), DESTDIR=str(installed), PYTHON=sys.executable)
    assert again.returncode == 0, again.stderr
    assert "is there already, with these requirements" in again.stdout
    assert contents(installed) == before


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault_in_the_unit(installed: Path, tmp_path: Path, unit: str) -> None:
    """Programs are looked for below /, so the paths of a copy lead to where they are."""
    for name in (*UNITS, "hardening.conf"):
        text = (DEPLOY / name).read_text().replace("/opt/", f"{installed}/opt/")
        folders = [f"{one}.d" for one in UNITS] if name == "hardening.conf" else ["."]
        for folder in folders:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(text)
    verified = run("systemd-analyze", "verify", "--man=no", unit, SYSTEMD_UNIT_PATH=f"{tmp_path}:")
    about_us = [line for line in verified.stderr.splitlines() if "auth-service" in line]
    assert (about_us, verified.returncode) == ([], 0), verified.stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_sec_5_the_unit_is_exposed_little(installed: Path, unit: str) -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={installed}", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", rated.stdout)
    assert found is not None, rated.stdout + rated.stderr
    print(f"  {unit}: {found[1]}")
    assert float(found[1]) <= EXPOSED_AT_MOST


@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up in ways that only root can: sudo")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs a program that pip cannot give: setpriv")
@pytest.mark.parametrize("workers", [1, 2])
async def test_sec_5_the_service_runs_under_what_the_unit_leaves_to_it(
    fresh: Fresh, tmp_path: Path, workers: int
) -> None:
    settings = await fresh.settings()
    await seed_users((await fresh.on(settings)).resources)
    port = free_port()
    serve = ("-m", "auth_service", "serve", "--port", str(port), "--workers", str(workers))
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", sys.executable, str(Path(__file__).with_name("confine.py"))),
            *(sys.executable, *serve),
            cwd=ROOT,
            env={**os.environ, **environment_of(settings), "APP_ENV": "development", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output,
            stderr=output,
        )
    try:
        await until_ready(process, port, log)
        state = text_of(Path(f"/proc/{process.pid}/status"))
        assert re.findall(r"^(?:Uid:\s+(\d+)|CapBnd:\s+(\w+)|NoNewPrivs:\s+(\d)|Seccomp:\s+(\d))", state, re.M) == [
            ("65534", "", "", ""),
            ("", "0" * 16, "", ""),
            ("", "", "1", ""),
            ("", "", "", "2"),
        ]
        done = await asyncio.to_thread(
            run, sys.executable, "scripts/run_doc.py", "docs/quickstart.md", BASE=f"http://127.0.0.1:{port}"
        )
        assert done.returncode == 0, done.stdout + done.stderr + text_of(log)
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 35) in {0, -15}
    assert "Traceback" not in text_of(log)
    assert "not permitted" not in text_of(log)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def until_ready(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        for _ in range(300):
            assert process.returncode is None, text_of(log)
            try:
                if (await http.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.2)
    raise AssertionError(text_of(log))
