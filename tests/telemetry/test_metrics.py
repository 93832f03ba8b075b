"""What Prometheus reads: counts of every worker, labels without bound or person, and for nobody else."""

import asyncio
import gzip
import os
import re
import signal
import threading
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from auth_service.core import store_gauges as measures
from auth_service.core.telemetry.metrics import Metrics
from auth_service.sessions.partition_upkeep import keep_up
from tests.conftest import Fresh, flush, running_app
from tests.support.api import PASSWORD, V1, Api, StoppedClock, error_of
from tests.support.scrape import read, value
from tests.support.service_process import free_port
from tests.support.tcp_gate import gate_to

PATIENCE_SECONDS = 60


async def test_log_7_failed_and_good_logins_are_counted_by_their_outcome(fresh: Fresh) -> None:
    """The share of failures over all accounts and addresses is what an alarm goes by."""
    api = await fresh.api()
    account, tokens = await api.as_role()
    for login, password in ((account.login, "a wrong one"), (account.login, "another"), ("nobody-at-all", PASSWORD)):
        assert (await api.log_in_as(login, password)).status_code == 401
    await api.refresh(tokens.refresh)
    await api.check(tokens, "films:read")
    await api.check(tokens, "films:publish")
    samples = await read(api)
    assert value(samples, "auth_logins_total", outcome="right") == 1
    assert value(samples, "auth_logins_total", outcome="wrong_password") == 2
    assert value(samples, "auth_logins_total", outcome="unknown_login") == 1
    assert value(samples, "auth_refreshes_total", outcome="advanced") == 1
    assert value(samples, "auth_permission_checks_total", reason="granted") == 1
    assert value(samples, "auth_permission_checks_total", reason="no_grant") == 1


async def test_labels_are_routes_and_never_what_was_sent(fresh: Fresh) -> None:
    api = await fresh.api()
    account, tokens = await api.as_role("superuser")
    secret = f"canary{uuid4().hex}"
    for path in (f"/users/{account.id}/roles", f"/users/{uuid4()}/roles", f"/{secret}", f"/roles/{secret}"):
        await api.http.get(f"{V1}{path}", headers=tokens.bearer)
    await api.http.request("BREW", f"{V1}/auth/login")
    await api.log_in_as(f"{secret}@example.com", secret)
    samples = await read(api)
    text = "\n".join(samples)
    assert secret not in text
    assert str(account.id) not in text
    assert account.login not in text
    route = "/users/{user_id}/roles"
    assert value(samples, "auth_http_requests_total", method="GET", route=route, status="200") == 1
    assert value(samples, "auth_http_requests_total", method="GET", route=route, status="404") == 1
    assert value(samples, "auth_http_request_seconds_count", route=route) == 2
    assert value(samples, "auth_http_requests_total", method="GET", route="unmatched", status="404") == 1
    assert set(re.findall(r"'method', '([^']*)'", text)) <= {"GET", "POST", "other"}


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "2001:db8::1"])
async def test_adm_2_metrics_do_not_exist_for_the_outside(fresh: Fresh, forwarded: str) -> None:
    api = await fresh.api(trusted_proxies="127.0.0.1")
    outside = await api.http.get("/metrics", headers={"X-Forwarded-For": forwarded})
    assert error_of(outside) == (404, "not_found")
    assert (await api.http.get("/metrics")).status_code == 200
    closed = await fresh.api(metrics_clients="10.0.0.0/8")
    assert error_of(await closed.http.get("/metrics")) == (404, "not_found")


@pytest.mark.parametrize("host", ["10.203.18.7:8000", "10.203.18.7", "[2001:db8::1]:8000"])
async def test_edg_3_metrics_are_read_at_any_address_of_the_replica(api: Api, host: str) -> None:
    """Prometheus knows a replica by what DNS says, which no list can have."""
    assert (await api.http.get("/metrics", headers={"Host": host})).status_code == 200
    for other in ("evil.example", "10.203.18.7.evil.example", "10.203.18.7:8000x", "[]", ""):
        answer = await api.http.get("/metrics", headers={"Host": other})
        assert error_of(answer) == (400, "host_not_allowed")


@pytest.mark.long
async def test_whichever_worker_is_asked_it_tells_of_all(fresh: Fresh) -> None:
    service = await fresh.service(await fresh.settings(), workers=2)
    await asyncio.gather(*(service.http.get("/nothing") for _ in range(60)))
    counts = set()
    for _ in range(20):
        samples = await read(Api(service.http))
        counts.add(value(samples, "auth_http_requests_total", method="GET", route="unmatched", status="404"))
    assert counts == {60}
    wanted = {"Accept": "application/openmetrics-text;version=1.0.0"}
    answer = await service.http.get("/metrics", headers=wanted)
    families = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
    assert {"auth_http_requests", "auth_postgres_up"} <= families


# --- in the format that is asked for

TEXT, OPEN = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_1 = "text/plain; version=1.0.0; charset=utf-8"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
FORMATS = [
    ("", TEXT),
    ("*/*", TEXT),
    ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", TEXT),
    ("application/json", TEXT),
    ("text/plain", TEXT),
    ("text/plain; version=0.0.4", TEXT),
    ("text/plain;version=0.0.4;q=0.5", TEXT),
    ("text/plain;version=1.0.0", f"{PLAIN_1}; escaping=underscores"),
    ("application/openmetrics-text", OPEN),
    ("application/openmetrics-text; version=1.0.0", f"{OPEN}; escaping=underscores"),
    ("application/openmetrics-text;version=1.0.0;escaping=junk", f"{OPEN}; escaping=underscores"),
    (PROMETHEUS_3, f"{OPEN}; escaping=allow-utf-8"),
    # The weight counts, not the place.
    ("application/openmetrics-text;version=1.0.0;q=0.1,text/plain;version=0.0.4;q=0.9", TEXT),
    ("application/openmetrics-text;version=1.0.0;q=0, text/plain;version=0.0.4;q=0.1", TEXT),
    # What cannot be written is not promised.
    ("application/openmetrics-text;version=99.0.0", TEXT),
    ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4", TEXT),
    ("application/openmetrics-text;version=x", TEXT),
    ("application/openmetrics-text;version=0.0.1", TEXT),
    ("text/plain;version=\xff;q=x;;=,;", TEXT),
]


@pytest.mark.parametrize(("accept", "given"), FORMATS)
async def test_a_scraper_gets_the_format_that_it_asks_for(api: Api, accept: str, given: str) -> None:
    await api.http.get("/metrics")  # some request is counted
    answer = await api.http.get("/metrics", headers={"Accept": accept.encode("latin-1")})
    assert (answer.status_code, answer.headers["content-type"]) == (200, given)
    assert "content-encoding" not in answer.headers or answer.headers["content-encoding"] == "gzip"
    assert {"Accept", "Accept-Encoding"} <= set(re.split(r",\s*", answer.headers["vary"]))
    is_open = given.startswith("application/openmetrics-text")
    parse = openmetrics.text_string_to_metric_families if is_open else text_string_to_metric_families
    names = {sample.name for family in parse(answer.text) for sample in family.samples}
    assert {"auth_http_requests_total", "auth_http_request_seconds_bucket", "auth_postgres_up"} <= names
    assert answer.text.endswith("# EOF\n") is is_open


@pytest.mark.parametrize(
    ("encodings", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("GZIP", True), ("identity", False), ("", False), ("gzip;q=0", False)],
)
async def test_metrics_are_compressed_for_who_asks(api: Api, encodings: str, zipped: bool) -> None:
    await api.http.get("/metrics")
    async with api.http.stream("GET", "/metrics", headers={"Accept-Encoding": encodings}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == ("gzip" if zipped else None)
    assert len(raw) == int(answer.headers["content-length"])
    text = (gzip.decompress(raw) if zipped else raw).decode()
    assert "auth_http_requests_total" in {s.name for f in text_string_to_metric_families(text) for s in f.samples}


# --- what an alarm goes by


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "KEPT_SECONDS", 0)


async def test_what_an_alarm_counts_is_there_before_the_first(fresh: Fresh) -> None:
    """To Prometheus a counter that is born with 1 has not risen."""
    samples = await read(await fresh.api())
    assert samples[f"auth_refreshes_total{[('outcome', 'reuse')]}"] == 0
    assert samples[f"auth_permission_checks_total{[('reason', 'unknown_permission')]}"] == 0
    assert samples[f"auth_logins_total{[('outcome', 'wrong_password')]}"] == 0
    assert samples["auth_denylist_rebuilds_total[]"] == 0
    assert {samples[f"auth_job_failures_total{[('name', name)]}"] for name in ("tidy", "mails", "denials")} == {0}


@pytest.mark.usefixtures("_at_once")
async def test_rel_4_a_lag_of_events_is_a_metric(fresh: Fresh) -> None:
    clock = StoppedClock()
    broker = f"127.0.0.1:{free_port()}"
    api = await fresh.api(clock, kafka_bootstrap=broker, relay_in_workers=False)
    quiet = await read(api)
    assert {quiet[f"auth_events_{name}[]"] for name in ("unsent", "parked", "lag_seconds")} == {0}
    for _ in range(2):
        await api.as_role()
        clock.forward(seconds=70)
    late = await read(api)
    unsent = late["auth_events_unsent[]"]
    assert unsent >= 2
    assert late["auth_events_lag_seconds[]"] == 140
    park = "UPDATE outbox SET parked_at = $1 WHERE number = (SELECT min(number) FROM outbox)"
    await api.resources.hot.execute(park, clock())
    parked = await read(api)
    assert (parked["auth_events_parked[]"], parked["auth_events_unsent[]"]) == (1, unsent - 1)
    await api.resources.hot.execute("UPDATE outbox SET sent_at = $1 WHERE parked_at IS NULL", clock())
    assert (await read(api))["auth_events_unsent[]"] == 0
    without = await fresh.api(clock)
    await without.as_role()
    assert not [name for name in await read(without) if name.startswith("auth_events_")]  # nobody takes them


@pytest.mark.usefixtures("_at_once")
async def test_rel_1_rows_in_the_default_partition_are_a_metric(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    await keep_up(api.resources)
    well = await read(api)
    assert (well["auth_login_history_stray_rows[]"], well["auth_login_history_months_ahead[]"]) == (0, 3)
    clock.forward(days=200)
    await api.as_role()
    strayed = await read(api)
    assert (strayed["auth_login_history_stray_rows[]"], strayed["auth_login_history_months_ahead[]"]) == (1, 0)
    await keep_up(api.resources)
    mended = await read(api)
    assert (mended["auth_login_history_stray_rows[]"], mended["auth_login_history_months_ahead[]"]) == (0, 3)


@pytest.mark.usefixtures("_at_once")
async def test_mails_that_wait_are_a_metric(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, smtp_url=f"smtp://127.0.0.1:{free_port()}")
    assert (await read(api))["auth_mails_waiting[]"] == 0
    account = await api.create_user()
    asked = await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})
    assert asked.status_code == 202, asked.text
    clock.forward(seconds=30)
    late = await read(api)
    assert (late["auth_mails_waiting[]"], late["auth_mails_lag_seconds[]"]) == (1, 30)


@pytest.mark.usefixtures("_at_once")
async def test_rel_10_a_sick_store_is_a_metric_and_what_it_did_not_tell_is_missing(fresh: Fresh) -> None:
    settings = await fresh.settings(database_timeout_seconds=1, redis_timeout_ms=500)
    redis_url = settings.redis_url.get_secret_value()
    async with gate_to(settings.asyncpg_dsn) as postgres, gate_to(redis_url) as redis:
        behind = settings.model_copy(
            update={"database_url": type(settings.database_url)(postgres.url)}
            | {"redis_url": type(settings.redis_url)(redis.url)}
        )
        async with running_app(behind) as api:
            well = await read(api)
            assert (well["auth_postgres_up[]"], well["auth_redis_up[]"]) == (1, 1)
            assert well["auth_redis_memory_bytes[]"] > 0
            postgres.freeze()
            sick = await read(api)
            assert (sick["auth_postgres_up[]"], sick["auth_redis_up[]"]) == (0, 1)
            assert "auth_login_history_stray_rows[]" not in sick
            await redis.shut()
            both = await read(api)
            assert (both["auth_postgres_up[]"], both["auth_redis_up[]"]) == (0, 0)
            assert "auth_redis_memory_bytes[]" not in both
            await postgres.open()
            await redis.open()
            async with asyncio.timeout(PATIENCE_SECONDS):
                measured = {name for name in well if name.startswith(("auth_login_history", "auth_redis"))}
                while not measured <= (await read(api)).keys():  # noqa: ASYNC110  it heals when it heals
                    await asyncio.sleep(0.2)


async def test_scrapers_that_come_together_ask_the_stores_once(fresh: Fresh) -> None:
    api = await fresh.api()
    asked = 0

    async def count(_: object) -> dict[str, float]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return {}

    taken = measures.Measures([count])
    await asyncio.gather(*(taken.take(api.resources) for _ in range(20)))
    assert asked == 1


def test_a_worker_that_has_only_just_made_its_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library makes it empty and then gives it a head. Read in between, it cannot be understood."""
    file = tmp_path / "counter_1.db"
    file.touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    head = threading.Timer(0.02, os.truncate, (file, 1024))
    head.start()
    assert b"auth_" not in Metrics().render({}).body  # nothing is counted in it yet
    head.join()


@pytest.mark.long
async def test_pools_are_of_all_workers_that_live_and_stores_are_not_summed(fresh: Fresh) -> None:
    settings = await fresh.settings(database_pool_size=3, hash_workers=2, hash_queue=5)
    service = await fresh.service(settings, workers=2)
    api = Api(service.http)

    async def until_both(samples: dict[str, float] | None = None) -> dict[str, float]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while samples is None or samples.get(f"auth_pool_limit{[('pool', 'hashing')]}") != 14:
                await asyncio.sleep(0.1)
                samples = await read(api)
        return samples

    samples = await until_both()
    assert {value(samples, "auth_pool_limit", pool=pool) for pool in ("postgres", "postgres_hot")} == {6}
    assert (samples["auth_postgres_up[]"], samples["auth_redis_up[]"]) == (1, 1)
    workers = [child for child in psutil.Process(service.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].wait(PATIENCE_SECONDS)
    await asyncio.sleep(0.5)
    again = await until_both()  # with the new one, and without the one that was killed
    assert value(again, "auth_pool_in_use", pool="hashing") == 0


async def test_a_denylist_that_was_rebuilt_is_counted(fresh: Fresh) -> None:
    settings = await fresh.settings(check_cache_bytes=0)  # so that Redis is asked
    api = await fresh.on(settings)
    _, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    before = value(await read(api), "auth_denylist_rebuilds_total")
    flush(settings.redis_url.get_secret_value())
    assert (await api.me(tokens)).status_code == 200
    assert value(await read(api), "auth_denylist_rebuilds_total") == before + 1
