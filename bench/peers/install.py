"""Brings the peers into a cache folder of their own: our environment and our locks stay as they are.

A peer that cannot be brought is left out, with the reason; nothing else of the benchmark depends on it.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

PINS = Path(__file__).parents[1] / "peers.txt"
SHARED = ("fastapi", "starlette", "pydantic", "pydantic-core", "uvicorn", "uvloop", "httptools", "asyncpg")
INSTALL_SECONDS = 300


class LeftOut(Exception):
    """Its text says which peer is missing, and why."""


def cache_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "auth-service-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pinned(package: str) -> str:
    found = re.search(rf"^{re.escape(package)}(?:\[\w+\])?==(\S+)$", PINS.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, package
    return found[1]


def npm_pin() -> tuple[str, str]:
    """Package and version of the Cerbos binary."""
    found = re.search(r"^# npm: (\S+)@(\S+)$", PINS.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1], found[2]


def python_with_peers() -> Path:
    """The interpreter of an environment that has what peers.txt names; raises LeftOut."""
    constraints = "".join(f"{name}=={version(name)}\n" for name in SHARED)
    wanted = PINS.read_text(encoding="utf-8") + constraints + sys.version
    folder = cache_folder() / f"python-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if (folder / ".complete").exists():
        return python
    print("installing the peers …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        limits = Path(temporary) / "constraints.txt"
        limits.write_text(constraints, encoding="utf-8")
        uv = str(Path(sys.executable).with_name("uv"))
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], "the Python peers")
        _run(
            [uv, "pip", "install", "--quiet", "--python", str(python), "-c", str(limits), "-r", str(PINS)],
            "the Python peers",
        )
    (folder / ".complete").touch()
    return python


def cerbos_binary() -> Path:
    """Raises LeftOut."""
    package, wanted = npm_pin()
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise LeftOut("Cerbos: npm has its binary for Linux on x86-64 only")
    binary = cache_folder() / f"cerbos-{wanted}"
    if binary.exists():
        return binary
    if shutil.which("npm") is None:
        raise LeftOut("Cerbos: npm is not on the PATH")
    print("fetching Cerbos …", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        _run(["npm", "pack", "--loglevel=error", f"{package}@{wanted}", "--pack-destination", temporary], "Cerbos")
        (archive,) = Path(temporary).glob("*.tgz")
        with tarfile.open(archive) as files:
            files.extractall(temporary, filter="data")
        fetched = Path(temporary) / "package" / "cerbos-linux-x64"
        fetched.chmod(0o755)
        half = binary.with_suffix(".half")
        shutil.copy2(fetched, half)
        half.replace(binary)
    return binary


def _run(command: list[str], peer: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeftOut(f"{peer}: {Path(command[0]).name} did not run ({type(error).__name__})") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        reason = next((line for line in lines if line.startswith("npm error code")), lines[-1])
        raise LeftOut(f"{peer}: {Path(command[0]).name} could not install it ({reason.strip()[:160]})")
