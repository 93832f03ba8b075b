"""The fast path logs in as the ordinary route does, to the byte, whatever is sent."""

import re
from typing import Any

import httpx
import orjson
import pytest

from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, error_of, unique
from tests.support.fast_answers import ORDINARY, PLAIN, note_fast_answers
from tests.support.hostile import ODD_TEXTS
from tests.support.phone import enrol_phone

LOGIN = f"{V1}/auth/login"


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The logins that the fast path has answered."""
    return note_fast_answers(monkeypatch, "/auth/login", shown=lambda asked: asked[0].login)


async def send(api: Api, body: bytes, **headers: str) -> httpx.Response:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (PLAIN | headers).items()]
    return await api.http.post(LOGIN, content=body, headers=raw)


def body_of(name: str, typed: str = PASSWORD, **more: Any) -> bytes:
    return orjson.dumps({"login": name, "password": typed, **more})


def shown(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of it, without what is another one with each login."""
    names = rb"access_token|refresh_token|session_id|device_token|challenge"
    text = re.sub(rb'("(?:' + names + rb')":)"[^"]+"', rb"\1-", answer.content)
    return answer.status_code, answer.headers.raw, text


async def same(api: Api, body: bytes, **headers: str) -> httpx.Response:
    answers = await send(api, body, **headers), await send(api, body, **headers, **ORDINARY)
    assert shown(answers[0]) == shown(answers[1])
    return answers[0]


async def test_a_new_device_and_a_known_one(api: Api, handled: list[str]) -> None:
    account = await api.create_user()
    answer = await same(api, body_of(account.login, device_name=" TV "))
    assert answer.status_code == 200
    names = ["access_token", "refresh_token", "token_type", "expires_in", "session_id", "device_token"]
    assert list(answer.json()) == [*names, "ended_sessions"]
    known = await same(api, body_of(f" {account.email.upper()} ", device_token=answer.json()["device_token"]))
    assert "device_token" not in known.json()
    assert handled == [account.login, account.email.upper()]


async def test_both_write_the_same(api: Api) -> None:
    for agent in ("a phone", "a\xa0\x85\xad", "a" * 700, ""):
        seen = []
        for headers in ({}, ORDINARY):
            account = await api.create_user()
            given = await send(api, body_of(account.login, device_name="TV"), **{"user-agent": agent, **headers})
            bearer = {"authorization": f"Bearer {given.json()['access_token']}"}
            for what, dropped in (("sessions", {"device_id"}), ("login-history", set())):
                (row,) = (await api.http.get(f"{V1}/users/me/{what}", headers=bearer)).json()["items"]
                kept = {"user_agent", "ip", "device_name", "succeeded", "reason"} - dropped
                seen.append({name: row.get(name) for name in kept})
        assert seen[:2] == seen[2:], agent


async def test_log_1_a_wrong_password_and_a_login_that_nobody_has(api: Api, handled: list[str]) -> None:
    account = await api.create_user()
    for body in (body_of(account.login, "a wrong password"), body_of(unique("nobody"))):
        assert error_of(await same(api, body)) == (401, "invalid_credentials")
    assert len(handled) == 2


async def test_mfa_2_a_second_factor_is_due(api: Api, handled: list[str]) -> None:
    account, tokens = await api.as_role()
    await enrol_phone(api, tokens)
    handled.clear()
    assert (await same(api, body_of(account.login))).json()["mfa_required"] is True
    assert handled == [account.login]


WRONG: list[Any] = [None, True, 0, 1.5, [], {}, ["a"], {"a": 1}, ""]


async def test_edg_5_what_is_wrong_is_for_the_ordinary_route(api: Api, handled: list[str]) -> None:
    account = await api.create_user()
    for value in [*WRONG, *ODD_TEXTS]:
        await same(api, orjson.dumps(value))
    for value in [value for value in WRONG if value is not None]:
        for name in ("login", "password", "device_name", "device_token", "more"):
            assert (await same(api, body_of(account.login, **{name: value}))).status_code in {400, 422}
    for text in (b"", b"{", b"\xff", b"NaN", b"[" * 5000, b"a" * 20_000, body_of(account.login) + b" x"):
        await same(api, text)
    assert handled == []


HEADS = [
    {"content-type": "application/json; charset=utf-8"},
    {"content-type": "text/plain"},
    {"content-encoding": "gzip"},
    {"origin": "https://elsewhere.example"},
    {"x-token-transport": "cookie"},
    {"x-token-transport": "pigeon"},
    {"x-token-transport": ""},
]


@pytest.mark.parametrize("headers", HEADS, ids=[next(iter(head)) + str(n) for n, head in enumerate(HEADS)])
async def test_cke_2_how_tokens_travel_is_for_the_ordinary_route(
    api: Api, headers: dict[str, str], handled: list[str]
) -> None:
    account: Account = await api.create_user()
    answers = [await send(api, body_of(account.login), **headers, **more) for more in ({}, ORDINARY)]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers.keys() == answers[1].headers.keys()
    assert handled == []


async def test_edg_4_both_count_against_one_limit(fresh: Fresh, handled: list[str]) -> None:
    api = await fresh.api(StoppedClock(), rate_limit_login="4/minute")
    for headers in ({}, ORDINARY, {}, ORDINARY):
        assert error_of(await send(api, body_of("nobody"), **headers)) == (401, "invalid_credentials")
    assert error_of(await same(api, body_of("nobody"))) == (429, "rate_limited")
    assert len(handled) == 3
