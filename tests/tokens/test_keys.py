"""The signing keys: rotated without a 401, ended in an emergency, published without their private parts."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest

from auth_service.core.secrets import CannotOpen
from auth_service.core.tokens.keys import RELOAD_SECONDS, SHORTEST_OVERLAP
from auth_service.maintenance import signing_keys
from auth_service.permissions.actor import OPERATOR
from tests.conftest import Fresh
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of
from tests.support.forgery import forged, header_of

OTHER_SECRET = "another secret of the test suite, also long enough"
LIFE = 900


class Traffic:
    """Two replicas under one clock: each mints, both must accept every token until it expires."""

    def __init__(self, one: Api, two: Api, clock: StoppedClock, tokens: Tokens, account_id: Any) -> None:
        self.replicas = one, two
        self.clock = clock
        self._tokens = tokens
        self._account_id = account_id
        self._issued: list[tuple[datetime, str]] = []
        self.signers: list[str] = []

    async def run(self, seconds: int, step: int) -> None:
        """Reloads as workers do; every `step` seconds in the worst order: one has reloaded, the other has not."""
        for elapsed in range(RELOAD_SECONDS, seconds + 1, RELOAD_SECONDS):
            self.clock.forward(seconds=RELOAD_SECONDS)
            for replica in self.replicas:
                if elapsed % step == 0:
                    await self.exchange()
                await replica.resources.keys.load()
            if elapsed % step == 0:
                await self.exchange()

    async def exchange(self) -> None:
        for replica in self.replicas:
            token = replica.resources.keys.mint(
                subject=self._account_id, kind="user", session_id=self._tokens.session_id, epoch=0
            )
            self.signers.append(header_of(token)["kid"])
            self._issued.append((self.clock.now, token))
        alive = [(at, token) for at, token in self._issued if at + timedelta(seconds=LIFE) > self.clock.now]
        self._issued = alive
        for at, token in (alive[0], *alive[-2:]):
            for number, replica in enumerate(self.replicas):
                answer = await replica.http.get(f"{V1}/users/me", headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 200, f"replica {number}, token of {self.clock.now - at} ago"


@pytest.fixture
async def traffic(fresh: Fresh) -> Traffic:
    clock = StoppedClock()
    settings = await fresh.settings(key_overlap_seconds=600)
    one, two = await fresh.on(settings, clock), await fresh.on(settings, clock)
    account = await one.create_user()
    return Traffic(one, two, clock, await one.log_in(account), account.id)


async def test_jwt_7_rotation_refuses_nobody(traffic: Traffic) -> None:
    await traffic.exchange()
    old = traffic.signers[-1]
    kid, signs_from = await signing_keys.rotate(traffic.replicas[0].resources, OPERATOR)
    assert signs_from == traffic.clock.now + timedelta(seconds=600)
    assert kid in published(traffic.replicas[0]), "long before it signs"
    await traffic.run(600 - 60, 60)
    assert set(traffic.signers) == {old}
    await traffic.run(120, RELOAD_SECONDS)
    assert traffic.signers[-1] == kid
    assert old in published(traffic.replicas[1]), "its tokens are alive"
    await traffic.run(LIFE + 60, 60)
    assert set(traffic.signers[-20:]) == {kid}
    assert published(traffic.replicas[0]) == {kid}


async def test_jwt_7_soon_refuses_nobody_either(traffic: Traffic) -> None:
    kid, signs_from = await signing_keys.rotate(traffic.replicas[0].resources, OPERATOR, soon=True)
    assert signs_from == traffic.clock.now + SHORTEST_OVERLAP
    await traffic.run(60, RELOAD_SECONDS)
    assert traffic.signers[-1] == kid
    await traffic.run(LIFE + 60, 60)


async def test_jwt_7_second_rotation_before_the_first_signs_refuses_nobody(traffic: Traffic) -> None:
    """The key that was coming must not take over from the one that replaced it, and then retire under live tokens."""
    resources = traffic.replicas[0].resources
    overtaken, _ = await signing_keys.rotate(resources, OPERATOR)
    await traffic.run(15, RELOAD_SECONDS)
    last, _ = await signing_keys.rotate(resources, OPERATOR, soon=True)
    await traffic.run(2 * LIFE, 150)
    assert overtaken not in traffic.signers
    assert set(traffic.signers[-20:]) == {last}


async def test_jwt_7_retired_key_is_refused_once_it_is_retired(traffic: Traffic) -> None:
    one, two = traffic.replicas
    await traffic.exchange()
    leaked = traffic.signers[-1]
    tokens = await one.log_in(await one.create_user())
    assert await signing_keys.retire(one.resources, OPERATOR, leaked)
    await one.resources.coherence.settled()
    assert error_of(await one.me(tokens)) == (401, "not_authenticated")
    assert error_of(await two.me(tokens)) == (401, "not_authenticated")
    assert leaked not in published(one) | published(two)
    renewed = await two.refresh(tokens.refresh)
    assert renewed.status_code == 200, "nobody has to log in again"
    assert header_of(renewed.json()["access_token"])["kid"] != leaked
    assert not await signing_keys.retire(one.resources, OPERATOR, leaked), "once"
    assert not await signing_keys.retire(one.resources, OPERATOR, "no-such-key")


async def test_jwt_7_retired_key_is_not_taken_back_by_a_reload_bound(traffic: Traffic) -> None:
    """A worker that still holds the retired key in memory goes by its time, not by its next reload."""
    one, two = traffic.replicas
    tokens = await one.log_in(await one.create_user())
    keys = two.resources.keys
    (kid,) = published(two)
    await signing_keys.retire(one.resources, OPERATOR, kid)
    await one.resources.coherence.settled()
    await keys.load()
    rows = await two.resources.hot.fetch("SELECT kid FROM signing_keys")
    assert len(rows) == 2
    for _ in range(3):
        assert error_of(await two.me(tokens)) == (401, "not_authenticated")


async def test_jwt_7_retiring_a_coming_key_leaves_one_that_signs_for_good(traffic: Traffic) -> None:
    """The old key was told to retire when the coming one would have replaced it."""
    await traffic.run(60, 60)
    coming, _ = await signing_keys.rotate(traffic.replicas[0].resources, OPERATOR)
    assert await signing_keys.retire(traffic.replicas[0].resources, OPERATOR, coming)
    await traffic.replicas[1].resources.keys.load()
    await traffic.run(600 + 2 * LIFE, 150)
    assert coming not in traffic.signers


async def test_jwt_7_retiring_the_new_key_leaves_one_that_signs_for_good(traffic: Traffic) -> None:
    kid, _ = await signing_keys.rotate(traffic.replicas[0].resources, OPERATOR, soon=True)
    await traffic.run(600, 300)
    assert traffic.signers[-1] == kid
    assert await signing_keys.retire(traffic.replicas[0].resources, OPERATOR, kid)
    traffic._issued.clear()
    await traffic.replicas[1].resources.keys.load()
    await traffic.run(LIFE + 300, 150)


async def test_jwt_7_replica_that_lags_learns_of_a_key_from_its_first_token(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = traffic.replicas
    (old,) = published(one)
    await signing_keys.retire(one.resources, OPERATOR, old)
    tokens = await one.log_in(await one.create_user())
    monkeypatch.setattr(two.resources.keys, "_loaded_at", -1e9)  # its last reload was long ago
    assert (await two.me(tokens)).status_code == 200


async def test_jwt_7_made_up_kids_cause_one_reload(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    api = traffic.replicas[0]
    tokens = await api.log_in(await api.create_user())
    keys, loads = api.resources.keys, 0
    read = keys._live_rows

    async def counted() -> list[Any]:
        nonlocal loads
        loads += 1
        return await read()

    monkeypatch.setattr(keys, "_live_rows", counted)
    monkeypatch.setattr(keys, "_loaded_at", -1e9)
    forgeries = [forged(api, tokens, header={"kid": f"made-up-{number:08}"}) for number in range(200)]
    answers = await asyncio.gather(
        *(api.http.get(f"{V1}/users/me", headers={"Authorization": f"Bearer {token}"}) for token in forgeries)
    )
    assert {error_of(answer) for answer in answers} == {(401, "not_authenticated")}
    assert loads <= 2, "one of them, and at most one of the worker's own"


async def test_jwt_7_new_deployment_gets_one_key_from_many_workers(fresh: Fresh) -> None:
    settings = await fresh.settings()
    apis = [await fresh.on(settings) for _ in range(4)]
    await asyncio.gather(*(api.resources.keys.load() for api in apis))
    assert {tuple(published(api)) for api in apis} == {tuple(published(apis[0]))}
    assert len(published(apis[0])) == 1


async def test_jwt_7_jwks_is_public_and_cacheable(traffic: Traffic) -> None:
    api = traffic.replicas[0]
    kid, _ = await signing_keys.rotate(api.resources, OPERATOR)
    answer = await api.http.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = answer.json()["keys"]
    assert len(keys) == 2
    assert kid in {key["kid"] for key in keys}
    for key in keys:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")


async def test_jwt_7_published_key_verifies_what_was_issued(api: Api) -> None:
    """As another service would do it: with the JWKS and nothing else."""
    from jose import jwt

    _, tokens = await api.as_role()
    jwks = (await api.http.get("/.well-known/jwks.json")).json()
    claims = jwt.decode(tokens.access, jwks, algorithms=["ES256"], audience="cinema", issuer="http://localhost:8000")
    assert claims["sid"] == tokens.session_id


def published(api: Api) -> set[str]:
    return {key["kid"] for key in api.resources.keys.jwks()["keys"]}


def strings_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes | bytearray):
        yield bytes(value)
    else:
        yield json.dumps(value, default=str).encode()


async def test_private_keys_are_sealed_at_rest(api: Api) -> None:
    await api.as_role()
    rows = await api.resources.hot.fetch("SELECT * FROM signing_keys")
    stored = b"".join(text for row in rows for value in row.values() for text in strings_of(value))
    assert rows
    for key in api.resources.keys._keys.values():
        private = cast(Any, key.private).prepared_key.private_numbers().private_value
        assert private.to_bytes(32) not in stored
    for trace in (b"PRIVATE", b"BEGIN", b'"d"'):
        assert trace not in stored


async def test_sealed_key_opens_under_its_own_name_only(fresh: Fresh) -> None:
    """Whoever can write to the database cannot make one key pass for another."""
    api = await fresh.api()
    kid, _ = await signing_keys.rotate(api.resources, OPERATOR)
    sealed = await api.resources.hot.fetchval("SELECT private_pem FROM signing_keys WHERE kid <> $1", kid)
    await api.resources.hot.execute("UPDATE signing_keys SET private_pem = $2 WHERE kid = $1", kid, sealed)
    with pytest.raises(CannotOpen):
        await api.resources.keys.load()


async def test_previous_secret_key_opens_what_it_sealed_and_signed(fresh: Fresh) -> None:
    settings = await fresh.settings()
    before = await fresh.on(settings)
    account = await before.create_user()
    old = await before.log_in(account)

    changed = settings.model_copy(
        update={"secret_key": type(settings.secret_key)(OTHER_SECRET), "secret_key_previous": settings.secret_key}
    )
    after = await fresh.on(changed)
    assert (await after.me(old)).status_code == 200
    renewed = await after.refresh(old.refresh)
    assert renewed.status_code == 200
    new = Tokens(renewed.json()["access_token"], renewed.json()["refresh_token"], old.session_id)
    assert (await after.me(new)).status_code == 200
    assert error_of(await before.refresh(new.refresh)) == (401, "invalid_refresh_token"), "signed with the new secret"

    await signing_keys.rotate(after.resources, OPERATOR, soon=True)
    await after.resources.hot.execute("DELETE FROM signing_keys WHERE retires_at IS NOT NULL")
    alone = await fresh.on(changed.model_copy(update={"secret_key_previous": None}))
    assert (await alone.me(await alone.log_in(account))).status_code == 200
    assert error_of(await alone.refresh(old.refresh)) == (401, "invalid_refresh_token")


async def test_wrong_secret_key_is_said_and_lets_nobody_in(fresh: Fresh) -> None:
    """Neither 401 nor a new key beside those that it cannot open: 503 until the setting is right."""
    settings = await fresh.settings()
    tokens = await (right := await fresh.on(settings)).log_in(await right.create_user())
    wrong = settings.model_copy(update={"secret_key": type(settings.secret_key)(OTHER_SECRET)})
    with pytest.raises(CannotOpen, match="SECRET_KEY_PREVIOUS"):
        await fresh.on(wrong)
    assert (await right.me(tokens)).status_code == 200
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM signing_keys") == 1
    finally:
        await connection.close()
