"""Redis as operators run it: a cluster, and a master with a replica and three Sentinels; real processes on loopback."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis as sync_redis
from redis.cluster import ClusterNode
from redis.sentinel import Sentinel

from auth_service.embedded.redis import redis_server
from auth_service.store_urls.redis import Kind, read_redis_url

PATIENCE = 60  # a busy machine is no failure
PASSWORD, SENTINEL_PASSWORD = "of-the-data", "of-the-sentinels"
SERVICE = "cinema"
SLOTS = 16384
DOWN_AFTER_MS = 500


@dataclass
class Node:
    """One redis-server; `kill` is the machine's end, `start` its return, with the data it had if it kept them."""

    folder: Path
    port: int
    options: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_sentinel(self) -> bool:
        return "--sentinel" in self.options

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(redis_server()), *self.options]
        if not self.is_sentinel:
            command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        until(self._answers, f"{self.folder.name} answers")

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ask(self, *command: Any) -> Any:
        password = SENTINEL_PASSWORD if self.is_sentinel else PASSWORD
        with sync_redis.Redis(port=self.port, password=password, decode_responses=True, socket_timeout=5) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return bool(self.ask("PING"))


@dataclass
class Topology:
    url: str
    nodes: list[Node] = field(default_factory=list)  # that hold data
    sentinels: list[Node] = field(default_factory=list)

    def stop(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            node.kill()

    def master(self) -> Node:
        """Of the service, as the Sentinels see it."""
        _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(node for node in self.nodes if node.port == int(port))


def until(is_so: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(sync_redis.RedisError):
            if is_so():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


@contextlib.contextmanager
def single(folder: Path) -> Iterator[Topology]:
    """One server that writes its file."""
    node = Node(folder / "node", _ports(1)[0], list(_DATA))
    topology = Topology(f"redis://:{PASSWORD}@127.0.0.1:{node.port}/0", [node])
    try:
        node.start()
        yield topology
    finally:
        topology.stop()


@contextlib.contextmanager
def cluster(folder: Path, *, replicas: bool = False) -> Iterator[Topology]:
    """Three masters, and a replica for each if asked for; whole when it is handed out."""
    nodes = [Node(folder / f"node-{number}", port, []) for number, port in enumerate(_ports(6 if replicas else 3))]
    for node in nodes:
        node.options = [
            *_DATA,
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
            *("--cluster-config-file", str(node.folder / "nodes.conf")),
            # A slot without a master is no reason to refuse the others.
            *("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"),
        ]
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    topology = Topology(f"redis+cluster://:{PASSWORD}@{hosts}", nodes)
    try:
        for number, node in enumerate(nodes):
            node.start()
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                node.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        for number, master in enumerate(nodes[:3]):
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3
            master.ask("CLUSTER", "ADDSLOTS", *range(first, last))
        for master, replica in zip(nodes[:3], nodes[3:], strict=False):
            until(lambda master=master, replica=replica: _replicate(master, replica), "a replica")
        until(lambda: all(_is_whole(node, len(nodes)) for node in nodes), "the cluster is whole")
        yield topology
    finally:
        topology.stop()


@contextlib.contextmanager
def sentinel_set(folder: Path) -> Iterator[Topology]:
    """A master, its replica and three Sentinels, two of which decide after DOWN_AFTER_MS."""
    ports = _ports(5)
    nodes = [Node(folder / f"node-{number}", ports[number], list(_DATA)) for number in range(2)]
    nodes[1].options += ["--replicaof", "127.0.0.1", str(nodes[0].port)]
    sentinels = [Node(folder / f"sentinel-{number}", ports[2 + number], []) for number in range(3)]
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    query = f"service={SERVICE}&sentinel_password={SENTINEL_PASSWORD}"
    topology = Topology(f"redis+sentinel://:{PASSWORD}@{hosts}/0?{query}", nodes, sentinels)
    try:
        for node in nodes:
            node.start()
        until(lambda: "master_link_status:up" in _info(nodes[1]), "the replica follows")
        for sentinel in sentinels:
            sentinel.folder.mkdir(parents=True)
            conf = sentinel.folder / "sentinel.conf"
            conf.write_text(
                f"port {sentinel.port}\nbind 127.0.0.1\ndir {sentinel.folder}\nrequirepass {SENTINEL_PASSWORD}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {nodes[0].port} 2\nsentinel auth-pass {SERVICE} {PASSWORD}\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 3000\nsentinel parallel-syncs {SERVICE} 1\n"
            )
            sentinel.options = [str(conf), "--sentinel"]
            sentinel.start()
        until(lambda: all(_sees_everyone(sentinel) for sentinel in sentinels), "the Sentinels know each other")
        yield topology
    finally:
        topology.stop()


def flush(url: str) -> None:
    """Everything that REDIS_URL leads to is forgotten at once, on each master."""
    address = read_redis_url(url)
    if address.kind is Kind.SINGLE:
        with sync_redis.Redis.from_url(url) as single:
            single.flushdb()
    elif address.kind is Kind.SENTINEL:
        sentinels = Sentinel(address.hosts, sentinel_kwargs=address.sentinel_options)
        sentinels.master_for(address.service, **address.options).flushdb()
    else:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        with sync_redis.RedisCluster(startup_nodes=nodes, **address.options) as several:
            several.flushall(target_nodes=sync_redis.RedisCluster.PRIMARIES)


_DATA = (
    *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
    *("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync", "yes"),
    *("--repl-diskless-sync-delay", "0"),
)


def _ports(count: int) -> list[int]:
    """Below those that the system gives out, and with the cluster's bus 10,000 above them free as well."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 20_000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            if port not in found:
                found.append(port)
    return found


def _info(node: Node) -> str:
    with sync_redis.Redis(port=node.port, password=PASSWORD, decode_responses=True) as client:
        return "\n".join(f"{name}:{value}" for name, value in client.info("replication").items())


def _replicate(master: Node, replica: Node) -> bool:
    return bool(replica.ask("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID")))


def _is_whole(node: Node, size: int) -> bool:
    with sync_redis.Redis(port=node.port, password=PASSWORD, decode_responses=True) as client:
        info = client.execute_command("CLUSTER INFO")
    known = info if isinstance(info, dict) else dict(line.split(":") for line in str(info).splitlines() if ":" in line)
    whole = known["cluster_state"] == "ok" and int(known["cluster_slots_ok"]) == SLOTS
    return whole and int(known["cluster_known_nodes"]) == size and int(known["cluster_size"]) == 3


def _sees_everyone(sentinel: Node) -> bool:
    with sync_redis.Redis(port=sentinel.port, password=SENTINEL_PASSWORD, decode_responses=True) as client:
        master = client.sentinel_master(SERVICE)
    return bool(master["num-other-sentinels"] == 2 and master["num-slaves"] == 1)
