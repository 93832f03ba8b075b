"""Traces as a collector gets them: one request is one trace, nothing in it is secret, and no request waits for it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psutil
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.conftest import ROOT, Fresh
from tests.support.api import PASSWORD, V1, Account, error_of, tokens_of, unique
from tests.support.collector import Collector, attributes_of, running_collector
from tests.support.service_process import ServiceProcess, free_port
from tests.support.tcp_gate import gate_to

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 60
LOGIN = f"POST {V1}/auth/login"
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not happened():  # noqa: ASYNC110  spans come when they come
            await asyncio.sleep(0.05)


def caller_trace() -> tuple[str, str, str]:
    """(trace id, span id, the header that tells them)."""
    trace, span = uuid4().hex, uuid4().hex[:16]
    return trace, span, f"00-{trace}-{span}-01"


async def traced(fresh: Fresh, collector: Collector, **environment: str) -> tuple[ServiceProcess, Account]:
    settings = await fresh.settings()
    account = await (await fresh.on(settings)).create_user()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    return await fresh.service(settings, **(AT_ONCE | endpoint | environment)), account


async def log_in(service: ServiceProcess, account: Account, **headers: str) -> Any:
    body = {"login": account.login, "password": account.password}
    return await service.http.post(f"{V1}/auth/login", json=body, headers=headers)


def logged(service: ServiceProcess, path: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in service.log().splitlines()]
    return [entry for entry in entries if entry["event"] == "request" and entry["path"] == path]


async def test_one_login_is_one_trace_through_redis_and_postgres(fresh: Fresh, collector: Collector) -> None:
    service, account = await traced(fresh, collector)
    trace, caller, header = caller_trace()
    tokens = tokens_of(await log_in(service, account, traceparent=header))
    assert (await service.http.get(f"{V1}/users/me", headers=tokens.bearer)).status_code == 200
    await until(lambda: len(collector.servers()) == 2)
    await asyncio.sleep(0.5)  # what the jobs ask the stores for would have come too
    assert collector.paths == {"/v1/traces"}
    assert {resource["service.name"] for resource in collector.resources} == {"auth-service"}

    spans = {span.span_id: span for span in collector.spans}
    assert len(spans) == len(collector.spans), "no span is sent twice"
    traces = {span.trace_id.hex() for span in spans.values()}
    assert traces == collector.servers().keys(), "and none is without a request"
    server = collector.servers()[trace]
    assert server.parent_span_id.hex() == caller
    assert server.name == LOGIN
    assert attributes_of(server) == {
        "http.request.method": "POST",
        "http.route": f"{V1}/auth/login",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    below = [span for span in spans.values() if span.trace_id.hex() == trace and span.span_id != server.span_id]
    for span in below:
        up = span
        while up.span_id != server.span_id:
            up = spans[up.parent_span_id]
        assert span.kind == Span.SPAN_KIND_CLIENT
        assert server.start_time_unix_nano <= span.start_time_unix_nano
    assert {attributes_of(span)["db.system"] for span in below} == {"redis", "postgresql"}
    # SQLAlchemy goes through asyncpg: each statement is there once, the one that stores the session as all others.
    statements = [str(attributes_of(span)["db.statement"]) for span in below]
    assert len([text for text in statements if "INSERT INTO sessions" in text]) == 1
    assert "COMMIT;" in statements


async def test_a_request_line_of_the_log_has_the_trace(fresh: Fresh, collector: Collector) -> None:
    service, account = await traced(fresh, collector)
    trace, _, header = caller_trace()
    await log_in(service, account, traceparent=header)
    await log_in(service, account)
    await log_in(service, account, traceparent="00-nonsense")
    await service.http.get("/health/live")
    await until(lambda: len(collector.servers()) == 3)
    first, second, third = (entry["trace_id"] for entry in logged(service, f"{V1}/auth/login"))
    assert first == trace
    assert {first, second, third} == collector.servers().keys()
    untraced = logged(service, "/health/ready")
    assert untraced
    assert all("trace_id" not in entry for entry in untraced)


async def test_aud_2_no_trace_has_what_was_sent(fresh: Fresh, collector: Collector) -> None:
    """Right and wrong, in every place that a client can write to, and in what Postgres says of a conflict."""
    service, account = await traced(fresh, collector, FASTAPI_OTEL_AUTO_CONFIGURE="true")
    _, _, header = caller_trace()
    canary = unique("canary")
    secrets = {"account": account.login, "password": PASSWORD, "wrong": f"{canary}-Wrong-Password-1"}
    secrets |= {"login": canary, "new password": f"{canary}-New-Password-2", "name": f"{canary}-full-name"}
    body = {"login": canary, "email": f"{canary}@example.com", "password": secrets["new password"]}
    post = service.http.post
    registrations = await asyncio.gather(*(post(f"{V1}/auth/register", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in registrations) == [201, 409, 409, 409]
    tokens = tokens_of(await log_in(service, account, traceparent=header, tracestate=f"vendor={canary}"))
    secrets |= {"access": tokens.access, "refresh": tokens.refresh, "session": tokens.session_id}
    for login in (account.login, canary, secrets["wrong"]):
        wrong = {"login": login, "password": secrets["wrong"]}
        assert error_of(await post(f"{V1}/auth/login", json=wrong)) == (401, "invalid_credentials")
    renewed = tokens_of(await post(f"{V1}/auth/refresh", json={"refresh_token": tokens.refresh}))
    secrets |= {"second access": renewed.access, "second refresh": renewed.refresh}
    changed = await service.http.patch(
        f"{V1}/users/me", json={"full_name": secrets["name"]}, headers=renewed.bearer | {"baggage": f"a={canary}"}
    )
    assert changed.status_code == 200
    everywhere = f"{canary}/{canary}?token={renewed.access}&{canary}={canary}"
    for path in (everywhere, f"{V1}/users/me?{everywhere}", f"{V1}/users/{account.id}/roles?{canary}"):
        agent = {"User-Agent": canary, "Host": f"{canary}.example"} if path == everywhere else {"Cookie": canary}
        await service.http.get(path if path.startswith("/") else f"/{path}", headers=agent | renewed.bearer)
    await service.http.request(canary.upper(), f"{V1}/auth/login")
    await post(f"{V1}/auth/login", json={"login": canary, "password": {canary: canary}})
    await service.http.get("/health/live")  # now the lines of all others are written
    sent = len([line for line in service.log().splitlines() if '"event": "request"' in line and "/health/" not in line])
    await until(lambda: len(collector.servers()) == sent)
    names = {span.name for span in collector.servers().values()}
    assert {LOGIN, f"POST {V1}/auth/register", f"GET {V1}/users/{{user_id}}/roles"} <= names
    exported = b"\n".join(collector.bodies)
    assert b"INSERT INTO users" in exported  # the search finds what is there
    for name, value in secrets.items():
        for part in {value, value.upper(), value.rpartition(".")[2]}:
            assert part.encode() not in exported, name
    assert str(account.id).encode() not in exported
    assert not any(span.events or span.links or span.trace_state or span.status.message for span in collector.spans)
    errors = [span for span in collector.spans if span.status.code == Status.STATUS_CODE_ERROR]
    assert errors, "a conflict was among them"
    assert "asyncpg.exceptions.UniqueViolationError" in {attributes_of(span).get("error.type") for span in errors}


async def test_a_failing_store_is_an_error_by_its_class(fresh: Fresh, collector: Collector) -> None:
    settings = await fresh.settings(redis_timeout_ms=500)
    account = await (await fresh.on(settings)).create_user()
    async with gate_to(settings.redis_url.get_secret_value()) as gate:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "REDIS_URL": gate.url}
        service = await fresh.service(settings, **(AT_ONCE | environment))
        tokens = tokens_of(await log_in(service, account))
        await gate.shut()
        trace, _, header = caller_trace()
        answer = await service.http.get(f"{V1}/users/me", headers=tokens.bearer | {"traceparent": header})
        assert answer.status_code == 503
        await until(lambda: trace in collector.servers())
        server = collector.servers()[trace]
        assert server.status.code == Status.STATUS_CODE_ERROR
        assert attributes_of(server)["http.response.status_code"] == 503
        failed = [span for span in collector.spans if span.parent_span_id == server.span_id]
        assert {str(attributes_of(span).get("error.type", "")) for span in failed} & {
            "redis.exceptions.ConnectionError",
            "redis.exceptions.TimeoutError",
        }


async def test_the_variables_of_opentelemetry_count(fresh: Fresh, collector: Collector) -> None:
    service, account = await traced(
        fresh,
        collector,
        OTEL_SERVICE_NAME="cinema-auth",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=stage",
        OTEL_TRACES_SAMPLER="parentbased_always_off",
    )
    trace, _, header = caller_trace()
    await log_in(service, account)
    await log_in(service, account, traceparent=header[:-2] + "00")
    await log_in(service, account, traceparent=header)
    await until(lambda: len(collector.servers()) > 0)
    await asyncio.sleep(0.5)
    assert collector.servers().keys() == {trace}, "only the caller who records asked for it"
    assert {resource["service.name"] for resource in collector.resources} == {"cinema-auth"}
    assert {resource["deployment.environment.name"] for resource in collector.resources} == {"stage"}


@pytest.mark.parametrize("trouble", ["down", "frozen"])
async def test_no_request_and_no_end_waits_for_the_collector(fresh: Fresh, collector: Collector, trouble: str) -> None:
    collector.frozen = True
    url = collector.url if trouble == "frozen" else f"http://127.0.0.1:{free_port()}"
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
    service, account = await traced(fresh, collector, OTEL_EXPORTER_OTLP_ENDPOINT=url, **small)
    for _ in range(5):
        answers = await asyncio.gather(*(log_in(service, account) for _ in range(4)))
        assert [answer.status_code for answer in answers] == [200] * 4
    assert (await service.http.get("/health/ready")).json()["status"] == "ready"
    process = psutil.Process(service.pid)
    process.send_signal(signal.SIGTERM)
    # The library by itself would wait 30 s, and its exporter 10 s for each answer.
    await asyncio.to_thread(process.wait, 20)
    assert PASSWORD not in service.log()
    assert account.login not in service.log()


async def test_what_is_left_is_sent_at_the_end(fresh: Fresh, collector: Collector) -> None:
    service, account = await traced(fresh, collector, OTEL_BSP_SCHEDULE_DELAY="3600000")
    trace, _, header = caller_trace()
    await log_in(service, account, traceparent=header)
    assert collector.bodies == []
    process = psutil.Process(service.pid)
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
    assert trace in collector.servers()


async def test_every_worker_sends_its_own(fresh: Fresh, collector: Collector) -> None:
    settings = await fresh.settings()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    service = await fresh.service(settings, workers=2, **(AT_ONCE | endpoint))
    await asyncio.gather(*(service.http.get("/nothing") for _ in range(40)))
    await until(lambda: len(collector.servers()) == 40)
    assert {span.name for span in collector.servers().values()} == {"GET"}


# --- without it

NOT_INSTALLED = "import sys; sys.modules['opentelemetry.sdk'] = None; from auth_service.cli import main; main()"


async def test_sec_1_a_collector_without_the_extra_stops_the_start() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NOT_INSTALLED, "serve"),
        cwd=ROOT,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 2, output
    assert output.splitlines() == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: traces are not installed here: pip install 'auth-service[otel]', or leave it out"
    ]


UNTOUCHED = """
import asyncio, sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.instrumentation"] = None
from auth_service.config import Settings
from auth_service.main import create_app
app = create_app(Settings(_env_file=None, database_url=sys.argv[1], redis_url=sys.argv[2]))

async def answer():
    async with app.router.lifespan_context(app):
        sent = []
        async def send(message):
            sent.append(message)
        scope = {"type": "http", "method": "GET", "path": "/health/live", "query_string": b"", "http_version": "1.1",
                 "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "scheme": "http", "root_path": ""}
        await app(scope, None, send)
        assert sent[0]["status"] == 200, sent
    assert not app._native_telemetry.enabled()

asyncio.run(answer())
assert "auth_service.core.telemetry.traces" not in sys.modules
assert not [name for name, module in sys.modules.items()
            if module and name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instr"))]
"""


async def test_without_a_collector_nothing_of_it_is_imported(fresh: Fresh) -> None:
    """Not even where FastAPI's own telemetry is told to configure itself: it would export paths and queries."""
    settings = await fresh.settings()
    urls = (settings.asyncpg_dsn, settings.redis_url.get_secret_value())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UNTOUCHED, *urls),
        cwd=ROOT,
        env={**os.environ, "FASTAPI_OTEL_AUTO_CONFIGURE": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
