"""Workers killed in the midst of an act on the account: it is done or not done, and doing it again is right."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, unique
from tests.support.mailbox import letters, newest
from tests.support.service_process import ServiceProcess

pytestmark = pytest.mark.long

NEW = "nineteen-wooden-boats"
ROUNDS = 2  # a new worker takes seconds
PATIENCE = 60
REFUSED = (401, "not_authenticated")


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: dict[str, Any]
    tokens: Tokens | None = None

    async def send(self, http: httpx.AsyncClient) -> httpx.Response:
        headers = self.tokens.bearer if self.tokens else {}
        return await http.request(self.method, f"{V1}{self.path}", json=self.body or None, headers=headers)


@dataclass(frozen=True)
class Round:
    """Four users, and what each of them does when the workers die."""

    forgetful: Account
    moving: Account
    address: str
    lost: Tokens
    before: tuple[Tokens, Tokens]
    reset: Call
    confirm: Call
    step_up: Call
    revoke: Call


async def prepared(api: Api) -> Round:
    forgetful, reset_before = await api.as_role()
    moving, mover = await api.as_role()
    _, stepping = await api.as_role()
    owner, lost = await api.as_role()
    here = await api.log_in(owner)
    address = f"{unique('new')}@example.com"
    await Call("POST", "/auth/password/forgot", {"email": forgetful.email}).send(api.http)
    await Call("POST", "/users/me/email", {"email": address, "current_password": PASSWORD}, mover).send(api.http)
    devices = (await Call("GET", "/users/me/devices", {}, here).send(api.http)).json()["items"]
    stolen = next(item["id"] for item in devices if not item["current"])
    reset = (await newest(api, forgetful.email, "reset_password")).token
    confirm = (await newest(api, address, "email_change_new")).token
    return Round(
        forgetful,
        moving,
        address,
        lost,
        (reset_before, stepping),
        Call("POST", "/auth/password/reset", {"token": reset, "new_password": NEW}),
        Call("POST", "/auth/email/confirm", {"token": confirm}),
        Call("POST", "/auth/step-up", {"current_password": PASSWORD}, stepping),
        Call("DELETE", f"/users/me/devices/{stolen}", {}, here),
    )


async def again(service: ServiceProcess, call: Call) -> httpx.Response:
    """Once there are workers again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                answer = await call.send(service.http)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code != 503:
                return answer


async def once_ready(service: ServiceProcess, call: Call) -> httpx.Response:
    """A worker that has only just started answers 503. A connection that is cut is for the caller to see."""
    while (answer := await call.send(service.http)).status_code == 503:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return answer


async def assert_refused(api: Api, tokens: Tokens) -> None:
    """What a dead worker could not publish, whoever answered the second try has."""
    assert error_of(await api.me(tokens)) == REFUSED
    assert error_of(await api.refresh(tokens.refresh)) == (401, "invalid_refresh_token")


async def check(api: Api, service: ServiceProcess, done: Round) -> None:
    """Each act is repeated, and is then done exactly once."""
    reset = await again(service, done.reset)
    assert reset.status_code == 200 or error_of(reset) == (401, "invalid_mail_token")
    assert (await api.log_in_as(done.forgetful.login, NEW)).status_code == 200
    assert (await api.log_in_as(done.forgetful.login, PASSWORD)).status_code == 401
    await assert_refused(api, done.before[0])
    assert len(await letters(api, done.forgetful.email, "password_changed")) == 1

    confirm = await again(service, done.confirm)
    assert confirm.status_code == 200 or error_of(confirm) == (401, "invalid_mail_token")
    assert (await api.log_in_as(done.address, PASSWORD)).status_code == 200
    assert (await api.log_in_as(done.moving.email, PASSWORD)).status_code == 401
    assert len(await letters(api, done.moving.email, "email_changed")) == 1

    stepped = await again(service, done.step_up)
    assert stepped.status_code == 200 or error_of(stepped) == REFUSED  # its answer was lost: log in again
    await assert_refused(api, done.before[1])

    revoke = await again(service, done.revoke)
    assert revoke.status_code == 204 or error_of(revoke) == (404, "not_found")
    await assert_refused(api, done.lost)


@asynccontextmanager
async def held_up(settings: Settings, account: Account) -> AsyncIterator[asyncpg.Connection]:
    """As long as this is open, whoever changes the account waits; a job that only refers to it does not."""
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", account.id)
            yield connection
    finally:
        await connection.close()


async def until_somebody_waits(holder: asyncpg.Connection) -> None:
    async with asyncio.timeout(PATIENCE):
        question = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        while not await holder.fetchval(question):  # noqa: ASYNC110  Postgres has no event for it
            await asyncio.sleep(0.01)


async def test_rel_9_killed_workers_leave_nothing_half_done(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    service = await fresh.service(settings, workers=2)
    chance = random.Random()
    for number in range(ROUNDS):
        done = await prepared(api)
        calls = [done.reset, done.confirm, done.step_up, done.revoke]
        # One call is in its transaction for certain. The others are wherever chance has them.
        certain, account = [(0, done.forgetful), (1, done.moving)][number % 2]
        async with held_up(settings, account) as holder:
            sent = [asyncio.create_task(once_ready(service, call)) for call in calls]
            await until_somebody_waits(holder)
            await asyncio.sleep(chance.uniform(0, 0.2) if number else 0)
            for worker in psutil.Process(service.pid).children(recursive=True):
                worker.kill()
            answers = await asyncio.gather(*sent, return_exceptions=True)
        assert isinstance(answers[certain], httpx.TransportError)
        await check(api, service, done)
