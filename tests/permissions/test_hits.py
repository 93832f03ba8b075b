"""What is answered from memory is what the stores would say, to the byte, whoever asks and whatever is sent."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
import structlog

from auth_service.config import Settings
from auth_service.permissions.step_up import FRESH
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant
from tests.support.api import V1, Api, StoppedClock, Tokens
from tests.support.check_cast import (
    BATCH,
    CHECK,
    QUERIES,
    VERIFY,
    Cast,
    both,
    cast_of,
    drawn_bodies,
    spelt,
    statuses_of_all,
)
from tests.support.logged import until_logged
from tests.support.scrape import read, value
from tests.support.viewer import STEP, Viewer, Watch, enrol


@pytest.fixture
async def cast(api: Api) -> Cast:
    return await cast_of(api)


async def asks(api: Api, tokens: Tokens, code: str) -> httpx.Response:
    return await api.http.post(f"{V1}{CHECK}", json={"permission": code}, headers=tokens.bearer)


async def test_chk_1_every_caller_is_answered_as_ever(cast: Cast, found: list[str]) -> None:
    seen = await statuses_of_all(cast, times=2)
    assert seen == {200, 401, 403}
    assert found.count(CHECK) > 20
    assert found.count(VERIFY) > 3


async def test_a_head_is_its_get(cast: Cast) -> None:
    path = f"{VERIFY}?permission={cast.codes[0]}"
    await both(cast, "holder", "GET", path, times=2)
    answer = await both(cast, "holder", "HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("spaces", [False, True])
async def test_a_batch_is_answered_in_its_order(cast: Cast, found: list[str], spaces: bool) -> None:
    checks = [{"permission": code, "user_id": user} for user in cast.users[:2] for code in cast.codes]

    def text(checks: list[Any]) -> bytes:
        compact = orjson.dumps({"checks": checks})
        return compact.replace(b'":', b'": ').replace(b',"', b', "').replace(b"},{", b"}, {") if spaces else compact

    for caller in ("service", "root", "holder", "poor service"):
        await both(cast, caller, "POST", BATCH, text(checks), times=2)
    for count in (0, 1, 1000, 1001):
        await both(cast, "service", "POST", BATCH, text((checks * 100)[:count]), times=2)
    assert found.count(BATCH) >= 5


async def test_edg_5_whatever_is_sent_is_answered_as_ever(cast: Cast) -> None:
    """After what it might be taken for was kept."""
    bodies = drawn_bodies(60)
    for caller in ("holder", "service"):
        await both(cast, caller, "POST", CHECK, b'{"permission":"films:watch","user_id":"%b"}' % cast.users[0].encode())
    for drawn in bodies:
        text = orjson.dumps(spelt(cast, drawn))
        for caller in ("holder", "service"):
            await both(cast, caller, "POST", CHECK, text, times=2)
            await both(cast, caller, "POST", BATCH, text)
    twice = b'{"permission":"a:b","permission":"films:watch"}'
    for text in (b"", b" ", b"{", b"\xff", twice, b"[" * 5000, b"NaN", b'{"permission":"films:watch"} '):
        await both(cast, "holder", "POST", CHECK, text, times=2)
    for text in (b'{"checks":[%b]}' % twice, b'{"checks":[],"checks":[{"permission":"films:watch"}]}'):
        await both(cast, "holder", "POST", BATCH, text, times=2)


@pytest.mark.parametrize("query", QUERIES)
async def test_edg_5_whatever_is_in_the_query_is_answered_as_ever(cast: Cast, query: str) -> None:
    for caller in ("holder", "service", "none"):
        await both(cast, caller, "GET", f"{VERIFY}{query}", times=2)
        await both(cast, caller, "POST", f"{CHECK}{query}", orjson.dumps({"permission": "films:watch"}), times=2)


HEADS = {
    "origin": [("origin", "https://elsewhere.example")],
    "charset": [("content-type", "application/json; charset=utf-8")],
    "type": [("content-type", "text/plain")],
    "no type": [("content-type", "")],
    "coding": [("content-encoding", "gzip")],
    "two tokens": [("authorization", "Bearer second")],
    "wishes": [("accept", "text/html"), ("x-token-transport", "cookie")],
    "a host of others": [("host", "evil.example")],
    "a host of no form": [("host", "localhost:port")],
    "a long head": [("user-agent", "x" * 17_000)],
    "forwarded": [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")],
    "a trace": [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
}


@pytest.mark.parametrize("headers", HEADS.values(), ids=HEADS.keys())
async def test_what_the_head_asks_for_is_answered_as_ever(cast: Cast, headers: list[tuple[str, str]]) -> None:
    body = orjson.dumps({"permission": "films:watch"})
    await both(cast, "holder", "POST", CHECK, body, times=2)
    given = [("authorization", cast.callers["holder"]), ("x-request-id", "of-a-comparison")]
    given += [] if headers[0][0] == "content-type" else [("content-type", "application/json")]
    answers = [
        await cast.api.http.post(f"{V1}{CHECK}", content=body, headers=[*given, *headers, *more])
        for more in ([], [("cookie", "theme=dark")])
    ]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers.raw == answers[1].headers.raw
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("given", ["short", "x" * 65, "no spaces", "ünicode", ""])
async def test_an_id_of_the_request_that_is_not_taken_is_replaced(cast: Cast, given: str, found: list[str]) -> None:
    headers = {"authorization": cast.callers["holder"], "x-request-id": given.encode()}
    for _ in range(2):
        answer = await cast.api.http.post(f"{V1}{CHECK}", json={"permission": "films:watch"}, headers=headers)
        assert len(answer.headers["x-request-id"]) == 16
    assert found == [CHECK]


async def test_log_9_a_step_up_ends_when_it_ends(fresh: Fresh, found: list[str]) -> None:
    watch = Watch()
    api = await fresh.api(watch)
    viewer: Viewer = await enrol(api, watch)
    _, root = await api.as_role("superuser")
    marked = await create_permission(api, root)
    await api.http.patch(f"{V1}/permissions/{marked}", json={"step_up": True}, headers=root.bearer)
    role = await create_role(api, root, marked)
    await grant(api, root, viewer.account.id, role)
    tokens = await viewer.log_in()
    service = await api.service_token(*await api.create_service(root))
    callers = {"viewer": tokens.bearer["Authorization"], "service": service["Authorization"]}
    cast = Cast(api, callers, [marked], [str(viewer.account.id)])
    about = {"permission": marked, "user_id": str(viewer.account.id), "session_id": tokens.session_id}
    without = {"permission": marked, "user_id": str(viewer.account.id)}
    for later, reason in ((timedelta(0), "granted"), (FRESH - STEP + timedelta(seconds=1), "step_up_required")):
        watch.now += later  # the login was a step ago; the token lives as long as a step-up, and for the leeway
        for caller, body in (("viewer", {"permission": marked}), ("service", about)):
            answer = await both(cast, caller, "POST", CHECK, orjson.dumps(body), times=2)
            assert answer.json()["reason"] == reason
        answer = await both(cast, "service", "POST", CHECK, orjson.dumps(without), times=2)
        assert answer.json()["reason"] == "step_up_required"
    assert len(found) >= 4
    # A yes that waits for a step-up ends with its grant, like any other.
    await grant(api, root, viewer.account.id, role, valid_until=watch.now + timedelta(seconds=5))
    for later, reason in ((0, "step_up_required"), (5, "grant_expired")):
        watch.now += timedelta(seconds=later)
        answer = await both(cast, "service", "POST", CHECK, orjson.dumps(without), times=2)
        assert answer.json()["reason"] == reason


async def test_chk_1_a_grant_ends_at_its_end_and_a_token_at_its(fresh: Fresh, found: list[str]) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, root = await api.as_role("superuser")
    code, later = await create_permission(api, root), await create_permission(api, root)
    user, tokens = await api.as_role()
    await grant(api, root, user.id, await create_role(api, root, code), valid_until=clock() + timedelta(minutes=5))
    await grant(api, root, user.id, await create_role(api, root, later), valid_from=clock() + timedelta(minutes=5))

    async def reasons() -> list[str]:
        asked = [(await asks(api, tokens, each)).json() for each in (code, later) for _ in range(2)]
        return [answer["reason"] for answer in asked]

    assert await reasons() == ["granted"] * 2 + ["grant_not_started"] * 2
    clock.forward(seconds=299)
    assert await reasons() == ["granted"] * 2 + ["grant_not_started"] * 2
    assert len(found) == 6
    clock.forward(seconds=1)
    assert await reasons() == ["grant_expired"] * 2 + ["granted"] * 2
    clock.forward(seconds=600 + api.resources.settings.clock_leeway_seconds - 1)
    assert (await asks(api, tokens, later)).status_code == 200
    clock.forward(seconds=1)
    assert [(await asks(api, tokens, later)).status_code for _ in range(2)] == [401, 401]


async def test_a_clock_that_is_set_back_is_believed(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    user, tokens = await api.as_role()
    await grant(api, root, user.id, await create_role(api, root, code), valid_from=clock() + timedelta(seconds=10))
    for seconds, reason in ((0, "grant_not_started"), (15, "granted"), (-10, "grant_not_started")):
        clock.forward(seconds=seconds)
        for _ in range(2):
            assert (await asks(api, tokens, code)).json()["reason"] == reason


async def test_hits_are_counted_like_all_other_requests(cast: Cast, found: list[str]) -> None:
    async def counts() -> list[float]:
        samples = await read(cast.api)
        return [
            value(samples, "auth_http_requests_total", method="POST", route=CHECK, status="200"),
            value(samples, "auth_check_hits_total", route=CHECK),
            value(samples, "auth_permission_checks_total", reason="granted"),
            value(samples, "auth_check_hits_total", route=BATCH),
        ]

    body = {"permission": cast.codes[0]}
    headers = {"authorization": cast.callers["holder"]}
    await cast.api.http.post(f"{V1}{CHECK}", json=body, headers=headers)
    before = await counts()
    for _ in range(5):
        await cast.api.http.post(f"{V1}{CHECK}", json=body, headers=headers)
    await cast.api.http.post(f"{V1}{BATCH}", json={"checks": [body] * 10}, headers=headers)
    assert [after - old for after, old in zip(await counts(), before, strict=True)] == [5, 5, 15, 1]
    assert len(found) == 6


@pytest.mark.parametrize("wanted", [False, True])
async def test_hits_are_logged_where_that_is_wanted(
    fresh: Fresh, shared_settings: Settings, found: list[str], wanted: bool
) -> None:
    api = await fresh.on(shared_settings.model_copy(update={"log_cached_checks": wanted}))
    _, tokens = await api.as_role()
    await asks(api, tokens, "films:watch")
    with structlog.testing.capture_logs() as lines:
        answer = await asks(api, tokens, "films:watch")
        await api.http.get("/health/live")
        await until_logged(lines, "request")
    logged = [line for line in lines if line.get("path") == f"{V1}{CHECK}"]
    assert found == [CHECK]
    assert [line["request_id"] for line in logged] == ([answer.headers["x-request-id"]] if wanted else [])
    if wanted:
        assert (logged[0]["method"], logged[0]["status"], logged[0]["event"]) == ("POST", 200, "request")


async def test_many_who_ask_at_once_ask_the_stores_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    fetch = cast.api.resources.hot.fetch

    async def counted(query: str, *args: Any, **options: Any) -> Any:
        nonlocal asked
        asked += "FROM lineage" in query
        return await fetch(query, *args, **options)

    monkeypatch.setattr(cast.api.resources.hot, "fetch", counted)
    monkeypatch.setattr("auth_service.permissions.cache.boot_seconds", lambda: 0.0)  # on a busy machine leases run out
    headers = {"authorization": cast.callers["service"]}
    body = {"permission": cast.codes[0], "user_id": cast.users[0]}
    calls = (cast.api.http.post(f"{V1}{CHECK}", json=body, headers=headers) for _ in range(50))
    answers = await asyncio.gather(*calls)
    assert {answer.text for answer in answers} == {answers[0].text}
    assert asked == 1
