"""What the process needs of the machine it runs on. Run as the service's own user, or its rights are not seen."""

import asyncio
import errno
import os
import resource
import socket
from pathlib import Path

import httpx

from auth_service.config import Settings
from auth_service.core.connections import Resources
from auth_service.doctor.finding import Finding

CLIENTS = 400  # connections that one process should be able to hold at once
ASK_SECONDS = 3.0


async def log_file(resources: Resources) -> list[Finding]:
    """Whether LOG_FILE and its folder can be written; nothing is made, or it would belong to who runs this."""
    path = resources.settings.log_file
    problem = None if path is None else _obstacle(path)
    if path is None or problem is None:
        return []
    fix = f"make {path.parent} a folder that the service's user owns, or leave LOG_FILE out: standard error has it all"
    return [Finding("log_file", "LOG_FILE", problem, fix)]


async def port(resources: Resources) -> list[Finding]:
    """Whether HOST:PORT can be listened on; this very service, if it runs there already, may."""
    settings = resources.settings
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((settings.host, settings.port))
            probe.listen(1)
        except socket.gaierror:
            return [Finding("port", "HOST", "is no address", "set an address of this machine, or 0.0.0.0 for all")]
        except PermissionError:
            fix = "set a port above 1023; the proxy in front has 443"
            return [Finding("port", "PORT", f"{settings.port} is for root only", fix)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                fix = "set an address of this machine, or 0.0.0.0 for all"
                return [Finding("port", "HOST", f"cannot be listened on: {os.strerror(error.errno or 0)}", fix)]
        else:
            return []
    if await _is_ours(settings):
        return []
    fix = f"stop what listens there (`ss -ltnp 'sport = :{settings.port}'` names it), or set another PORT"
    return [Finding("port", "PORT", f"{settings.port} is taken by another program", fix)]


async def file_descriptors(resources: Resources) -> list[Finding]:
    """A process that runs out of them refuses clients and loses its stores at the same moment."""
    settings = resources.settings
    pools = 2 * settings.database_pool_size + settings.redis_pool_size
    needed = pools + CLIENTS
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return []
    problem = f"{limit} open files are allowed, a process needs {needed}: {pools} for its pools, {CLIENTS} for clients"
    fix = "raise it: LimitNOFILE=65536 (systemd), --ulimit nofile=65536 (Docker), or `ulimit -n 65536`"
    return [Finding("file_descriptors", "RLIMIT_NOFILE", problem, fix)]


def _obstacle(path: Path) -> str | None:
    # os.path.exists is False too where we may not look.
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return f"lies in a folder that cannot be written: {folder}"
    if os.path.exists(path) and not (path.is_file() and os.access(path, os.W_OK)):
        return "cannot be written"
    return None


async def _is_ours(settings: Settings) -> bool:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    address = f"[{reachable}]" if ":" in reachable else reachable
    host = {"Host": "localhost" if "*" in settings.allowed_hosts else settings.allowed_hosts[0]}
    try:
        async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as http, asyncio.timeout(ASK_SECONDS):
            answer = await http.get(f"http://{address}:{settings.port}/health/live", headers=host)
            return answer.content == b'{"status":"alive"}'
    except (httpx.HTTPError, TimeoutError):
        return False
