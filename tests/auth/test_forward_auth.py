"""Forward authentication: what a proxy is told about a caller, and that it is never told yes by mistake."""

import httpx
import pytest

from auth_service.core.connections import Resources
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api, error_of
from tests.support.cookie_browser import ACCESS, HOST, logged_in, running_site
from tests.support.tcp_gate import gated

VERIFY = f"{V1}/auth/verify"
REFUSED = (401, "not_authenticated")


async def verify(api: Api, headers: dict[str, str], *permissions: str) -> httpx.Response:
    return await api.http.get(VERIFY, params={"permission": permissions}, headers=headers)


def told(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("x-auth-")}


async def test_a_user_is_named_with_the_session_and_without_a_body(api: Api) -> None:
    account, tokens = await api.as_role()
    answer = await verify(api, tokens.bearer)
    assert (answer.status_code, answer.content) == (200, b"")
    assert told(answer) == {"x-auth-user": str(account.id), "x-auth-session": tokens.session_id}
    assert answer.headers["cache-control"] == "no-store"


async def test_what_a_client_says_of_itself_is_not_repeated(api: Api) -> None:
    account, tokens = await api.as_role()
    forged = {"X-Auth-User": "somebody-else", "X-Auth-Service": "billing", "X-Auth-Reason": "granted"}
    answer = await verify(api, tokens.bearer | forged)
    assert told(answer) == {"x-auth-user": str(account.id), "x-auth-session": tokens.session_id}
    refused = await verify(api, forged)
    assert (error_of(refused), told(refused)) == (REFUSED, {})


async def test_each_permission_asked_for_is_needed(api: Api) -> None:
    _, tokens = await api.as_role("subscriber")
    assert (await verify(api, tokens.bearer, "films:read", "films:watch")).status_code == 200
    for asked in (("films:publish",), ("films:watch", "films:publish"), ("films:publish", "films:watch")):
        refused = await verify(api, tokens.bearer, *asked)
        assert error_of(refused) == (403, "permission_denied")
        assert told(refused) == {"x-auth-reason": "no_grant"}


async def test_the_reason_is_that_of_the_check(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    account, tokens = await api.as_role()
    await grant(
        api,
        root,
        account.id,
        await create_role(api, root, code),
        valid_from=moment(days=-2),
        valid_until=moment(days=-1),
    )
    for asked in (code, "never:heard", "films:publish"):
        check = await api.check(tokens, asked)
        assert told(await verify(api, tokens.bearer, asked)) == {"x-auth-reason": check["reason"]}


async def test_log_9_a_marked_permission_is_refused_with_step_up_required(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    marked = await api.http.patch(f"{V1}/permissions/{code}", json={"step_up": True}, headers=root.bearer)
    assert marked.status_code == 200
    refused = await verify(api, root.bearer, code)
    assert error_of(refused) == (403, "step_up_required")
    assert told(refused) == {"x-auth-reason": "step_up_required"}


async def test_chk_1_a_service_is_named_as_one_and_needs_the_scope(api: Api) -> None:
    _, root = await api.as_role("superuser")
    client_id, secret = await api.create_service(root, ["films:read"])
    bearer = await api.service_token(client_id, secret)
    answer = await verify(api, bearer, "films:read")
    assert (answer.status_code, told(answer)) == (200, {"x-auth-service": client_id})
    assert error_of(await verify(api, bearer, "films:read", "films:watch")) == (403, "permission_denied")


async def test_log_10_a_session_that_ended_is_refused_at_once(api: Api) -> None:
    _, tokens = await api.as_role()
    assert (await verify(api, tokens.bearer)).status_code == 200
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    assert error_of(await verify(api, tokens.bearer)) == REFUSED


async def test_cke_3_a_cookie_counts_and_one_of_another_session_is_a_401(fresh: Fresh) -> None:
    """Not the 400 of other routes: nginx would make a 500 of it."""
    async with running_site(await fresh.settings()) as site:
        account, browser = await logged_in(site)
        answer = await browser.send("GET", "/auth/verify")
        assert (answer.status_code, answer.headers["x-auth-user"]) == (200, str(account.id))
        other = await site.log_in(await site.create_user())
        headers = {"Host": HOST, "Cookie": f"{ACCESS}={browser.cookies[ACCESS]}"}
        assert error_of(await site.http.get(VERIFY, headers=headers | other.bearer)) == REFUSED


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer junk"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "auth_access=junk"},
        {"X-Forwarded-User": "admin", "X-Original-URI": "/public", "X-Forwarded-Method": "OPTIONS"},
    ],
)
async def test_strangers_are_refused_whatever_they_send(api: Api, headers: dict[str, str]) -> None:
    refused = await verify(api, headers, "films:read")
    assert error_of(refused) == REFUSED
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_the_address_that_was_asked_for_decides_nothing(api: Api) -> None:
    """What clients can write into it must not choose the permission."""
    _, tokens = await api.as_role()
    for name in ("X-Original-URI", "X-Original-URL", "X-Forwarded-Uri", "X-Rewrite-URL"):
        headers = tokens.bearer | {name: "/api/v1/auth/verify?permission=films:read"}
        assert (await verify(api, headers, "films:publish")).status_code == 403
        assert (await verify(api, headers | {name: "/?permission=films:publish"}, "films:read")).status_code == 200


@pytest.mark.parametrize("query", ["permission=", "permission=" + "x" * 129, "&".join(["permission=films:read"] * 11)])
async def test_a_mistake_in_the_proxy_is_no_yes(api: Api, query: str) -> None:
    """Such as a variable that was never set."""
    _, root = await api.as_role("superuser")
    answer = await api.http.get(f"{VERIFY}?{query}", headers=root.bearer)
    assert error_of(answer) == (422, "validation_error")


async def test_chk_4_a_store_that_is_down_is_a_503_and_neither_yes_nor_no(fresh: Fresh) -> None:
    settings = await fresh.settings(database_timeout_seconds=1)
    async with gated(settings) as (postgres, behind):
        api = await fresh.on(behind)
        _, tokens = await api.as_role()
        await postgres.shut()
        answer = await verify(api, tokens.bearer, "films:read")
        assert error_of(answer) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        await postgres.open()
        assert (await verify(api, tokens.bearer, "films:read")).status_code == 200


async def test_it_is_counted_as_a_check(fresh: Fresh) -> None:
    api = await fresh.api()
    _, tokens = await api.as_role()
    await verify(api, tokens.bearer, "films:read", "films:publish")
    assert checks(api.resources, "granted") == checks(api.resources, "no_grant") == 1


def checks(resources: Resources, reason: str) -> float:
    line = f'auth_permission_checks_total{{reason="{reason}"}} '
    return sum(
        float(text.removeprefix(line))
        for text in resources.metrics.render({}).body.decode().splitlines()
        if text.startswith(line)
    )
