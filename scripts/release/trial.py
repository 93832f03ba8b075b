"""What was built, tried where nothing of the repository is: fresh environments, and stores that are new and empty."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from packaging.markers import default_environment
from packaging.utils import canonicalize_name

from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import free_port
from scripts.release.sbom import pinned_for
from scripts.release.source import ReleaseError

READY_SECONDS = 120
_LIST = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_NOT_LOCKED = {"auth-service", "pip", "setuptools"}


def try_service_wheel(wheel: Path, source: Path) -> None:
    """With what the lock pins and nothing else; raises ReleaseError."""
    with tempfile.TemporaryDirectory() as name:
        venv = Path(name) / "venv"
        _run([source / "scripts" / "install.sh", sys.executable, venv, source / "requirements.txt"])
        _install(venv, "--no-deps", wheel)
        locked = pinned_for(source / "requirements.txt", cast(dict[str, str], default_environment()))
        same_packages([str(venv / "bin" / "python")], {one.name: one.version for one in locked.values()})
        try_service([str(venv / "bin" / "auth-service")], Path(name))


def try_client_wheel(wheel: Path, source: Path, version: str) -> None:
    """Imports it, in an environment with what it requires and nothing of the service."""
    with tempfile.TemporaryDirectory() as name:
        venv = Path(name) / "venv"
        _run([sys.executable, "-m", "venv", "--without-pip", venv])
        _install(venv, "--constraint", source / "requirements-dev.txt", wheel)
        look = "import auth_service_client as c, importlib.util as u; print(c.__version__, u.find_spec('auth_service'))"
        said = _run([venv / "bin" / "python", "-c", look], folder=Path(name)).strip()
        if said != f"{version} None":
            raise ReleaseError(f"the client's wheel should say '{version} None', and says '{said}'")


def try_service(command: list[str], folder: Path) -> None:
    """`--help`, `migrate`, and `serve` until it is ready; `command` is how to run auth-service, `folder` is empty."""
    if "serve" not in _run([*command, "--help"], folder=folder):
        raise ReleaseError("auth-service --help does not name serve")
    with _new_stores(folder) as settings:
        _run([*command, "migrate"], folder=folder, settings=settings)
        with (folder / "serve.log").open("wb") as log:
            serving = subprocess.Popen(
                [*command, "serve"], cwd=folder, env=_environment(settings), stdout=log, stderr=log
            )
        try:
            _until_ready(int(settings["PORT"]), serving)
        except ReleaseError as error:
            raise ReleaseError(f"{error}\n{(folder / 'serve.log').read_text(encoding='utf-8')[-2000:]}") from error
        finally:
            serving.terminate()
            code = serving.wait(60)
    if code != 0:
        raise ReleaseError(f"serve ended with {code} when it was told to stop")


def same_packages(python: list[str], expected: dict[str, str]) -> None:
    """Raises ReleaseError where an environment has other packages than it should."""
    lines = _run([*python, "-c", _LIST]).split()
    found = {(canonicalize_name(name), version) for name, _, version in (line.partition("==") for line in lines)}
    difference = {one for one in found if one[0] not in _NOT_LOCKED} ^ set(expected.items())
    if difference:
        raise ReleaseError(f"installed or locked, but not both: {sorted(difference)}")


@contextmanager
def _new_stores(folder: Path) -> Iterator[dict[str, str]]:
    postgres = start_postgres(folder / "postgres", durable=False)
    try:
        redis = start_redis(folder / "redis", durable=False)
        try:
            port = str(free_port())
            yield {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "PORT": port, "DRAIN_SECONDS": "0"}
        finally:
            redis.stop()
    finally:
        postgres.stop()


def _until_ready(port: int, serving: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            with _DIRECT.open(f"http://127.0.0.1:{port}/health/ready", timeout=2):
                return
        except OSError:  # no connection, or 503
            time.sleep(0.2)
    raise ReleaseError(f"the service was not ready within {READY_SECONDS} s, or ended")


def _install(venv: Path, *what: object) -> None:
    uv = Path(sys.executable).with_name("uv")
    _run([uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python", *what])


def _environment(settings: dict[str, str]) -> dict[str, str]:
    """What finds programs and the index, and nothing that could lead to the repository or to other stores."""
    kept = re.compile(r"PATH|HOME|SSL_CERT_FILE|(?:UV|PIP|DOCKER)_\w+|\w+_proxy", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if kept.fullmatch(name)} | settings


def _run(command: list[object] | list[str], folder: Path | None = None, settings: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=folder or Path(tempfile.gettempdir()),
        env=_environment(settings or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        shown = " ".join(Path(str(part)).name if os.sep in str(part) else str(part) for part in command[:4])
        raise ReleaseError(f"{shown} … ended with {ran.returncode}:\n{ran.stdout[-1000:]}{ran.stderr[-2000:]}")
    return ran.stdout
