"""bench/results.json: what was measured, part by part, so that page and plots can be drawn again without measuring."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from bench.driver import Options, Part
from bench.peers.install import npm_pin, pinned
from bench.trial import Trial

FILE = Path(__file__).with_name("results.json")
PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "asyncpg", "redis", "pydantic", "python-jose", "cryptography")
PEERS = ("fastapi-users", "pycasbin", "cedarpy")


@dataclass
class Recorded:
    """A part with when, where and how it was measured."""

    part: Part
    date: str
    tree: str
    machine: dict[str, str]
    versions: dict[str, str]
    how: dict[str, str]


def recorded(part: Part, options: Options, generator: str) -> Recorded:
    how = {
        "pairs": str(options.pairs),
        "seconds": f"{options.seconds:g}",
        "pinned": "no" if options.core is None else "yes",
        "generator": generator,
    }
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Recorded(part, now, _tree(), _machine(), _versions(), how)


def read(path: Path = FILE) -> dict[str, Recorded]:
    """By part; empty before the first run."""
    if not path.exists():
        return {}
    return {name: _loaded(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}


def write(parts: dict[str, Recorded], path: Path = FILE) -> None:
    text = json.dumps({name: asdict(one) for name, one in parts.items()}, ensure_ascii=False, indent=1)
    half = path.with_suffix(".half")
    half.write_text(text + "\n", encoding="utf-8")
    half.replace(path)


def _loaded(value: dict[str, Any]) -> Recorded:
    part = value.pop("part")
    trials = {name: [Trial(**trial) for trial in its] for name, its in part.pop("trials").items()}
    return Recorded(Part(trials, **part), **value)


def _machine() -> dict[str, str]:
    memory = psutil.virtual_memory().total / 2**30
    cores = os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> dict[str, str]:
    ours = {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    return ours | {name: pinned(name) for name in PEERS} | {"Cerbos": npm_pin()[1]}


def _tree() -> str:
    """The commit, with a + where the tree was not as committed; what this writes itself does not count."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--exclude", "*"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "auth_service"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told + ("+" if changed else "")
