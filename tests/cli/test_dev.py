"""`auth-service dev` from its first start to its end, as a process of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from auth_service import dev
from tests.support.processes import is_alive

pytestmark = pytest.mark.long

SECONDS = 60.0
SETTINGS_OF_OURS = {
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "APP_ENV",
    "ALLOWED_ORIGINS",
    "ISSUER",
    "DRAIN_SECONDS",
}


class Dev:
    """One running `auth-service dev` with all processes that it was ever seen to start."""

    def __init__(self, port: int, data_dir: Path, **variables: str) -> None:
        self.port = port
        self.data_dir = data_dir
        self.output = data_dir.with_name(f"dev-{time.monotonic_ns()}.txt")
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_OURS}
        with self.output.open("wb") as output:
            self.process = psutil.Popen(
                [sys.executable, "-m", "auth_service", "dev", "--port", str(port), "--data", str(data_dir)],
                env={**inherited, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started: dict[str, psutil.Process] = {}

    @property
    def text(self) -> str:
        return self.output.read_text()

    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("dev: ")]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + SECONDS
        while "dev: ready" not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)
        self.started = servers_on(self.data_dir)
        self.started["service"] = psutil.Process(int((self.data_dir / "service.pid").read_text()))

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return int(self.process.wait(SECONDS))

    def still_running(self) -> list[str]:
        return [name for name, process in self.started.items() if is_alive(process)]


def servers_on(data_dir: Path) -> dict[str, psutil.Process]:
    """The two servers, found by the files in which they themselves keep their number."""
    files = {"postgres": "postgresql/postmaster.pid", "redis": "redis/redis.pid"}
    return {name: psutil.Process(int((data_dir / file).read_text().splitlines()[0])) for name, file in files.items()}


@pytest.fixture
def start_dev(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    running: list[Dev] = []

    def start(port: int, **variables: str) -> Dev:
        running.append(Dev(port, tmp_path / "data", **variables))
        return running[-1]

    yield start
    for item in running:
        if item.process.poll() is None:
            item.stop(signal.SIGTERM)
        for name in item.still_running():
            item.started[name].kill()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_dev_from_first_start_to_its_end(start_dev: Callable[..., Dev], port: int) -> None:
    first = start_dev(port)
    first.wait_until_ready()
    secret_key = (first.data_dir / "secret_key").read_text()

    # What it says is true: the address answers and the lines can be pasted.
    with urllib.request.urlopen(f"http://localhost:{port}/auth/docs", timeout=10) as page:
        assert page.status == 200
    assert f"http://localhost:{port}/auth/docs" in first.text
    assert "admin@cinema.example" in first.text
    pasted = [line.strip() for line in first.text.splitlines() if line.strip().startswith(("curl", "TOKEN="))]
    assert len(pasted) == 3
    if shutil.which("curl"):
        shell = subprocess.run(["sh"], input="\n".join(pasted), capture_output=True, text=True, check=True)
        assert '"login":"neo-' in shell.stdout
        assert '"allowed":' in shell.stdout

    # Another terminal finds the servers, and nobody else can read how.
    variables = dict(line.split("=", 1) for line in (first.data_dir / "env").read_text().splitlines())
    assert variables.keys() == SETTINGS_OF_OURS
    assert variables["ISSUER"] == f"http://localhost:{port}"
    assert variables["ALLOWED_ORIGINS"] == f"http://localhost:{port},http://127.0.0.1:{port}"
    assert variables["SECRET_KEY"] == secret_key
    for name in ("env", "secret_key"):
        assert (first.data_dir / name).stat().st_mode & 0o777 == 0o600

    second = start_dev(port)
    assert second.process.wait(SECONDS) == 1
    assert second.lines() == [
        f"dev: another dev (pid {first.process.pid}) runs on {first.data_dir}; "
        f"stop it with Ctrl-C or name another folder with --data"
    ]

    assert first.stop(signal.SIGINT) == 0
    assert first.still_running() == []
    order = [line for line in first.lines() if line.startswith("dev: stopp")]
    assert order[:3] == ["dev: stopping the service", "dev: stopping Redis", "dev: stopping PostgreSQL"]
    assert not (first.data_dir / "env").exists()

    again = start_dev(port)
    again.wait_until_ready()
    assert (again.data_dir / "secret_key").read_text() == secret_key
    assert "first start" not in again.text
    assert "already" in (again.data_dir / "seed-users.log").read_text()
    assert again.stop(signal.SIGTERM) == 0
    assert again.still_running() == []


def test_dev_recovers_from_its_own_kill_and_reports_a_dead_service(start_dev: Callable[..., Dev], port: int) -> None:
    killed = start_dev(port)
    killed.wait_until_ready()
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    assert killed.still_running() == ["postgres", "redis", "service"]

    adopting = start_dev(port)
    adopting.wait_until_ready()
    assert killed.still_running() == ["postgres", "redis"]
    assert adopting.started["postgres"] == killed.started["postgres"]
    assert adopting.started["redis"] == killed.started["redis"]

    adopting.started["service"].kill()
    assert adopting.process.wait(SECONDS) == 1
    assert "dev: the service ended by itself with exit code -9; its output is above" in adopting.lines()
    assert adopting.still_running() == []


def test_taken_port_is_one_clear_line_and_nothing_starts(start_dev: Callable[..., Dev]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        refused = start_dev(taken)
        assert refused.process.wait(SECONDS) == 1
    (line,) = refused.text.splitlines()
    assert line.startswith(f"dev: port {taken} is taken; start with --port ")
    assert line.endswith(" or stop what listens there")
    assert {path.name for path in refused.data_dir.iterdir()} == {"lock"}


def test_failed_migration_ends_everything(start_dev: Callable[..., Dev], port: int) -> None:
    failed = start_dev(port, DATABASE_URL="postgresql://nobody:x@127.0.0.1:1/none")
    assert failed.process.wait(SECONDS) == 1
    assert failed.lines()[0] == "dev: using your PostgreSQL (DATABASE_URL is set)"
    assert failed.lines()[-1] == "dev: migrate failed with exit code 3; its output is above"
    assert not (failed.data_dir / "redis" / "redis.pid").exists()


def test_pages_that_the_developer_lists_are_allowed_beside_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page under development has a server of its own, and is listed in the environment or in .env."""
    monkeypatch.chdir(tmp_path)
    for name in ("ISSUER", "ALLOWED_ORIGINS"):
        monkeypatch.delenv(name, raising=False)
    own = "http://localhost:8001,http://127.0.0.1:8001"
    assert dev._addresses(8001) == {"ISSUER": "http://localhost:8001", "ALLOWED_ORIGINS": own}
    (tmp_path / ".env").write_text("ALLOWED_ORIGINS=http://localhost:5173\nISSUER=http://auth.localhost:8001\n")
    assert dev._addresses(8001) == {
        "ISSUER": "http://auth.localhost:8001",
        "ALLOWED_ORIGINS": f"http://localhost:5173,{own}",
    }
    monkeypatch.setenv("ALLOWED_ORIGINS", "http://localhost:3000")
    assert dev._addresses(8001)["ALLOWED_ORIGINS"] == f"http://localhost:3000,{own}"


def test_unsupported_python_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(dev.DevError, match=r"Python 3\.10 runs here, but the service needs 3\.11, 3\.12 or 3\.13"):
        dev._check_python()


def test_foreign_host_is_one_clear_line() -> None:
    with pytest.raises(dev.DevError, match=r"203\.0\.113\.7 is no address of this machine"):
        dev._check_port("203.0.113.7", 8000)
