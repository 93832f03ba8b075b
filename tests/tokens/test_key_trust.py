"""A key that was retired is not believed, and does not sign, on a worker that has not heard of it in time."""

import asyncio
from typing import Any

import pytest

from auth_service.core import leases
from auth_service.core.tokens import keys
from auth_service.maintenance import signing_keys
from auth_service.permissions.actor import OPERATOR
from tests.conftest import Fresh
from tests.support.api import V1, Api
from tests.support.command import Command
from tests.support.forgery import header_of


def hears_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker that was frozen: what it was told lies unread, and it takes itself for one that hears."""
    monkeypatch.setattr(api.resources.coherence, "_hear", lambda *_: None)


async def signing_key(api: Api) -> str:
    (kid,) = [row["kid"] for row in await api.resources.keys.overview() if row["state"] == "signing"]
    return str(kid)


async def test_a_worker_without_its_lease_reads_the_keys_before_it_believes_one(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "DEAF_RELOAD_SECONDS", leases.SIT_OUT_SECONDS / 2)
    settings = await fresh.settings()
    one, other = await fresh.on(settings), await fresh.on(settings)
    _, tokens = await one.as_role()
    assert (await other.check(tokens, "films:watch"))["reason"]
    hears_no_more(other, monkeypatch)
    await Command(settings).does("keys", "retire", await signing_key(one), "--yes")
    await asyncio.sleep(leases.SIT_OUT_SECONDS)
    answer = await other.http.get(f"{V1}/auth/verify", headers=tokens.bearer)
    assert answer.status_code == 401


async def test_keys_are_as_old_as_the_question_for_them(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Postgres was slow, what it said is of before."""
    monkeypatch.setattr(keys, "DEAF_RELOAD_SECONDS", 0.2)
    ring = (await fresh.api()).resources.keys
    read = ring._live_rows

    async def slowly() -> list[Any]:
        rows = await read()
        await asyncio.sleep(0.3)
        return rows

    monkeypatch.setattr(ring, "_live_rows", slowly)
    await ring.load()
    assert ring._age() >= 0.3


async def test_a_login_after_a_retirement_gets_a_token_that_is_good(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await fresh.settings()
    one, other = await fresh.on(settings), await fresh.on(settings)
    account, _ = await one.as_role()
    retired = await signing_key(one)
    await signing_keys.retire(one.resources, OPERATOR, retired)
    await one.resources.coherence.settled()
    tokens = await other.log_in(account)
    assert header_of(tokens.access)["kid"] != retired
    assert (await one.me(tokens)).status_code == 200
