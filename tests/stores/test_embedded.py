"""The embedded servers: what an operator meets when a start was interrupted, repeated or left behind."""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis import Redis

from auth_service.embedded import postgres as embedded_postgres
from auth_service.embedded import server as embedded_server
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import redis_server, start_redis
from auth_service.embedded.server import EmbeddedError, EmbeddedServer

START_AND_DIE = """
import os, signal, sys
from pathlib import Path
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
folder = Path(sys.argv[1])
servers = start_postgres(folder / "postgres", durable=False), start_redis(folder / "redis", durable=True)
print(*(word for server in servers for word in (server.pid, server.url)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PostgreSQL data that exist and are not in use; made once, because making them takes longest."""
    folder = tmp_path_factory.mktemp("shared") / "postgres"
    start_postgres(folder, durable=False).stop()
    return folder


@pytest.fixture
def started() -> Iterator[list[EmbeddedServer]]:
    """Servers that are put here get stopped even when the test fails."""
    servers: list[EmbeddedServer] = []
    yield servers
    for server in servers:
        server.stop()


def run_sql(server: EmbeddedServer, *statements: str, **options: str) -> str:
    async def run() -> str:
        connection = await asyncpg.connect(server.url, **options)
        try:
            return [str(await connection.fetchval(statement)) for statement in statements][-1]
        finally:
            await connection.close()

    # In a thread, because the loop of the other tests belongs to this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def taken_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_postgres_keeps_its_data_and_its_secret_over_two_starts(tmp_path: Path, started: list[EmbeddedServer]) -> None:
    folder = tmp_path / "postgres"
    started.append(first := start_postgres(folder, durable=False))
    run_sql(first, "CREATE TABLE film (title text)", "INSERT INTO film VALUES ('Матрица')")
    assert (folder / "embedded_password").stat().st_mode & 0o777 == 0o600
    first.stop()
    started.append(second := start_postgres(folder, durable=True))
    assert run_sql(second, "SELECT title FROM film") == "Матрица"
    assert run_sql(second, "SHOW fsync") == "on"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["postgres", "postgres.log"]


def test_postgres_listens_on_loopback_with_a_password(cluster: Path, started: list[EmbeddedServer]) -> None:
    started.append(server := start_postgres(cluster, durable=False))
    listening = psutil.Process(server.pid).net_connections(kind="all")
    assert {item.laddr[0] for item in listening if item.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert run_sql(server, "SHOW max_connections") == "200"
    assert run_sql(server, "SHOW server_encoding") == "UTF8"
    with pytest.raises(asyncpg.InvalidPasswordError):
        run_sql(server, "SELECT 1", password="guessed")


def test_redis_keeps_its_data_only_when_durable(tmp_path: Path, started: list[EmbeddedServer]) -> None:
    for durable, remembered in ((True, "neo"), (False, None)):
        folder = tmp_path / f"redis-{durable}"
        started.append(first := start_redis(folder, durable=durable))
        with Redis.from_url(first.url, decode_responses=True) as client:
            client.set("who", "neo")
            wanted = {"maxmemory-policy": "noeviction", "bind": "127.0.0.1", "save": ""}
            assert {name: client.config_get(name)[name] for name in wanted} == wanted
        first.stop()
        started.append(second := start_redis(folder, durable=durable))
        with Redis.from_url(second.url, decode_responses=True) as client:
            assert client.get("who") == remembered


def test_stop_can_be_called_again(cluster: Path, tmp_path: Path) -> None:
    for server in (start_postgres(cluster, durable=False), start_redis(tmp_path / "redis", durable=False)):
        assert server.is_running()
        server.stop()
        assert not psutil.pid_exists(server.pid)
        server.stop()


@pytest.mark.parametrize("content", [{}, {"PG_VERSION": "18\n"}, {"PG_VERSION": "?"}, {"notes.txt": "mine"}])
def test_half_made_folder_is_named_with_the_remedy(tmp_path: Path, content: dict[str, str]) -> None:
    folder = tmp_path / "postgres"
    if content:
        folder.mkdir()
    else:
        folder.write_text("a file, not a folder")
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(EmbeddedError) as failure:
        start_postgres(folder, durable=False)
    assert str(failure.value) == (f"{folder} is not a complete PostgreSQL data folder: delete it and start again")


def test_folder_of_another_major_version_is_named_with_both_versions(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    (folder / "global").mkdir(parents=True)
    (folder / "PG_VERSION").write_text("9\n")
    (folder / "global" / "pg_control").touch()
    (folder / "embedded_password").touch()
    with pytest.raises(EmbeddedError, match=r"was made by PostgreSQL 9, but \d+ is installed: delete it"):
        start_postgres(folder, durable=False)


def test_remains_of_an_interrupted_first_start_are_removed(tmp_path: Path, started: list[EmbeddedServer]) -> None:
    remains = tmp_path / "postgres.new-0badcafe" / "cluster"
    remains.mkdir(parents=True)
    (remains / "PG_VERSION").write_text("18\n")
    started.append(server := start_postgres(tmp_path / "postgres", durable=False))
    assert run_sql(server, "SELECT 1") == "1"
    assert not remains.parent.exists()


def test_killed_postgres_starts_again(cluster: Path, started: list[EmbeddedServer]) -> None:
    started.append(server := start_postgres(cluster, durable=False))
    os.kill(server.pid, signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    assert (cluster / "postmaster.pid").exists()
    started.append(again := start_postgres(cluster, durable=False))
    assert run_sql(again, "SELECT 1") == "1"


def test_pid_file_with_a_strangers_number_does_not_stop_the_start(
    cluster: Path, tmp_path: Path, started: list[EmbeddedServer]
) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lines = [str(stranger.pid), str(cluster), "1", "5432", "", "127.0.0.1", "", "ready", ""]
        (cluster / "postmaster.pid").write_text("\n".join(lines))
        started.append(postgres := start_postgres(cluster, durable=False))
        (tmp_path / "redis").mkdir()
        (tmp_path / "redis" / "redis.pid").write_text(str(stranger.pid))
        started.append(start_redis(tmp_path / "redis", durable=False))
        assert run_sql(postgres, "SELECT 1") == "1"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_servers_of_a_killed_parent_are_adopted_and_stopped(tmp_path: Path) -> None:
    parent = subprocess.run(
        [sys.executable, "-c", START_AND_DIE, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    postgres_pid, postgres_url, redis_pid, redis_url = parent.stdout.split()
    postgres = start_postgres(tmp_path / "postgres", durable=False)
    redis = start_redis(tmp_path / "redis", durable=True)
    try:
        assert (postgres.pid, postgres.url) == (int(postgres_pid), postgres_url)
        assert (redis.pid, redis.url) == (int(redis_pid), redis_url)
        assert run_sql(postgres, "SELECT 1") == "1"
    finally:
        postgres.stop()
        redis.stop()
    for server in (postgres, redis):
        assert not server.is_running()
        server.stop()


def test_port_that_was_taken_meanwhile_is_replaced(
    tmp_path: Path, started: list[EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken_port() as listener:
        free_port = embedded_server.free_port
        offers = iter([listener.getsockname()[1], free_port()])
        monkeypatch.setattr(embedded_server, "free_port", lambda: next(offers))
        started.append(start_redis(tmp_path / "redis", durable=False))
        assert started[0].is_running()


def test_failed_start_tells_the_reason_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as listener:
        monkeypatch.setattr(embedded_server, "free_port", lambda: listener.getsockname()[1])
        with pytest.raises(EmbeddedError) as failure:
            start_redis(tmp_path / "redis", durable=False)
    assert "Redis did not start: " in str(failure.value)
    assert f"the whole story is in {tmp_path / 'redis.log'}" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for start in (start_postgres, start_redis):
        with pytest.raises(EmbeddedError, match="choose another data folder"):
            start(tmp_path / "file" / "data", durable=False)


def test_missing_wheel_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match=r"pip install 'auth-service\[embedded\]'"):
        start_postgres(tmp_path / "data", durable=False)
    with pytest.raises(EmbeddedError, match=r"install redis-server .* or set REDIS_URL"):
        start_redis(tmp_path / "data", durable=False)


def test_redis_on_the_path_serves_where_no_package_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[EmbeddedServer]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(redis_server())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    started.append(start_redis(tmp_path / "data", durable=False))
    assert Redis.from_url(started[0].url).ping()


def test_root_without_any_way_to_step_down_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match="start as another user, or set DATABASE_URL"):
        start_postgres(tmp_path / "postgres", durable=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
@pytest.mark.parametrize("namespaces", ["allowed", "forbidden"])
def test_root_runs_postgres_from_a_closed_folder(
    tmp_path: Path, started: list[EmbeddedServer], monkeypatch: pytest.MonkeyPatch, namespaces: str
) -> None:
    home = tmp_path / "root"
    home.mkdir(mode=0o700)
    installed = embedded_server.package_folder("embedded_postgres", "PostgreSQL")
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.parent / name, home / name)
    monkeypatch.setattr(embedded_postgres, "package_folder", lambda *names: home / "embedded_postgres")
    if namespaces == "forbidden":
        unshare = tmp_path / "bin" / "unshare"
        unshare.parent.mkdir()
        unshare.write_text("#!/bin/sh\nexit 1\n")
        unshare.chmod(0o755)
        monkeypatch.setenv("PATH", f"{unshare.parent}:{os.environ['PATH']}")
    started.append(server := start_postgres(home / "postgres", durable=False))
    # In a container that forbids namespaces the first case is like the second.
    assert namespaces == "allowed" or psutil.Process(server.pid).uids().real == 65534
    assert run_sql(server, "SELECT 1") == "1"
    server.stop()
    monkeypatch.undo()
    started.append(again := start_postgres(home / "postgres", durable=False))
    assert run_sql(again, "SELECT 1") == "1"
