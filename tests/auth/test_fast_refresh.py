"""The fast path refreshes as the ordinary route does, to the byte, whatever is sent."""

import re
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.conftest import Fresh
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.fast_answers import ORDINARY, PLAIN, note_fast_answers
from tests.support.forgery import claims_of
from tests.support.hostile import ODD_TEXTS
from tests.support.tcp_gate import gated

REFRESH = f"{V1}/auth/refresh"


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that the fast path has answered."""
    return note_fast_answers(monkeypatch, "/auth/refresh", shown=lambda asked: asked[0])


async def send(api: Api, body: bytes, **headers: str) -> httpx.Response:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (PLAIN | headers).items()]
    return await api.http.post(REFRESH, content=body, headers=raw)


def body_of(token: str) -> bytes:
    return orjson.dumps({"refresh_token": token})


def shown(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of it, without what is another one in each session and each access token."""
    text = re.sub(rb'("(?:access_token|refresh_token|session_id)":)"[^"]+"', rb"\1-", answer.content)
    return answer.status_code, answer.headers.raw, text


async def same(api: Api, quick: bytes, ordinary: bytes | None = None, **headers: str) -> httpx.Response:
    answers = await send(api, quick, **headers), await send(api, ordinary or quick, **headers, **ORDINARY)
    assert shown(answers[0]) == shown(answers[1])
    return answers[0]


async def two_sessions(api: Api) -> tuple[Tokens, Tokens]:
    account, first = await api.as_role()
    return first, await api.log_in(account)


async def test_ref_2_a_refresh_and_its_repetition_in_the_grace(api: Api, handled: list[str]) -> None:
    quick, ordinary = await two_sessions(api)
    answer = await same(api, body_of(quick.refresh), body_of(ordinary.refresh))
    assert answer.status_code == 200
    assert list(answer.json()) == ["access_token", "refresh_token", "token_type", "expires_in", "session_id"]
    assert claims_of(answer.json()["access_token"])["sid"] == quick.session_id
    # Whichever of the two is asked, all who come in the grace have the same successor.
    again = [await send(api, body_of(quick.refresh), **more) for more in ({}, ORDINARY)]
    assert {tokens_of(one).refresh for one in again} == {answer.json()["refresh_token"]}
    assert shown(again[0]) == shown(again[1])
    assert handled == [quick.refresh] * 2


async def test_ref_3_reuse_ends_the_session(fresh: Fresh, handled: list[str]) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    quick, ordinary = await two_sessions(api)
    newest = []
    for tokens in (quick, ordinary):
        once = tokens_of(await send(api, body_of(tokens.refresh)))
        newest.append(tokens_of(await send(api, body_of(once.refresh))))
    handled.clear()
    answer = await same(api, body_of(quick.refresh), body_of(ordinary.refresh))
    assert error_of(answer) == (401, "invalid_refresh_token")
    assert handled == [quick.refresh]
    for tokens in newest:
        assert error_of(await send(api, body_of(tokens.refresh))) == (401, "invalid_refresh_token")
        assert (await api.http.get(f"{V1}/users/me", headers=tokens.bearer)).status_code == 401


async def test_ref_5_after_a_logout_both_refuse(api: Api) -> None:
    quick, ordinary = await two_sessions(api)
    for tokens in (quick, ordinary):
        assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    answer = await same(api, body_of(quick.refresh), body_of(ordinary.refresh))
    assert error_of(answer) == (401, "invalid_refresh_token")


async def test_both_write_the_same_of_the_client(api: Api) -> None:
    for agent in ("a phone", "a\xa0\x85\xad", "a" * 700, ""):
        seen = []
        for headers in ({}, ORDINARY):
            _, tokens = await api.as_role()
            answer = tokens_of(await send(api, body_of(tokens.refresh), **{"user-agent": agent, **headers}))
            listed = await api.http.get(f"{V1}/users/me/sessions", headers=answer.bearer)
            seen.append([(one["user_agent"], one["ip"]) for one in listed.json()["items"]])
        assert seen[0] == seen[1], agent


WRONG = some.sampled_from([None, True, 0, 1.5, [], {}, ["a"], {"a": 1}])
TEXTS = some.sampled_from([*ODD_TEXTS, "", "a", "a" * 8192, "a" * 8193, f"{'0' * 32}.0.{'A' * 43}", "eyJ.e.e"])
FIELDS = some.fixed_dictionaries(
    {}, optional={"refresh_token": some.one_of(TEXTS, WRONG), "more": WRONG, "Refresh_Token": TEXTS}
)


async def test_edg_5_whatever_is_sent_is_answered_as_ever(api: Api, handled: list[str]) -> None:
    bodies: list[Any] = []

    @settings(max_examples=150, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(some.one_of(FIELDS, WRONG, TEXTS))
    def draw(value: Any) -> None:
        bodies.append(value)

    draw()
    for value in bodies:
        await same(api, orjson.dumps(value))
    token = (await api.as_role())[1].refresh.encode()
    for text in (b"", b" ", b"{", b"\xff", b"NaN", b"[" * 5000, b"a" * 20_000, b'"%s"' % token, b'["%s"]' % token):
        await same(api, text)
    for text in (
        b'{"refresh_token":"a","refresh_token":"%s"}' % token,
        b'{"refresh_token":"%s","more":1}' % token,
        b'{"refresh_token":"%s"} x' % token,
        b'{"refresh_token":"%s\\u0000"}' % token,
        b'\xef\xbb\xbf{"refresh_token":"%s"}' % token,
    ):
        assert (await same(api, text)).status_code in {400, 401, 422}
    assert handled
    assert (await send(api, b'{"refresh\\u005ftoken":"%s"}' % token)).status_code == 200  # which is the same JSON


HEADS = [
    {"content-type": "application/json; charset=utf-8"},
    {"content-type": "text/plain"},
    {"content-type": ""},
    {"content-encoding": "gzip"},
    {"origin": "https://elsewhere.example"},
    {"authorization": "Bearer junk"},
    {"x-token-transport": "cookie"},
    {"accept": "text/html"},
]


@pytest.mark.parametrize("headers", HEADS, ids=[next(iter(head)) + str(n) for n, head in enumerate(HEADS)])
async def test_what_the_head_asks_for_is_answered_as_ever(api: Api, headers: dict[str, str]) -> None:
    quick, ordinary = await two_sessions(api)
    await same(api, body_of(quick.refresh), body_of(ordinary.refresh), **headers)
    await same(api, body_of("junk"), **headers)


async def test_cke_3_a_cookie_is_for_the_ordinary_route(api: Api, handled: list[str]) -> None:
    _, tokens = await api.as_role()
    cookie = {"cookie": f"auth_refresh={tokens.refresh}"}
    assert error_of(await send(api, body_of("other"), **cookie)) == (400, "ambiguous_credentials")
    assert error_of(await send(api, body_of(tokens.refresh), **cookie)) == (403, "csrf_refused")
    assert handled == []


async def test_a_query_and_another_method_are_for_the_ordinary_route(api: Api, handled: list[str]) -> None:
    _, tokens = await api.as_role()
    answer = await api.http.post(f"{REFRESH}?a=1", content=body_of(tokens.refresh), headers=PLAIN)
    assert answer.status_code == 200
    assert (await api.http.get(REFRESH)).status_code == 405
    assert handled == []


async def test_edg_4_both_count_against_one_limit(fresh: Fresh, handled: list[str]) -> None:
    api = await fresh.api(StoppedClock(), rate_limit_refresh="4/minute")
    for headers in ({}, ORDINARY, {}, ORDINARY):
        assert error_of(await send(api, body_of("junk"), **headers)) == (401, "invalid_refresh_token")
    answer = await same(api, body_of("junk"))
    assert error_of(answer) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) > 0
    assert len(handled) == 3


@pytest.mark.parametrize("store", ["database_url", "redis_url"])
async def test_rel_10_a_store_that_is_down_is_a_503(fresh: Fresh, store: str, handled: list[str]) -> None:
    plain = await fresh.settings()
    async with gated(plain, store) as (gate, behind):
        api = await fresh.on(behind)
        quick, ordinary = await two_sessions(api)
        await gate.shut()
        answer = await same(api, body_of(quick.refresh), body_of(ordinary.refresh))
        assert error_of(answer) == (503, "temporarily_unavailable")
        await gate.open()
        for tokens in (quick, ordinary):  # nobody is logged out by it (REF-7)
            assert (await send(api, body_of(tokens.refresh))).status_code == 200
    assert len(handled) == 3


async def test_the_metrics_name_the_route_as_ever(fresh: Fresh) -> None:
    api = await fresh.api()
    for headers in ({}, ORDINARY):
        _, tokens = await api.as_role()
        await send(api, body_of(tokens.refresh), **headers)
        await send(api, body_of("junk"), **headers)
    lines = (await api.http.get("/metrics")).text.splitlines()
    counted = [line for line in lines if line.startswith("auth_http_requests_total") and "refresh" in line]
    assert sorted(line.rpartition("status=")[2] for line in counted) == ['"200"} 2.0', '"401"} 2.0']
