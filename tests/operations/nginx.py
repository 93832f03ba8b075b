"""The nginx of this machine, with the configuration that is shipped for the one in Compose."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.support.service_process import free_port

SHIPPED = ROOT / "deploy" / "nginx"


@dataclass(frozen=True)
class Nginx:
    port: int
    folder: Path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return (self.folder / "stdout").read_text(encoding="utf-8")


def _replaced(text: str, changes: dict[str, str]) -> str:
    """Each of them has to be there: a test of something else than what is shipped would be worth nothing."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _write(folder: Path, port: int, service: str, sites: dict[str, str]) -> None:
    config = _replaced(
        (SHIPPED / "nginx.conf").read_text(encoding="utf-8"),
        {
            "listen 8080": f"listen 127.0.0.1:{port}",
            " /tmp/": " tmp/",
            " /etc/nginx/": " ",
            "/dev/stdout": "stdout",
            "/dev/stderr": "stderr",
            "worker_processes auto": "worker_processes 1",
        },
    ).replace("include ", f"include {folder}/")
    (folder / "tmp").mkdir(parents=True)
    (folder / "sites").mkdir()
    (folder / "nginx.conf").write_text(config, encoding="utf-8")
    conf = _replaced((SHIPPED / "service.conf").read_text(encoding="utf-8"), {"service:8000": service})
    (folder / "service.conf").write_text(conf, encoding="utf-8")
    for name, text in sites.items():
        (folder / "sites" / name).write_text(text, encoding="utf-8")


@asynccontextmanager
async def running_nginx(folder: Path, service: str, sites: dict[str, str] | None = None) -> AsyncIterator[Nginx]:
    """`service` is host:port; `sites` are further files of sites/ by their names."""
    program = shutil.which("nginx")
    assert program is not None
    port = free_port()
    _write(folder, port, service, sites or {})
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers are nobody's, who may not read our folders
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", str(folder), "-c", str(folder / "nginx.conf")),
        *("-e", str(folder / "stderr"), "-g", f"daemon off; {user}"),
    )
    try:
        await _until_listening(process, port, folder)
        yield Nginx(port, folder)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_listening(process: asyncio.subprocess.Process, port: int, folder: Path) -> None:
    for _ in range(100):
        assert process.returncode is None, (folder / "stderr").read_text(encoding="utf-8")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise AssertionError("nginx does not listen after 10 s")
