"""Alarms and dashboard ask for what the service has, each alarm is tested, and the table of metrics is whole."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio as aioredis
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, Fresh
from tests.support.api import V1
from tests.support.service_process import free_port

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
OF_PROMETHEUS = {"up", "ALERTS"}
ITS_LABELS = {"job", "instance", "alertstate", "alertname"}
# What PromQL has besides metrics and labels, as far as these files use it.
FUNCTIONS = {"sum", "min", "max", "rate", "increase", "histogram_quantile", "topk", "absent", "vector", "label_replace"}
WORDS = FUNCTIONS | {"by", "and", "or", "le"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "auth-service.json").read_text(encoding="utf-8"))
    return loaded


def expressions() -> Iterator[tuple[str, str]]:
    """(where it stands, PromQL)."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard()["templating"]["list"]:
        yield variable["name"], variable["definition"].replace("label_values(", "max(").replace(", instance", "")


def asked(promql: str) -> Iterator[tuple[str, str]]:
    """(name of the metric, what stands in its braces)."""
    bare = re.sub(r"\b(?:by|without) \([^)]*\)", "", promql)
    bare = re.sub(r"\[[^]]*\]", "", bare)
    for name, _, braces in re.findall(r"([a-zA-Z_]\w*)\s*(\{([^}]*)\})?", re.sub(r'"[^"]*"(?![^{]*\})', "", bare)):
        if name not in WORDS:
            yield name, braces


@pytest.fixture
async def samples(fresh: Fresh) -> dict[str, dict[str, set[str]]]:
    """What the service shows with all its parts in use: the labels of each metric, and their values."""
    settings = await fresh.settings(
        kafka_bootstrap=f"127.0.0.1:{free_port()}", smtp_url=f"smtp://127.0.0.1:{free_port()}", relay_in_workers=False
    )
    async with aioredis.Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.config_set("maxmemory", "1gb")
        try:
            api = await fresh.on(settings)
            account, tokens = await api.as_role()
            await api.log_in_as(account.login, "a wrong password")
            await api.check(tokens, "films:read")
            assert (await api.refresh(tokens.refresh)).status_code == 200
            assert (await api.me(tokens)).status_code == 200
            assert (await api.http.get(f"{V1}/nothing")).status_code == 404
            text = (await api.http.get("/metrics")).text
        finally:
            await redis.config_set("maxmemory", "0")
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, defaultdict(set))
            for name, value in sample.labels.items():
                labels[name].add(value)
    return found


async def test_what_alarms_and_dashboard_ask_for_is_there(samples: dict[str, dict[str, set[str]]]) -> None:
    """Names, labels and the values of labels: an alarm on a name with a slip in it is quiet for ever."""
    names = set()
    for where, promql in expressions():
        for name, braces in asked(promql):
            names.add(name)
            if name in OF_PROMETHEUS:
                continue
            assert name in samples, f"{where}: {name}"
            for label, match, value in re.findall(r'(\w+)(=~|=|!=|!~)"([^"]*)"', braces):
                if label in ITS_LABELS:
                    continue
                assert label in samples[name], f"{where}: {name} has no label {label}"
                if match in {"=", "=~"} and "." not in value:
                    assert set(value.split("|")) <= samples[name][label], f"{where}: {label}={value}"
            grouped = re.findall(r"\bby \(([^)]*)\)", promql)
            for label in {part.strip() for group in grouped for part in group.split(",")}:
                assert any(label in labels for labels in samples.values()), f"{where}: nothing has a label {label}"
    assert len(names) > 18


async def test_the_table_of_metrics_is_whole(samples: dict[str, dict[str, set[str]]]) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(auth_\w+)` \|", page, re.MULTILINE)
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in samples if not name.endswith("_created")}
    assert sorted(listed) == sorted(shown)


def test_every_alarm_is_tested_quiet_and_loud() -> None:
    cases = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    alarms = [rule["alert"] for rule in rules()]
    assert len(alarms) == len(set(alarms))
    assert {case["name"] for case in cases} == set(alarms)
    for alarm in alarms:
        looks = [look for case in cases if case["name"] == alarm for look in case["promql_expr_test"]]
        assert {bool(look["exp_samples"]) for look in looks} == {True, False}, alarm
        assert all(f'alertname="{alarm}", alertstate="firing"' in look["expr"] for look in looks), alarm


def test_every_alarm_says_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        text = (ROOT / page).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)
        }
        assert not anchor or anchor in headings, rule["annotations"]["runbook"]
        assert len(rule["annotations"]["description"]) > 40, rule["alert"]


def test_the_page_lists_every_alarm() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(Auth\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert listed == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def test_prometheus_and_grafana_find_what_they_need() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert [(PROMETHEUS / name).is_file() for name in config["rule_files"]] == [True]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "auth-service"
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) <= compose["services"].keys()
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    uids = {source["uid"] for source in sources["datasources"]}
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == uids
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["description"] for panel in panels)
