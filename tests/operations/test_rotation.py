"""Keys, SECRET_KEY and the database's password are exchanged under load, without a failed request (SEC-2, F22)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from auth_service.config import Settings
from auth_service.core.clock import utc_now
from auth_service.core.tokens.keys import SHORTEST_OVERLAP
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from auth_service.mfa.totp import SECONDS, code_at
from tests.conftest import TEST_SECRET, test_settings
from tests.operations.acts import Load
from tests.support.api import PASSWORD, V1, Tokens, tokens_of
from tests.support.command import Command
from tests.support.service_process import ServiceProcess, running_service

NEW_SECRET = "the next secret of the test suite, thirty-two bytes too"


@dataclass
class Fleet:
    """Two service processes under load; `roll` exchanges them one after the other, as a proxy's operator does."""

    settings: Settings
    load: Load
    admin: Tokens
    running: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def start(self) -> ServiceProcess:
        stack = AsyncExitStack()
        service = await stack.enter_async_context(running_service(self.settings, 1, {}))
        self.running[service.base_url] = stack
        self.load.serving.append(service)
        return service

    async def roll(self, **changes: Any) -> None:
        self.settings = self.settings.model_copy(update=changes)
        for old in list(self.load.serving):
            await self.start()
            await self.load.take_out(old)
            await self.running.pop(old.base_url).aclose()
            await asyncio.sleep(1)  # both kinds at once


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[Fleet]:
    postgres, redis = start_postgres(folder / "postgres", durable=False), start_redis(folder / "redis", durable=False)
    try:
        settings = test_settings(database_url=postgres.url, redis_url=redis.url, key_overlap_seconds=0)
        await Command(settings).does("migrate")
        await Command(settings).does("users", "create", "boss", "boss@example.com", "--superuser", typed=PASSWORD)
        found = Fleet(settings, Load([], Tokens("", "", "")), Tokens("", "", ""))
        try:
            first = await found.start()
            await found.start()
            body = {"login": "boss", "password": PASSWORD}
            found.load.admin = found.admin = tokens_of(await first.http.post(f"{V1}/auth/login", json=body))
            yield found
        finally:
            for stack in found.running.values():
                await stack.aclose()
    finally:
        redis.stop()
        postgres.stop()


@asynccontextmanager
async def without_a_failure(fleet: Fleet, name: str, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[None]:
    async with fleet.load.going():
        await asyncio.sleep(5)
        yield
        await asyncio.sleep(3)
    with capsys.disabled():
        print(f"\n{name}: {fleet.load.ledger.figures()}; slowest {fleet.load.ledger.slowest:.1f} s")
    assert fleet.load.ledger.failures() == {}
    assert fleet.load.ledger.wrong == []


async def test_sec_2_signing_keys_rotate_under_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with fleet(tmp_path) as running:
        async with without_a_failure(running, "keys rotate", capsys):
            said = await Command(running.settings).does("keys", "rotate", "--soon")
            await asyncio.sleep(SHORTEST_OVERLAP.total_seconds() + 2)
        states = {row["kid"]: row["state"] for row in (await Command(running.settings)("keys", "list", "--json")).rows}
        assert states[said.split()[0]] == "signing"


async def test_sec_2_secret_key_changes_under_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every process can open what the new key seals before any seals with it: two rolls, then the old one goes."""
    old, new = SecretStr(TEST_SECRET), SecretStr(NEW_SECRET)
    async with fleet(tmp_path) as running:
        secret = await enrol(running.load.serving[0], running.admin)
        async with without_a_failure(running, "SECRET_KEY", capsys):
            await running.roll(secret_key_previous=new)
            await running.roll(secret_key=new, secret_key_previous=old)
            said = await Command(running.settings).does("keys", "reseal")
            assert "1 authenticators" in said
            assert "0 signing keys" not in said
            assert "0 authenticators, 0 mails, 0 webhooks, 0 signing keys" in await Command(running.settings).does(
                "keys", "reseal"
            )
        # As after SESSION_IDLE_SECONDS: who is still logged in has refreshed since.
        fresh = [person for person in running.load.ledger.people if person.tokens is not None]
        await asyncio.gather(*(refresh(running, person) for person in fresh))
        async with without_a_failure(running, "SECRET_KEY_PREVIOUS gone", capsys):
            await running.roll(secret_key_previous=None)
        service = running.load.serving[0]
        answer = await service.http.post(f"{V1}/auth/login", json={"login": "boss", "password": PASSWORD})
        code = code_at(secret, utc_now() + timedelta(seconds=SECONDS))  # that of now may be the one that confirmed it
        body = {"challenge": answer.json()["challenge"], "code": code}
        assert (await service.http.post(f"{V1}/auth/login/mfa", json=body)).status_code == 200


async def refresh(running: Fleet, person: Any) -> None:
    answer = await running.load.call("refresh", "POST", "/auth/refresh", refresh_token=person.tokens.refresh)
    assert answer is not None
    person.tokens = tokens_of(answer)


async def enrol(service: ServiceProcess, tokens: Tokens) -> str:
    """The seed of the authenticator that is confirmed now."""
    started = await service.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)
    assert started.status_code in {200, 201}, started.text
    secret: str = started.json()["secret"]
    body = {"code": code_at(secret, utc_now())}
    confirmed = await service.http.post(f"{V1}/mfa/totp/confirm", json=body, headers=tokens.bearer)
    assert confirmed.status_code == 200, confirmed.text
    return secret


async def test_sec_2_the_database_s_password_changes_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a second login role: with one role, connections that are opened between the two steps are refused."""
    async with fleet(tmp_path) as running:
        dsn = running.settings.asyncpg_dsn
        parts = urlsplit(dsn)
        owner = await asyncpg.connect(dsn)
        try:
            await owner.execute("CREATE ROLE auth_b LOGIN PASSWORD 'second-password' IN ROLE auth")
            await owner.execute("ALTER ROLE auth_b SET role = 'auth'")
            other = dsn.replace(parts.netloc, f"auth_b:second-password@{parts.hostname}:{parts.port}")
            again = dsn.replace(f":{parts.password}@", ":third-password@")
            async with without_a_failure(running, "database password", capsys):
                await running.roll(database_url=SecretStr(other))
                await owner.execute("ALTER ROLE auth PASSWORD 'third-password'")
                await running.roll(database_url=SecretStr(again))
                await owner.execute("DROP ROLE auth_b")
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(dsn)
        finally:
            await owner.close()
