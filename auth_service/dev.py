"""`auth-service dev`: starts the service with all it needs, and stops what it started."""

import contextlib
import errno
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import typer
from pydantic_settings import DotEnvSettingsSource

from auth_service.config import Settings
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import EmbeddedError, EmbeddedServer, command_line, write_private

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
READY_SECONDS = 90.0
SERVICE_STOP_SECONDS = 30.0


class DevError(Exception):
    """Its text is one line that tells the developer what to do."""


class StopRequested(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


class Signals:
    """Only notes a signal; raising in a handler could lose a process between its start and its record."""

    def __init__(self) -> None:
        self.received = False

    def note(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def check(self) -> None:
        if self.received:
            raise StopRequested


def run_dev(*, host: str, port: int, data_dir: Path, workers: int) -> int:
    """Blocks until stopped; the exit code is 0 only when somebody asked it to stop."""
    signals = Signals()
    with _noted(signals):
        try:
            with contextlib.ExitStack() as stack:
                _supervise(stack, signals, host=host, port=port, data_dir=data_dir.resolve(), workers=workers)
        except (StopRequested, DevError, EmbeddedError) as error:
            # Ctrl-C can hit a child before it has a session of its own; its failure is then our stop.
            if not signals.received:
                _say(str(error), error=True)
                return 1
            _say(f"stopped; the data stay in {data_dir}")
    return 0


def _supervise(
    stack: contextlib.ExitStack, signals: Signals, *, host: str, port: int, data_dir: Path, workers: int
) -> None:
    _check_python()
    stack.enter_context(_only_one(data_dir))
    _stop_leftover_service(data_dir)
    _check_port(host, port)
    servers, variables = _start_servers(data_dir, port, signals, stack)
    write_private(data_dir / "env", "".join(f"{name}={value}\n" for name, value in variables.items()))
    # Without its servers the file would only lead other commands astray.
    stack.callback((data_dir / "env").unlink, missing_ok=True)
    environment = {**os.environ, **variables}
    _run_step("migrate", environment, data_dir, signals)
    _run_step("seed-users", environment, data_dir, signals)
    _say("starting the service")
    arguments = ["serve", "--host", host, "--port", str(port), "--workers", str(workers)]
    service = subprocess.Popen(_command(*arguments), env=environment, start_new_session=True)
    stack.callback(_stop_service, service)
    (data_dir / "service.pid").write_text(str(service.pid))
    _wait_until_ready(host, port, service, servers, signals)
    _say(_welcome(port, data_dir))
    while True:
        _check_alive(service, servers, signals)
        time.sleep(0.1)


# --- before the start


def _check_python() -> None:
    running = sys.version_info[:2]
    if not OLDEST_PYTHON <= running <= NEWEST_PYTHON:
        raise DevError(f"Python {running[0]}.{running[1]} runs here, but the service needs 3.11, 3.12 or 3.13")


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data_dir / "lock").open("a+")
    except OSError as error:
        raise DevError(f"cannot use {data_dir} for data: {error.strerror}; name another folder with --data") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DevError(
                f"another dev (pid {lock.read() or 'unknown'}) runs on {data_dir}; "
                f"stop it with Ctrl-C or name another folder with --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _stop_leftover_service(data_dir: Path) -> None:
    """After a kill -9 of dev its service still holds the port; the servers are adopted, it is not."""
    try:
        pid = int((data_dir / "service.pid").read_text())
    except (OSError, ValueError):
        return
    if "auth_service serve" not in command_line(pid):
        return
    _say(f"stopping the service of an earlier start (pid {pid})")
    deadline = time.monotonic() + SERVICE_STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while command_line(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)


def _check_port(host: str, port: int) -> None:
    try:
        _bind(host, port)
    except socket.gaierror:
        raise DevError(f"{host} is no address of this machine; start with --host 127.0.0.1") from None
    except PermissionError:
        raise DevError(f"port {port} needs special rights; start with --port 8000") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            free = _next_free_port(host, port)
            line = f"port {port} is taken; start with --port {free} or stop what listens there"
        elif error.errno == errno.EADDRNOTAVAIL:
            line = f"{host} is no address of this machine; start with --host 127.0.0.1"
        else:
            line = f"cannot listen on {host}:{port}: {error.strerror}"
        raise DevError(line) from None


def _next_free_port(host: str, port: int) -> int:
    for candidate in range(port + 1, min(port + 100, 65536)):
        with contextlib.suppress(OSError):
            _bind(host, candidate)
            return candidate
    return port + 1


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


# --- what the service needs


def _start_servers(
    data_dir: Path, port: int, signals: Signals, stack: contextlib.ExitStack
) -> tuple[list[EmbeddedServer], dict[str, str]]:
    servers: list[EmbeddedServer] = []
    variables = {
        "APP_ENV": "development",
        "SECRET_KEY": _secret_key(data_dir),
        "DRAIN_SECONDS": "0",  # no load balancer has to notice
        **_addresses(port),
    }
    for variable, name, start in (
        ("DATABASE_URL", "PostgreSQL", start_postgres),
        ("REDIS_URL", "Redis", start_redis),
    ):
        if url := os.environ.get(variable):
            _say(f"using your {name} ({variable} is set)")
            variables[variable] = url
            continue
        signals.check()
        folder = data_dir / name.lower()
        first = "" if folder.exists() else " (the first start makes its data)"
        _say(f"starting {name}{first}")
        server = start(folder, durable=True)
        stack.callback(_stop_server, server)
        servers.append(server)
        variables[variable] = server.url
    return servers, variables


def _addresses(port: int) -> dict[str, str]:
    """Tokens and mails name the real port; its pages may use cookies, and so may those that the developer lists."""
    kept = DotEnvSettingsSource(Settings, env_file=".env").env_vars
    issuer, listed = (os.environ.get(name) or kept.get(name.lower()) for name in ("ISSUER", "ALLOWED_ORIGINS"))
    own = (f"http://localhost:{port}", f"http://127.0.0.1:{port}")
    return {"ISSUER": issuer or own[0], "ALLOWED_ORIGINS": ",".join(filter(None, (listed, *own)))}


def _secret_key(data_dir: Path) -> str:
    if given := os.environ.get("SECRET_KEY"):
        return given
    path = data_dir / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48))
    return path.read_text().strip()


def _stop_server(server: EmbeddedServer) -> None:
    _say(f"stopping {server.name}")
    server.stop()


# --- our own commands


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "auth_service", *arguments]


def _run_step(step: str, environment: dict[str, str], data_dir: Path, signals: Signals) -> None:
    signals.check()
    _say(f"running {step}")
    log = data_dir / f"{step}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(step), env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while process.poll() is None:
            signals.check()
            time.sleep(0.05)
    finally:
        _end(process)
    if process.returncode != 0:
        with contextlib.suppress(OSError):
            typer.echo(log.read_text(errors="replace").rstrip(), err=True)
        raise DevError(f"{step} failed with exit code {process.returncode}; its output is above")


def _stop_service(service: subprocess.Popen[bytes]) -> None:
    _say("stopping the service")
    _end(service)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SERVICE_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for an empty group
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group: workers that outlived it go too
    process.wait()


def _wait_until_ready(
    host: str, port: int, service: subprocess.Popen[bytes], servers: list[EmbeddedServer], signals: Signals
) -> None:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    address = f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(f"{address}/health/ready"):
        _check_alive(service, servers, signals)
        if time.monotonic() > deadline:
            raise DevError(f"the service was not ready after {READY_SECONDS:.0f} s; its output is above")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _check_alive(service: subprocess.Popen[bytes], servers: list[EmbeddedServer], signals: Signals) -> None:
    signals.check()
    if service.poll() is not None:
        raise DevError(f"the service ended by itself with exit code {service.returncode}; its output is above")
    for server in servers:
        if not server.is_running():
            raise DevError(f"{server.name} ended by itself; its log is {server.log}")


# --- what the developer sees


def _welcome(port: int, data_dir: Path) -> str:
    from auth_service.seed import DEMO_USERS

    base = f"http://localhost:{port}"
    # A new name each time, so that the lines work after every start.
    login, password = f"neo-{secrets.token_hex(3)}", f"white-rabbit-{secrets.token_hex(4)}"
    accounts = "\n".join(f"    {user.email}  password {user.password}  ({user.role})" for user in DEMO_USERS)
    json = "-H 'Content-Type: application/json'"
    extract = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""
    admin = DEMO_USERS[0]
    return f"""ready

  Console        {base}/console  sign in as {admin.login} with {admin.password}
  Account        {base}/account
  Docs           {base}/auth/docs
  Mails          {base}/dev/mails
  Demo accounts
{accounts}

  Try it in another terminal:
    curl -s {base}/api/v1/auth/register {json} \
-d '{{"login":"{login}","email":"{login}@cinema.example","password":"{password}"}}'; echo
    TOKEN=$(curl -s {base}/api/v1/auth/login {json} \
-d '{{"login":"{login}","password":"{password}"}}' | {extract})
    curl -s {base}/api/v1/permissions/check {json} -H "Authorization: Bearer $TOKEN" \
-d '{{"permission":"films:watch"}}'; echo

  Ctrl-C stops everything; the data stay in {data_dir}
"""


def _say(text: str, *, error: bool = False) -> None:
    # A closed terminal or pipe must not keep us from stopping the rest.
    with contextlib.suppress(OSError):
        typer.echo(f"dev: {text}", err=error)


@contextlib.contextmanager
def _noted(signals: Signals) -> Iterator[None]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to ignore it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, signals.note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
