"""What is remembered of a verified token, and what is asked with each request all the same."""

from datetime import timedelta
from uuid import uuid4

import pytest

from auth_service.core.tokens.access_tokens import AccessClaims
from auth_service.core.tokens.verified import Verified
from tests.conftest import Fresh
from tests.support.api import V1, Api, StoppedClock, error_of

REFUSED = (401, "not_authenticated")


def claims() -> AccessClaims:
    return AccessClaims(uuid4(), "user", uuid4(), "of a test", 0, 1, 2)


def test_what_is_in_use_stays_and_no_more_is_kept_than_two_generations() -> None:
    verified, used = Verified(most=10), claims()
    verified.keep("used", "key", used)
    for number in range(1000):
        verified.keep(f"token {number}", "key", claims())
        assert verified.find("used") == ("key", used)
        assert len(verified) <= 20
    assert verified.find("token 0") is None
    assert verified.find("token 999") is not None


async def test_jwt_5_a_token_that_was_seen_expires_all_the_same(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, tokens = await api.as_role()
    for _ in range(2):
        assert (await api.me(tokens)).status_code == 200
    clock.forward(seconds=api.resources.settings.access_token_seconds + api.resources.settings.clock_leeway_seconds)
    assert error_of(await api.me(tokens)) == REFUSED


async def test_jwt_7_a_token_that_was_seen_ends_with_its_key(fresh: Fresh) -> None:
    api = await fresh.api()
    _, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    keys = api.resources.keys
    async with api.resources.hot.acquire() as connection, connection.transaction():
        await keys.replace_in(connection)
    await api.resources.coherence.settled()
    assert error_of(await api.me(tokens)) == REFUSED


async def test_out_1_a_token_that_was_seen_ends_with_its_session(api: Api) -> None:
    _, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    assert (await api.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
    assert error_of(await api.me(tokens)) == REFUSED


async def test_a_seen_token_is_not_verified_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    monkeypatch.setattr("auth_service.core.tokens.keys.verify", None)
    assert (await api.me(tokens)).status_code == 200


async def test_another_clock_does_not_make_a_seen_token_of_the_future_right(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, tokens = await api.as_role()
    assert (await api.me(tokens)).status_code == 200
    clock.now -= timedelta(seconds=api.resources.settings.clock_leeway_seconds + 1)
    assert error_of(await api.me(tokens)) == REFUSED
