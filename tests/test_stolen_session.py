"""What a stolen session can do without the password: not throw its owner out, and not outlive the owner's acts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx

from tests.api import PASSWORD, V1, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.conftest import Fresh

GONE = (401, "not_authenticated")


async def send(api: Api, tokens: Tokens, method: str, path: str, **body: Any) -> httpx.Response:
    return await api.http.request(method, f"{V1}{path}", json=body or None, headers=tokens.bearer)


async def test_log_9_ending_all_other_sessions_takes_a_fresh_session(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, stolen = await api.as_role()
    clock.forward(minutes=5)
    owner = await api.log_in(account)
    refused = await send(api, stolen, "POST", "/auth/logout-others")
    assert error_of(refused) == (403, "step_up_required")
    assert (await api.me(owner)).status_code == 200
    shown = tokens_of(await send(api, stolen, "POST", "/auth/step-up", current_password=PASSWORD))
    assert (await send(api, shown, "POST", "/auth/logout-others")).status_code == 204
    assert error_of(await api.me(owner)) == GONE


@asynccontextmanager
async def unfinished(api: Api, statement: str, *args: Any) -> AsyncIterator[asyncpg.Connection]:
    """Another worker's transaction that has done this much, and commits when the block ends."""
    connection = await asyncpg.connect(api.resources.settings.asyncpg_dsn)
    try:
        async with connection.transaction():
            await connection.execute(statement, *args)
            yield connection
    finally:
        await connection.close()


async def waits_for_a_lock(api: Api) -> None:
    """Returns once a statement on this database waits for another transaction."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not await api.resources.hot.fetchval(waiting):
            await asyncio.sleep(0.01)


async def test_ref_5_a_step_up_that_overlaps_a_logout_leaves_no_session(fresh: Fresh) -> None:
    api = await fresh.api()
    _, tokens = await api.as_role()
    end = "UPDATE sessions SET revoked_at = now(), revoked_reason = 'logout' WHERE id = $1"
    async with unfinished(api, end, tokens.session_id):
        step_up = asyncio.create_task(send(api, tokens, "POST", "/auth/step-up", current_password=PASSWORD))
        await waits_for_a_lock(api)
    assert error_of(await step_up) == GONE
    assert not await api.resources.hot.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
