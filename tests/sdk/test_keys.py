"""The service's public keys: kept, renewed, and asked for at a key id that is new, but not at each."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from auth_service_client import AuthClient, InvalidToken, Unavailable
from auth_service_client import keys as module

from auth_service.core.tokens.access_tokens import KeyPair, TokenRules, generate_key, load_key, mint
from tests.sdk.test_transport import LATER, client_of
from tests.support.planted_service import KEYS, Answer, Planted

ISSUER = "http://issuer.test"
SUBJECT = UUID("01980000-0000-7000-8000-000000000001")


def new_key() -> KeyPair:
    kid, pem, public_jwk = generate_key()
    return load_key(kid, pem, public_jwk, datetime.now(UTC), None)


def token_of(key: KeyPair, **claims: Any) -> str:
    rules = TokenRules(ISSUER, "cinema", 900, 30)
    given = {"subject": SUBJECT, "kind": "user", "session_id": uuid4(), "epoch": 0} | claims
    return mint(rules, key, datetime.now(UTC), **given)


def publish(planted: Planted, *keys: KeyPair) -> None:
    planted.always(KEYS, lambda _asked: Answer(body={"keys": [key.public_jwk for key in keys]}))


class Clock:
    """Of the keys; 1000 s ahead, so that nothing is as old as the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic() + 1000
        monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def verifying(planted: Planted) -> AuthClient:
    return client_of(planted, issuer=ISSUER)


async def test_they_are_asked_for_once_however_many_wait(planted: Planted) -> None:
    key = new_key()
    publish(planted, key)
    async with verifying(planted) as client:
        callers = await asyncio.gather(*(client.verify(token_of(key)) for _ in range(20)))
        assert {caller.id for caller in callers} == {SUBJECT}
    assert planted.count(KEYS) == 1


async def test_strangers_make_us_ask_every_three_seconds_at_most(planted: Planted, clock: Clock) -> None:
    key = new_key()
    publish(planted, key)
    async with verifying(planted) as client:
        await client.verify(token_of(key))
        for expected in (1, 2, 3):
            for _ in range(20):
                with pytest.raises(InvalidToken):
                    await client.verify(token_of(new_key()))
            assert planted.count(KEYS) == expected
            clock.now += 3


async def test_all_who_bring_a_new_key_wait_for_it(planted: Planted, clock: Clock) -> None:
    """The second of them must not be refused because the first has asked just now."""
    old, new = new_key(), new_key()
    publish(planted, old)
    async with verifying(planted) as client:
        await client.verify(token_of(old))
        clock.now += 5
        planted.always(KEYS, lambda _: Answer(body={"keys": [old.public_jwk, new.public_jwk]}, seconds=0.05))
        await asyncio.gather(*(client.verify(token_of(new)) for _ in range(10)))
    assert planted.count(KEYS) == 2


async def test_a_retired_key_counts_no_longer(planted: Planted, clock: Clock) -> None:
    old, new = new_key(), new_key()
    token = token_of(old)
    publish(planted, old)
    async with verifying(planted) as client:
        await client.verify(token)
        publish(planted, new)
        clock.now += 301
        with pytest.raises(InvalidToken):
            await client.verify(token)


async def test_they_are_renewed_before_they_are_too_old(planted: Planted, clock: Clock) -> None:
    key = new_key()
    publish(planted, key)
    async with verifying(planted) as client:
        await client.verify(token_of(key))
        clock.now += 241
        planted.plant(KEYS, *[Answer(503, LATER)] * 3)
        assert await client.verify(token_of(key)), "a service that is away for a minute is not noticed"
        clock.now += 60
        planted.plant(KEYS, *[Answer(503, LATER)] * 20)
        with pytest.raises(Unavailable):
            await client.verify(token_of(key))


async def test_a_change_that_is_heard_while_they_load_loads_them_again(planted: Planted) -> None:
    old, new = new_key(), new_key()
    planted.plant(KEYS, Answer(body={"keys": [old.public_jwk]}, seconds=0.2))
    publish(planted, new)
    async with verifying(planted) as client:
        waiting = asyncio.create_task(client.verify(token_of(new)))
        await asyncio.sleep(0.1)
        client._keys.forget()
        assert (await waiting).id == SUBJECT
    assert planted.count(KEYS) == 2


@pytest.mark.parametrize("body", [b"<html>", {}, {"keys": 1}, {"keys": [1]}, {"keys": [{"alg": "ES256"}]}], ids=repr)
async def test_what_are_no_keys_is_no_answer(planted: Planted, body: Any) -> None:
    planted.plant(KEYS, Answer(200, body))
    async with verifying(planted) as client:
        with pytest.raises(Unavailable, match="bad_answer"):
            await client.verify(token_of(new_key()))


async def test_a_key_of_another_algorithm_is_not_taken(planted: Planted) -> None:
    key = new_key()
    planted.always(KEYS, lambda _: Answer(body={"keys": [key.public_jwk | {"alg": "ES384"}]}))
    async with verifying(planted) as client:
        with pytest.raises(InvalidToken):
            await client.verify(token_of(key))


async def test_who_waits_for_keys_may_go(planted: Planted) -> None:
    key = new_key()
    planted.always(KEYS, lambda _: Answer(body={"keys": [key.public_jwk]}, seconds=0.2))
    async with verifying(planted) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.verify(token_of(key)), 0.05)
        await client.verify(token_of(key))
    assert planted.count(KEYS) == 1


async def test_the_issuer_is_asked_for_where_nobody_says_it(planted: Planted) -> None:
    key = new_key()
    publish(planted, key)
    about = "/.well-known/oauth-authorization-server"
    async with client_of(planted) as client:
        planted.plant(
            about, Answer(404, {"error": "not_found"}), Answer(200, {"issuer": 1}), Answer(200, {"issuer": ISSUER})
        )
        for _ in range(2):
            with pytest.raises(Unavailable):
                await client.verify(token_of(key))
        for _ in range(2):
            assert (await client.verify(token_of(key))).id == SUBJECT
    assert planted.count(about) == 3


async def test_a_token_is_read_once_and_still_expires(planted: Planted) -> None:
    key = new_key()
    publish(planted, key)
    token = token_of(key)
    async with verifying(planted) as client:
        first = await client.verify(token)
        assert await client.verify(token) is first
        now = time.time() + 931
        client._now = lambda: now
        with pytest.raises(InvalidToken):
            await client.verify(token)
