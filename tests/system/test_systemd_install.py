"""deploy/systemd/install.sh says what it would do, and refuses what it cannot; tests/operations lets it do it."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = [ROOT / "deploy" / "systemd" / "install.sh", ROOT / "deploy" / "rolling-restart.sh"]


needs_venv = pytest.mark.skipif(find_spec("ensurepip") is None, reason="this Python has no ensurepip: python3-venv")


def install(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPTS[0]), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_can_read_it(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    shells = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]
    for shell in shells:
        assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0


@needs_venv
def test_a_dry_run_prints_each_step_and_changes_nothing(tmp_path: Path) -> None:
    done = install("--dry-run", DESTDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    for step in (
        "/opt/auth-service",
        "scripts/install.sh",
        "secret_key",
        "auth-service.service",
        "Nothing was changed.",
    ):
        assert step in done.stdout
    assert done.stdout.count("would ") > 20
    assert "==> " in done.stdout


@needs_venv
def test_a_dry_run_needs_neither_root_nor_a_destination() -> None:
    done = install("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would run: systemctl enable auth-service.service" in done.stdout


def test_an_unknown_option_is_refused_with_the_usage(tmp_path: Path) -> None:
    done = install("--force", DESTDIR=str(tmp_path))
    assert done.returncode == 2
    assert "Usage: install.sh" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_python_it_says_what_is_missing(tmp_path: Path) -> None:
    done = install(DESTDIR=str(tmp_path), PYTHON="/nowhere/python3.13")
    assert done.returncode == 1
    assert "install one (on Debian also python3-venv), or name it with PYTHON=" in done.stderr
    assert list(tmp_path.iterdir()) == []
