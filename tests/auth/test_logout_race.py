"""Logouts against three worker processes over TCP, each token asked for on many connections at once.

LOGOUT_ROUNDS=1000 tries harder and prints how late the last acceptance was.
"""

import asyncio
import os
import time

import httpx
import psutil
import pytest

from tests.conftest import Fresh
from tests.support.api import V1, Api, Tokens, error_of

pytestmark = pytest.mark.long

ROUNDS = int(os.environ.get("LOGOUT_ROUNDS", "25"))
MOST_ROUNDS = 20 * ROUNDS
WORKERS = 3
POLLERS = 6
EVERY = 0.005
PATIENCE = 60


async def poll(http: httpx.AsyncClient, tokens: Tokens, over: asyncio.Event, seen: list[tuple[float, int]]) -> None:
    """(when it was sent, status), each on a connection of its own: until one was sent after the logout's answer."""
    after = False
    while not after:
        after = over.is_set()
        sent = time.perf_counter()
        answer = await http.get(f"{V1}/users/me", headers=tokens.bearer)
        seen.append((sent, answer.status_code))
        await asyncio.sleep(EVERY)


def cpu_seconds(parent: int) -> dict[int, float]:
    """Of each worker process until now."""
    return {child.pid: child.cpu_times().user for child in psutil.Process(parent).children(recursive=True)}


async def test_out_1_no_worker_accepts_a_token_after_the_logouts_answer(fresh: Fresh) -> None:
    settings = await fresh.settings(session_limit=1000)
    service = await fresh.service(settings, workers=WORKERS)
    near, over_tcp = await fresh.on(settings), Api(service.http)
    account = await near.create_user()
    before, after, latest = 0, 0, float("-inf")
    started, rounds = cpu_seconds(service.pid), 0

    def asked() -> int:
        """The workers that had something to do: a quick machine may send it all to a few of them for a while."""
        return sum(seconds - started[pid] > 0.1 for pid, seconds in cpu_seconds(service.pid).items())

    while rounds < ROUNDS or (asked() < WORKERS and rounds < MOST_ROUNDS):
        rounds += 1
        tokens = await over_tcp.log_in(account)
        over, seen = asyncio.Event(), list[tuple[float, int]]()
        pollers = [asyncio.create_task(poll(service.http, tokens, over, seen)) for _ in range(POLLERS)]
        async with asyncio.timeout(PATIENCE):
            while not any(status == 200 for _, status in seen):  # noqa: ASYNC110  each token is good before
                await asyncio.sleep(EVERY)
        assert (await service.http.post(f"{V1}/auth/logout", headers=tokens.bearer)).status_code == 204
        answered = time.perf_counter()
        over.set()
        await asyncio.gather(*pollers)
        assert error_of(await over_tcp.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
        assert {status for _, status in seen} <= {200, 401}
        accepted = [sent - answered for sent, status in seen if status == 200]
        before += len(accepted)
        after += sum(moment > 0 for moment in accepted)
        latest = max([latest, *accepted])
    print(
        f"{rounds} logouts: {before} acceptances before the answer, {after} after it, the last {latest * 1000:.1f} ms"
    )
    assert before >= rounds, "each token was good before"
    assert after == 0
    assert asked() >= WORKERS, "every worker was asked"
