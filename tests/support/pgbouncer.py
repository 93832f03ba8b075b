"""A real PgBouncer in front of a Postgres, where one is installed: Debian's, or PGBOUNCER names another program."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.support.service_process import free_port

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
MISSING = "there is no pgbouncer here: apt install pgbouncer, or name one in PGBOUNCER"
START_SECONDS = 20


@dataclass
class PgBouncer:
    """In front of all databases of one server."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, direct_url: str) -> str:
        """The same database, through it."""
        parts = urlsplit(direct_url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password or ''}@127.0.0.1:{self.port}"))

    def start(self) -> None:
        assert PROGRAM is not None, MISSING
        with (self.folder / "pgbouncer.log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, str(self.folder / "pgbouncer.ini")], stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(self.log())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def admin(self, command: str) -> None:
        """PAUSE, RESUME and the like, at its console, which speaks simple queries only."""
        console = await asyncpg.connect(f"postgresql://admin:@127.0.0.1:{self.port}/pgbouncer", statement_cache_size=0)
        try:
            await console.execute(command)
        finally:
            console.terminate()

    def log(self) -> str:
        return (self.folder / "pgbouncer.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def pgbouncer(folder: Path, server_url: str, *, mode: str = "transaction", **options: str) -> Iterator[PgBouncer]:
    """With few connections to the server, so that each client gets now one and now another. `options`: of its own."""
    folder.mkdir(parents=True)
    parts, port = urlsplit(server_url), free_port()
    server = f"host={parts.hostname} port={parts.port} user={parts.username}"
    if parts.password:
        server += f" password={parts.password}"
    values = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",  # its users are not what is tried here
        "pool_mode": mode,
        "default_pool_size": "4",
        "max_client_conn": "500",
        "admin_users": "admin",
        "server_login_retry": "0.5",
        "server_idle_timeout": "5",
        **options,
    }
    if os.geteuid() == 0:
        values["user"] = "nobody"  # as root it does not run
        for path in [folder, *folder.parents][:-1]:
            path.chmod(path.stat().st_mode | 0o055)
    lines = "\n".join(f"{name} = {value}" for name, value in values.items())
    (folder / "pgbouncer.ini").write_text(f"[databases]\n* = {server}\n\n[pgbouncer]\n{lines}\n", encoding="utf-8")
    one = PgBouncer(port, folder)
    one.start()
    try:
        yield one
    finally:
        one.stop()
