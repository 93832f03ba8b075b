"""The client's own token: one fetch for all, renewed ahead of its end, replaced once when it is refused."""

import asyncio
import time
from typing import Any

import pytest
from auth_service_client import AuthClient, NotAllowed, Unavailable
from auth_service_client import service_token as module

from tests.sdk.test_transport import CREDENTIALS, LATER, USER, client_of
from tests.support.planted_service import CHECK, GRANTED, TOKEN, Answer, Asked, Planted

REFUSED = Answer(401, {"error": "not_authenticated", "detail": "A valid access token is needed."})


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def forward(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def shown(planted: Planted) -> list[str]:
    return [asked.headers["authorization"].removeprefix("Bearer ") for asked in planted.of(CHECK)]


async def test_it_is_fetched_once_however_many_wait(planted: Planted) -> None:
    planted.plant(TOKEN, Answer(503, LATER))
    async with client_of(planted) as client:
        await asyncio.gather(*(client.check(USER, "films:watch") for _ in range(50)))
    assert planted.count(TOKEN) == 2, "the second try is of the same fetch"
    assert set(shown(planted)) == {"token-1"}
    assert planted.of(TOKEN)[0].body == b"grant_type=client_credentials"
    assert planted.of(TOKEN)[0].headers["authorization"].startswith("Basic ")


async def test_all_who_wait_are_told_of_a_failure(planted: Planted) -> None:
    planted.plant(TOKEN, *[Answer(503, LATER)] * 3)
    async with client_of(planted) as client:
        calls = (client.check(USER, "films:watch") for _ in range(10))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(failure) for failure in failures} == {Unavailable}
        assert await client.check(USER, "films:watch")


async def test_it_is_renewed_ahead_of_its_end_and_nobody_waits(planted: Planted, clock: Clock) -> None:
    async with client_of(planted) as client:
        await client.check(USER, "films:watch")
        clock.forward(0.6 * 900)
        await client.check(USER, "films:watch")
        assert planted.count(TOKEN) == 1
        clock.forward(0.2 * 900)
        planted.plant(TOKEN, Answer(503, LATER), Answer(503, LATER), Answer(503, LATER))
        for _ in range(3):
            assert await client.check(USER, "films:watch")
        assert set(shown(planted)) == {"token-1"}, "the old one is good while the new one does not come"
        async with asyncio.timeout(5):
            while shown(planted)[-1] != "token-2":
                await client.check(USER, "films:watch")


async def test_one_that_has_ended_is_not_shown(planted: Planted, clock: Clock) -> None:
    async with client_of(planted) as client:
        await client.check(USER, "films:watch")
        clock.forward(901)
        await client.check(USER, "films:watch")
    assert shown(planted) == ["token-1", "token-2"]


async def test_one_that_is_refused_is_replaced_once(planted: Planted) -> None:
    planted.always(CHECK, refusing_the_first)
    async with client_of(planted) as client:
        assert await client.check(USER, "films:watch")
        assert shown(planted) == ["token-1", "token-2"]
        planted.always(CHECK, lambda _asked: REFUSED)
        with pytest.raises(NotAllowed, match="not_authenticated"):  # InvalidToken is for the caller's token
            await client.check(USER, "films:watch")
    assert shown(planted)[2:] == ["token-2", "token-3"]


def refusing_the_first(asked: Asked) -> Answer:
    return REFUSED if asked.headers["authorization"] == "Bearer token-1" else Answer(body=GRANTED)


async def test_many_that_are_refused_together_fetch_one(planted: Planted) -> None:
    planted.always(CHECK, refusing_the_first)
    async with client_of(planted) as client:
        await asyncio.gather(*(client.check(USER, "films:watch") for _ in range(20)))
    assert planted.count(TOKEN) == 2


async def test_a_wrong_secret_is_the_operators_case(planted: Planted) -> None:
    planted.plant(TOKEN, Answer(401, {"error": "invalid_client", "error_description": "Wrong id or secret."}))
    async with client_of(planted) as client:
        with pytest.raises(NotAllowed) as raised:
            await client.check(USER, "films:watch")
    assert (raised.value.code, raised.value.detail) == ("invalid_client", "Wrong id or secret.")


async def test_without_an_account_nothing_is_asked(planted: Planted) -> None:
    async with AuthClient(planted.base_url) as client:
        with pytest.raises(NotAllowed, match="no_client_id"):
            await client.check(USER, "films:watch")
    assert planted.asked == []


@pytest.mark.parametrize(
    "body", [b"<html>", {}, {"access_token": 1, "expires_in": 900}, {"access_token": "x"}], ids=repr
)
async def test_what_is_no_token_is_no_answer(planted: Planted, body: Any) -> None:
    planted.plant(TOKEN, Answer(200, body))
    async with client_of(planted) as client:
        with pytest.raises(Unavailable, match="bad_answer") as raised:
            await client.check(USER, "films:watch")
    assert CREDENTIALS["client_secret"] not in str(raised.value)
