"""The alarms by promtool, and a real Prometheus that reads the service while Kafka goes and comes back."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT, Fresh
from tests.support.api import PASSWORD, V1, unique
from tests.support.kafka import Broker
from tests.support.service_process import free_port

DEPLOY = ROOT / "deploy" / "prometheus"
PATIENCE_SECONDS = 120
# Of the very first start: the new Redis is empty.
EXPECTED = {"AuthDenylistRebuilt"}

with_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed here")
with_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed here")


@with_promtool
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@with_promtool
@pytest.mark.parametrize("broken", ["vector(1) > 2", "vector(1)"])
def test_promtool_notices_each_alarm_that_is_never_there_or_always(tmp_path: Path, broken: str) -> None:
    shipped = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
    (group,) = shipped["groups"]
    for rule in group["rules"]:
        rule["expr"] = broken
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(shipped), encoding="utf-8")
    shutil.copy(DEPLOY / "alerts_test.yml", tmp_path)
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    noticed = set(re.findall(r"alertname=\W+(Auth\w+)", done.stderr))
    assert noticed == {rule["alert"] for rule in group["rules"]}
    print(f"{len(noticed)} alarms broken, {len(noticed)} noticed")


@with_prometheus
async def test_a_real_prometheus_raises_the_alarm_when_kafka_goes(fresh: Fresh, tmp_path: Path) -> None:
    """The shipped configuration, but for the address, and with a minute made three seconds."""
    broker = Broker.at(tmp_path / "kafka")
    await broker.start()
    try:
        settings = await fresh.settings(kafka_bootstrap=broker.address)
        service = await fresh.service(settings, workers=2)
        async with prometheus_of(service.base_url.removeprefix("http://"), tmp_path) as prometheus:
            await prometheus.until("the target is up", lambda: prometheus.targets() == ["up"])
            await prometheus.refresh()
            rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
            assert prometheus.rules() == {rule["alert"]: "ok" for rule in rules}
            await register(service.http)
            await asyncio.sleep(8)
            await prometheus.refresh()
            assert prometheus.firing() <= EXPECTED
            print("quiet while Kafka is there")

            await broker.stop()
            await register(service.http)
            await prometheus.until("AuthEventsLate fires", lambda: "AuthEventsLate" in prometheus.firing())
            assert prometheus.firing() - EXPECTED == {"AuthEventsLate"}
            (alert,) = [alert for alert in prometheus.alerts if alert["labels"]["alertname"] == "AuthEventsLate"]
            print(alert["annotations"]["summary"])
            assert re.fullmatch(r"The oldest event has been waiting for Kafka for .+s", alert["annotations"]["summary"])

            await broker.start()
            await prometheus.until("it is over", lambda: prometheus.firing() <= EXPECTED)
    finally:
        await broker.stop()


async def register(http: httpx.AsyncClient) -> None:
    """An event, whether Kafka is there or not."""
    login = unique("watched")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    assert (await http.post(f"{V1}/auth/register", json=body)).status_code == 201


class Prometheus:
    """What it knew at the last `refresh`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._known: dict[str, Any] = {}
        self.alerts: list[dict[str, Any]] = []

    async def refresh(self) -> None:
        for part in ("targets", "rules", "alerts"):
            answer = await self._http.get(f"/api/v1/{part}")
            assert answer.status_code == 200, answer.text
            self._known[part] = answer.json()["data"]
        self.alerts = self._known["alerts"]["alerts"]

    def targets(self) -> list[str]:
        return [target["health"] for target in self._known["targets"]["activeTargets"]]

    def rules(self) -> dict[str, str]:
        return {rule["name"]: rule["health"] for group in self._known["rules"]["groups"] for rule in group["rules"]}

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.alerts if alert["state"] == "firing"}

    async def until(self, what: str, happened: Callable[[], bool]) -> None:
        started = asyncio.get_running_loop().time()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.refresh()
            while not happened():
                await asyncio.sleep(0.5)
                await self.refresh()
        print(f"{what}: after {asyncio.get_running_loop().time() - started:.0f} s")


@asynccontextmanager
async def prometheus_of(target: str, folder: Path) -> AsyncIterator[Prometheus]:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    alarms = (DEPLOY / "alerts.yml").read_text(encoding="utf-8")
    faster = re.sub(r"for: \w+", "for: 3s", alarms).replace(
        "auth_events_lag_seconds) > 60", "auth_events_lag_seconds) > 3"
    )
    assert faster.count("> 3\n") == 1
    (folder / "alerts.yml").write_text(faster, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30, trust_env=False) as http:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await _is_ready(http):
                    assert process.returncode is None, (folder / "prometheus.log").read_text()
                    await asyncio.sleep(0.2)
            yield Prometheus(http)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).status_code == 200
    except httpx.TransportError:
        return False
