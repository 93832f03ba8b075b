"""What Prometheus reads: counts of every worker, labels without bound or person, and for nobody else."""

import asyncio
import re
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api import PASSWORD, V1, Api, error_of
from tests.conftest import Fresh


async def read(api: Api) -> dict[str, float]:
    """Each sample by its name and labels."""
    answer = await api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {f"{s.name}{sorted(s.labels.items())}": s.value for family in families for s in family.samples}


def value(samples: dict[str, float], name: str, **labels: str) -> float:
    return samples.get(f"{name}{sorted(labels.items())}", 0.0)


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
async def test_edg_3_metrics_are_read_at_any_address_of_the_replica_and_nothing_else_is(api: Api, host: str) -> None:
    """Prometheus knows a replica by what DNS says, which no list can have."""
    assert (await api.http.get("/metrics", headers={"Host": host})).status_code == 200
    assert error_of(await api.http.get("/health/live", headers={"Host": host})) == (400, "host_not_allowed")
    for other in ("evil.example", "10.203.18.7.evil.example", "10.203.18.7:8000x", "[]", ""):
        answer = await api.http.get("/metrics", headers={"Host": other})
        assert error_of(answer) == (400, "host_not_allowed")


async def test_whichever_worker_is_asked_it_tells_of_all(fresh: Fresh) -> None:
    service = await fresh.service(await fresh.settings(), workers=2)
    await asyncio.gather(*(service.http.get("/nothing") for _ in range(60)))
    counts = set()
    for _ in range(20):
        samples = await read(Api(service.http))
        counts.add(value(samples, "auth_http_requests_total", method="GET", route="unmatched", status="404"))
    assert counts == {60}
