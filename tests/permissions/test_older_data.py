"""Ways by which an answer of before a change might come after it; the trials of tests/operations find others."""

import asyncio
import time

import httpx
import pytest

from auth_service.core import leases
from auth_service.core.coherence import sitting_out
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant
from tests.support.api import V1, Api, Tokens
from tests.support.command import Command


def hears_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker that is busy or frozen: what it was told lies unread, and its lease runs on until its end."""
    monkeypatch.setattr(api.resources.coherence, "_hear", lambda *_: None)


async def verify(api: Api, tokens: Tokens, *codes: str) -> httpx.Response:
    """What can be answered from memory in this process: a body comes in two parts here."""
    query = [("permission", code) for code in codes]
    return await api.http.get(f"{V1}/auth/verify", params=query, headers=tokens.bearer)


async def keep_in_memory(api: Api, tokens: Tokens, *codes: str) -> None:
    """Its lease is as new as it can be, and the answer is kept."""
    async with asyncio.timeout(5):
        while True:
            before = api.resources.coherence.until
            await verify(api, tokens, *codes)
            await asyncio.sleep(0.01)
            if api.resources.coherence.until > before:
                return


@pytest.fixture(autouse=True)
def _long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a change takes."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr(leases, "SIT_OUT_SECONDS", 3.0 + leases.MARGIN_SECONDS)


@pytest.mark.long
async def test_a_command_is_done_when_every_worker_knows(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = await fresh.settings()
    one, other = await fresh.on(settings), await fresh.on(settings)
    _, root = await one.as_role("superuser")
    code = await create_permission(one, root)
    role = await create_role(one, root, code)
    account, tokens = await one.as_role()
    await grant(one, root, account.id, role)
    await keep_in_memory(other, tokens, code)
    hears_no_more(other, monkeypatch)
    await Command(settings).does("roles", "revoke", account.login, role)
    assert (await verify(other, tokens, code)).status_code == 403


async def test_a_command_that_could_not_listen_to_its_end_waits(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would have been told, nobody knows."""
    monkeypatch.setattr(leases, "SIT_OUT_SECONDS", 0.5)
    settings = await fresh.settings()
    one = await fresh.on(settings)
    _, root = await one.as_role("superuser")
    async with sitting_out(one.resources.direct, settings):
        cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
        assert await one.resources.hot.fetchval(cut)
        await create_permission(one, root)
        began = time.monotonic()
    assert time.monotonic() - began >= 0.5


@pytest.mark.long
async def test_a_401_to_a_second_try_is_true_everywhere(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has logged out, and its answer was lost before all workers had heard of it."""
    settings = await fresh.settings()
    first, second, other = [await fresh.on(settings) for _ in range(3)]
    _, tokens = await first.as_role()
    await keep_in_memory(other, tokens)
    hears_no_more(other, monkeypatch)

    done = asyncio.Event()

    async def lost() -> None:
        done.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(first.resources.coherence, "settled", lost)
    lost_try = asyncio.create_task(first.http.post(f"{V1}/auth/logout-all", headers=tokens.bearer))
    await done.wait()
    lost_try.cancel()
    again = await second.http.post(f"{V1}/auth/logout-all", headers=tokens.bearer)
    assert again.status_code == 401
    assert (await verify(other, tokens)).status_code == 401


async def test_no_cache_asks_for_the_keys_too(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has heard at one worker that a key was retired asks another one, which has not heard it."""
    settings = await fresh.settings()
    one, other = await fresh.on(settings), await fresh.on(settings)
    _, tokens = await one.as_role()
    await keep_in_memory(other, tokens)
    hears_no_more(other, monkeypatch)
    (key,) = await one.resources.keys.overview()
    async with one.resources.hot.acquire() as connection, connection.transaction():
        assert await one.resources.keys.retire_in(connection, key["kid"])
    headers = {**tokens.bearer, "Cache-Control": "no-cache"}
    assert (await verify(other, tokens)).status_code == 200  # nobody was told yet that it was done
    assert (await other.http.get(f"{V1}/auth/verify", headers=headers)).status_code == 401
