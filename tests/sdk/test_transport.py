"""One call: its tries, its deadline, and what it says of a failure."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from auth_service_client import AuthClient, ConfigError, InvalidRequest, NotAllowed, Unavailable
from auth_service_client.version import __version__

from tests.support.planted_service import BATCH, CHECK, GRANTED, TOKEN, Answer, Planted

USER = "01980000-0000-7000-8000-000000000001"
LATER = {"error": "temporarily_unavailable", "detail": "try again", "request_id": "r-1"}
CREDENTIALS = {"client_id": "catalogue", "client_secret": "very-secret-indeed"}


def client_of(planted: Planted, **options: Any) -> AuthClient:
    return AuthClient(planted.base_url, **(CREDENTIALS | options))


def tasks_of_clients() -> list[str]:
    return [repr(task) for task in asyncio.all_tasks() if "auth_service_client" in repr(task)]


@pytest.fixture
async def client(planted: Planted) -> AsyncIterator[AuthClient]:
    async with client_of(planted) as client:
        yield client


@pytest.mark.parametrize(
    "failure",
    [
        Answer(503, LATER),
        Answer(502, b"<html>bad gateway</html>"),
        Answer(504, b""),
        Answer(429, LATER),
        Answer(200, b'{"allowed": tr', cut=True),
        Answer(200, b"", cut=True),
    ],
    ids=["503", "502", "504", "429", "cut", "cut at once"],
)
async def test_what_passes_is_tried_again(planted: Planted, client: AuthClient, failure: Answer) -> None:
    planted.plant(CHECK, failure, failure)
    assert await client.check(USER, "films:watch")
    assert planted.count(CHECK) == 3
    assert planted.count(TOKEN) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500])
async def test_what_does_not_pass_is_not(planted: Planted, client: AuthClient, status: int) -> None:
    planted.plant(CHECK, Answer(status, {"error": "some_code", "detail": "said so"}, {"X-Request-ID": "r-7"}))
    expected = {403: NotAllowed, 500: Unavailable}.get(status, InvalidRequest)
    with pytest.raises(expected) as raised:
        await client.check(USER, "films:watch")
    assert (raised.value.code, raised.value.detail, raised.value.request_id) == ("some_code", "said so", "r-7")
    assert planted.count(CHECK) == 1


async def test_a_connection_that_the_service_has_closed_meanwhile_is_replaced(planted: Planted) -> None:
    async with client_of(planted) as client:
        await client.check(USER, "films:watch")
        planted.close_connections()
        assert await client.check(USER, "films:watch")


async def test_retry_after_is_waited_for(planted: Planted, client: AuthClient) -> None:
    planted.plant(CHECK, Answer(503, LATER, {"Retry-After": "1"}))
    began = time.monotonic()
    assert await client.check(USER, "films:watch")
    assert 1.0 <= time.monotonic() - began < 2.5


async def test_a_retry_after_beyond_the_deadline_is_told_at_once(planted: Planted, client: AuthClient) -> None:
    planted.plant(CHECK, Answer(503, LATER, {"Retry-After": "60", "X-Request-ID": "r-1"}))
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        await client.check(USER, "films:watch")
    assert (raised.value.retry_after, raised.value.code) == (60, "temporarily_unavailable")
    assert raised.value.request_id == "r-1"
    assert time.monotonic() - began < 1


async def test_the_tries_are_counted(planted: Planted) -> None:
    async with client_of(planted, retries=1) as client:
        planted.plant(CHECK, *[Answer(503, LATER)] * 3)
        with pytest.raises(Unavailable):
            await client.check(USER, "films:watch")
    assert planted.count(CHECK) == 2


async def test_the_deadline_is_of_the_call_with_all_its_tries(planted: Planted) -> None:
    async with client_of(planted, timeout=0.5, retries=50) as client:
        await client.check(USER, "films:watch")
        planted.plant(CHECK, *[Answer(body=GRANTED, seconds=5)] * 50)
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            await client.check(USER, "films:watch")
        assert 0.45 <= time.monotonic() - began < 1.5
        assert raised.value.code == "unreachable"
        assert planted.count(CHECK) == 2


async def test_nothing_listens() -> None:
    async with AuthClient("http://127.0.0.1:9", **CREDENTIALS) as client:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 did not answer"):
            await client.check(USER, "films:watch")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>a portal</html>",
        b"\xff\xfe",
        [],
        None,
        {},
        {"allowed": "yes", "reason": "granted"},
        {"allowed": True},
        {"allowed": True, "reason": "granted", "valid_until": "soon"},
    ],
    ids=repr,
)
async def test_a_200_of_somebody_else_is_no_answer(planted: Planted, client: AuthClient, body: Any) -> None:
    planted.plant(CHECK, Answer(200, body))
    with pytest.raises(Unavailable) as raised:
        await client.check(USER, "films:watch")
    assert raised.value.code == "bad_answer"


async def test_checks_that_are_asked_together_go_together(planted: Planted, client: AuthClient) -> None:
    planted.always(
        BATCH,
        lambda asked: Answer(
            body={"results": [{"allowed": one["user_id"][-1] == "1", "reason": "x"} for one in asked.json["checks"]]}
        ),
    )
    users = [f"{USER[:-2]}{number}" for number in range(10, 60)]
    decisions = await asyncio.gather(*(client.check(user, "films:watch") for user in users))
    assert [decision.allowed for decision in decisions] == [user[-1] == "1" for user in users]
    assert (planted.count(BATCH), planted.count(CHECK)) == (1, 0)


async def test_nobody_gets_an_answer_to_what_was_asked_before(planted: Planted, client: AuthClient) -> None:
    """The first of them was sent before the second is asked: a change may lie between."""
    planted.plant(CHECK, Answer(body=GRANTED, seconds=0.3), Answer(body={"allowed": False, "reason": "no_grant"}))
    first = asyncio.create_task(client.check(USER, "films:watch"))
    while planted.count(CHECK) == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not await client.check(USER, "films:watch")
    assert await first
    assert planted.count(CHECK) == 2


async def test_the_deadline_is_of_the_call_with_the_wait_for_a_token(planted: Planted) -> None:
    planted.plant(TOKEN, Answer(body={"access_token": "token-1", "expires_in": 900}, seconds=0.4))
    planted.plant(CHECK, Answer(body=GRANTED, seconds=0.4))
    async with client_of(planted, timeout=0.5) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="in time"):
            await client.check(USER, "films:watch")
        assert time.monotonic() - began < 0.75


async def test_a_cookie_of_a_proxy_is_not_sent_back(planted: Planted, client: AuthClient) -> None:
    planted.plant(CHECK, Answer(body=GRANTED, headers={"Set-Cookie": "server=b"}))
    for _ in range(2):
        await client.check(USER, "films:watch")
    assert [asked.headers.get("cookie") for asked in planted.asked] == [None] * 3


@pytest.mark.parametrize("results", [None, [], [GRANTED], [GRANTED] * 3, [GRANTED, "x"]], ids=repr)
async def test_a_batch_with_other_than_its_answers_is_no_answer(
    planted: Planted, client: AuthClient, results: Any
) -> None:
    planted.plant(BATCH, Answer(200, {"results": results}))
    with pytest.raises(Unavailable, match="bad_answer"):
        await client.check_many([(USER, "films:watch"), (USER, "films:rate")])


async def test_who_asks_is_told(planted: Planted, client: AuthClient) -> None:
    await client.check(USER, "films:watch")
    assert {asked.headers["user-agent"] for asked in planted.asked} == {f"auth-service-client/{__version__}"}


async def test_no_proxy_of_the_shell_comes_between(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with client_of(planted) as client:
        assert await client.check(USER, "films:watch")


async def test_no_secret_reaches_an_error_or_a_log(planted: Planted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    async with client_of(planted, retries=0) as client:
        for path, answer in ((TOKEN, Answer(401, {"error": "invalid_client"})), (CHECK, Answer(503, LATER))):
            planted.plant(path, answer)
            with pytest.raises((NotAllowed, Unavailable)) as raised:
                await client.check(USER, "films:watch")
            said.append(f"{raised.value!r}{raised.value}")
        said.append(repr(client._config))
    for secret in (CREDENTIALS["client_secret"], "token-1"):
        assert secret not in " ".join([*said, caplog.text])


async def test_a_call_that_is_cancelled_leaves_nothing_behind(planted: Planted) -> None:
    """Each of these is cut in another place: the token, the check, the wait before the second try. What was sent goes
    on to its end, and no longer than the client lives.
    """
    async with client_of(planted) as client:
        await client.check(USER, "films:watch")
        for path, answer in (
            (CHECK, Answer(body=GRANTED, seconds=2)),
            (CHECK, Answer(503, LATER, {"Retry-After": "2"})),
            (TOKEN, Answer(503, LATER, seconds=0.3)),
        ):
            planted.plant(path, answer)
            if path == TOKEN:
                client._token.forget("token-1")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.check(USER, "films:watch")
        pool: Any = client._transport._http
        assert await client.check(USER, "films:watch"), "and the next one is answered"
        assert len(pool._pool.connections) <= 3
    assert tasks_of_clients() == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"url": "auth:8000"}, "AUTH_SERVICE_URL"),
        ({"url": "ftp://auth"}, "AUTH_SERVICE_URL"),
        ({"url": "http://name:password@auth"}, "AUTH_SERVICE_URL"),
        ({"url": "http://auth:99999"}, "AUTH_SERVICE_URL"),
        ({"url": "http://auth:port"}, "AUTH_SERVICE_URL"),
        ({"url": "http://[::1"}, "AUTH_SERVICE_URL"),
        ({"url": "http://au th"}, "AUTH_SERVICE_URL"),
        ({"url": "http://auth\n"}, "AUTH_SERVICE_URL"),
        ({"url": "http://auth/#"}, "AUTH_SERVICE_URL"),
        ({"client_id": "x"}, "AUTH_SERVICE_CLIENT_SECRET"),
        ({"client_secret": "x"}, "AUTH_SERVICE_CLIENT_ID"),
        ({"local": True}, "AUTH_SERVICE_CLIENT_ID"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "3"}, "timeout"),
        ({"retries": "2"}, "retries"),
        ({"staleness": float("nan")}, "staleness"),
        ({"max_subjects": -1}, "max_subjects"),
        ({"retries": -1}, "retries"),
        ({"when_stale": "guess"}, "when_stale"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_settings_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as raised:
        AuthClient(**given)
    assert "password" not in str(raised.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "URL": "https://auth.example/base/",
        "CLIENT_ID": "id",
        "CLIENT_SECRET": "secret",
        "ISSUER": "https://auth.example",
        "AUDIENCE": "films",
    }.items():
        monkeypatch.setenv(f"AUTH_SERVICE_{name}", value)
    config = AuthClient()._config
    assert (config.url, config.client_id, config.client_secret) == ("https://auth.example/base", "id", "secret")
    assert (config.issuer, config.audience) == ("https://auth.example", "films")
