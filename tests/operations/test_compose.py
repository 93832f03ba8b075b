"""docker-compose.yml as it is shipped: the quickstart through nginx, events in Kafka, a replica killed, all replaced.

`make compose-check` runs it; it takes some minutes, and leaves nothing behind. KAFKA_IMAGE names another Kafka.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.operations.load import calling
from tests.support.api import V1, unique
from tests.support.service_process import free_port

PROJECT = f"auth-check-{os.getpid()}"
PASSWORD = "a password of the check"
CALLERS = 12
BEFORE, AFTER = 3.0, 8.0
READ_TOPIC = """
import json, sys, time
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": "kafka:9092", "group.id": "check", "auto.offset.reset": "earliest"})
consumer.subscribe(["uploading_data"])
end = time.monotonic() + 60
while time.monotonic() < end:
    message = consumer.poll(1.0)
    if message is not None and message.error() is None and sys.argv[1] in message.value().decode():
        print(message.value().decode())
        break
"""

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0,
    reason="needs a Docker engine that runs: docker",
)


def say(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass
class Stack:
    base_url: str
    environment: dict[str, str]
    command: list[str]
    http: httpx.AsyncClient

    async def compose(self, *arguments: str, seconds: float = 120) -> str:
        return await run(*self.command, *arguments, environment=self.environment, seconds=seconds)

    async def replicas(self) -> list[str]:
        return (await self.compose("ps", "-q", "service")).split()

    async def until_healthy(self, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        for container in await self.replicas():
            while await run("docker", "inspect", "-f", "{{.State.Health.Status}}", container) != "healthy":
                assert time.monotonic() < deadline, await run("docker", "logs", "--tail", "30", container)
                await asyncio.sleep(0.5)

    async def new_bearer(self, login: str) -> dict[str, str]:
        body = {"login": login, "password": PASSWORD}
        for path in ("/auth/register", "/auth/login"):
            more = {"email": f"{login}@example.com"} if path == "/auth/register" else {}
            answer = await self.http.post(f"{V1}{path}", json=body | more)
            assert answer.is_success, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def run(*command: str, environment: dict[str, str] | None = None, seconds: float = 60) -> str:
    """What it printed; fails with all that it said."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, complaints = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        raise AssertionError(f"{' '.join(command)} took more than {seconds} s") from None
    assert process.returncode == 0, f"{' '.join(command)}\n{output.decode()}\n{complaints.decode()}"
    return output.decode().strip()


def compose_command() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    return ["docker", "compose"] if plugin else ["docker-compose"]


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    port = free_port()
    environment = os.environ | {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "PORT": str(port),
        "ISSUER": f"http://localhost:{port}",
        "EDGE_SUBNET": "10.203.27.0/24",
        "BACK_SUBNET": "10.203.28.0/24",
        "KAFKA_BOOTSTRAP": "kafka:9092",
        "WORKERS": "1",
        "DATABASE_TIMEOUT_SECONDS": "20",  # a busy machine is no failure
        "REDIS_TIMEOUT_MS": "5000",
    }
    base_url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base_url, timeout=60, trust_env=False) as http:
        stack = Stack(base_url, environment, [*compose_command(), "--profile", "kafka"], http)
        try:
            say("building (minutes the first time)")
            await stack.compose("build", seconds=900)
            say("starting two replicas, nginx, Postgres, Redis and Kafka")
            await stack.compose("up", "-d", seconds=300)
            await stack.until_healthy()
            yield stack
        finally:
            say("removing everything")
            await stack.compose("down", "--volumes", "--timeout", "40", seconds=180)


@pytest.fixture(scope="module")
async def bearers(stack: Stack) -> list[dict[str, str]]:
    """Few accounts, since registrations are limited by address; each of them calls several times at once."""
    accounts = [await stack.new_bearer(unique("load")) for _ in range(3)]
    return [accounts[number % len(accounts)] for number in range(CALLERS)]


async def test_the_quickstart_passes_through_nginx(stack: Stack) -> None:
    environment = {"PATH": os.environ["PATH"], "BASE": stack.base_url}
    output = await run(sys.executable, "scripts/run_doc.py", "docs/quickstart.md", environment=environment)
    assert "grant_expired" in output


async def test_a_new_user_is_read_from_kafka(stack: Stack) -> None:
    login = unique("kafka")
    await stack.new_bearer(login)
    printed = await stack.compose("exec", "-T", "service", "python", "-c", READ_TOPIC, login, seconds=90)
    event: dict[str, Any] = json.loads(printed)
    assert login in json.dumps(event)
    say(f"read from Kafka: {sorted(event)}")


async def test_edg_1_the_history_has_the_address_that_nginx_saw(stack: Stack, bearers: list[dict[str, str]]) -> None:
    """And not the one that the client wrote, nor that of nginx, which would be one bucket for everybody."""
    forged = {"X-Forwarded-For": "203.0.113.77"}
    login = unique("client")
    await stack.new_bearer(login)
    answer = await stack.http.post(f"{V1}/auth/login", json={"login": login, "password": PASSWORD}, headers=forged)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    history = (await stack.http.get(f"{V1}/users/me/login-history", headers=bearer)).json()["items"]
    nginx = await stack.compose("ps", "-q", "nginx")
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}"
    address, gateway = (await run("docker", "inspect", "-f", template, nginx)).split()
    say(f"seen as {history[0]['ip']}; nginx is {address}, this machine {gateway}")
    assert history[0]["ip"] == gateway  # what Docker makes of a connection from this machine
    assert history[0]["ip"] != address


async def test_sec_5_containers_run_without_root_on_read_only_files(stack: Stack) -> None:
    for service in ("service", "nginx"):
        printed = await stack.compose("exec", "-T", service, "sh", "-c", "id -u; touch /etc/x /x 2>&1 || true")
        user, *complaints = printed.splitlines()
        assert int(user) > 0
        assert len([line for line in complaints if "Read-only file system" in line]) == 2, printed
        container = (await stack.compose("ps", "-q", service)).split()[0]
        state = await run("docker", "inspect", "-f", "{{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}", container)
        assert state == "[ALL] [no-new-privileges:true]"


async def test_adm_2_the_public_port_shows_no_metrics_and_the_networks_own_does(stack: Stack) -> None:
    for path in ("/metrics", "/metrics/", "/metrics?x", "//metrics", "/%6detrics", "/x/../metrics"):
        answer = await stack.http.get(path)
        assert answer.status_code == 404, path
    replica = (await stack.replicas())[0]
    template = '{{(index .NetworkSettings.Networks "' + PROJECT + '_back").IPAddress}}'
    address = await run("docker", "inspect", "-f", template, replica)
    ask = f"import urllib.request as r; print(r.urlopen('http://{address}:8000/metrics').read().decode()[:40])"
    assert "# HELP" in await stack.compose("exec", "-T", "service", "python", "-c", ask)


async def test_a_killed_replica_takes_no_request_with_it_but_those_in_its_hands(
    stack: Stack, bearers: list[dict[str, str]]
) -> None:
    victim = (await stack.replicas())[0]
    async with calling(stack.base_url, bearers) as load:
        await asyncio.sleep(BEFORE)
        await run("docker", "kill", victim)
        killed = time.monotonic()
        say(f"killed one of two replicas with {len(bearers)} callers at work")
        await asyncio.sleep(AFTER)
    say(load.told())
    await run("docker", "start", victim)
    await stack.until_healthy()
    assert len(load.seconds) > 200
    assert len(load.failures) <= len(bearers)
    assert all(failure.call == "PATCH /users/me" for failure in load.failures)  # what nginx may not send twice
    assert all(failure.moment < killed + 2 for failure in load.failures)


async def test_rel_7_a_rolling_restart_fails_no_request(stack: Stack, bearers: list[dict[str, str]]) -> None:
    before = set(await stack.replicas())
    environment = stack.environment | {"COMPOSE": " ".join(stack.command)}
    async with calling(stack.base_url, bearers) as load:
        await asyncio.sleep(BEFORE)
        printed = await run("sh", "deploy/rolling-restart.sh", environment=environment, seconds=300)
        await asyncio.sleep(BEFORE)
    say(printed.splitlines()[-1])
    say(load.told())
    after = set(await stack.replicas())
    assert len(after) == len(before) == 2
    assert not after & before
    assert len(load.seconds) > 200
    assert load.failures == []
