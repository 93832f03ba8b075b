"""Every act on one's account while a store is down or hangs: 503, nothing half done, and well again by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, unique
from tests.support.cookie_browser import Browser
from tests.support.mailbox import newest
from tests.support.phone import shown_at
from tests.support.redis_topologies import flush
from tests.support.tcp_gate import Gates, gated
from tests.support.viewer import Watch, enrol

pytestmark = pytest.mark.long

UNAVAILABLE = (503, "temporarily_unavailable")
NEW = "nineteen-wooden-boats"
PATIENCE = 20
# Budgets and failures are counted before anything is looked at, and stay counted; Redis' own upkeep is not asked for.
NOT_COMPARED = "'alembic_version', 'denials', 'login_attempts', 'store_generation'"

Send = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Act:
    """`needs`: the stores without which it cannot be answered; `status` when all is well.

    `holds`: what ends a session is recorded even where Redis cannot be told yet, and is no less true for the 503.
    """

    name: str
    send: Send
    status: int
    needs: str = "postgres redis"
    holds: bool = False


@dataclass
class Cast:
    """Makes the people of the acts; each act has a user of its own, so that none depends on another."""

    api: Api
    watch: Watch

    def call(self, method: str, path: str, tokens: Tokens | None = None, **body: Any) -> Send:
        headers = tokens.bearer if tokens else {}
        return lambda: self.api.http.request(method, f"{V1}{path}", json=body or None, headers=headers)

    async def mailed(self, account: Account, kind: str, to: str | None = None) -> str:
        return (await newest(self.api, to or account.email, kind)).token

    async def acts(self) -> list[Act]:
        acts = [*await self.by_mail(), *await self.with_code(), *await self.with_cookies()]
        account, tokens = await self.api.as_role()
        other = await self.api.log_in(account)
        known = {"login": account.login, "password": PASSWORD, "device_token": tokens.device_token}
        device = (await self.call("GET", "/users/me/devices", other)()).json()["items"]
        strange = next(item["id"] for item in device if not item["current"])
        _, stepping = await self.api.as_role()
        target, admin = await self.api.create_user(), (await self.api.as_role("admin"))[1]
        _, changer = await self.api.as_role()
        return [
            *acts,
            Act("login", self.call("POST", "/auth/login", **known), 200),
            Act("sessions", self.call("GET", "/users/me/sessions", other), 200),
            Act("export", self.call("GET", "/users/me/export", other), 200),
            Act("device revoked", self.call("DELETE", f"/users/me/devices/{strange}", other), 204),
            Act("step-up", self.call("POST", "/auth/step-up", stepping, current_password=PASSWORD), 200),
            Act("unlock", self.call("POST", f"/admin/users/{target.id}/unlock", admin), 204),
            Act(
                "password",
                self.call("POST", "/users/me/password", changer, current_password=PASSWORD, new_password=NEW),
                204,
            ),
        ]

    async def by_mail(self) -> list[Act]:
        forgetful, fresh, moving = [await self.api.as_role() for _ in range(3)]
        lost = await self.api.create_user()
        address = f"{unique('new')}@example.com"
        for sent in (
            self.call("POST", "/auth/password/forgot", email=forgetful[0].email),
            self.call("POST", "/users/me/email/verify", fresh[1]),
            self.call("POST", "/users/me/email", moving[1], email=address, current_password=PASSWORD),
        ):
            assert (await sent()).status_code == 202
        reset = await self.mailed(forgetful[0], "reset_password")
        verify = await self.mailed(fresh[0], "verify_email")
        change = await self.mailed(moving[0], "email_change_new", address)
        _, asking = await self.api.as_role()
        wish = {"email": f"{unique('wish')}@example.com", "current_password": PASSWORD}
        return [
            Act("forgot", self.call("POST", "/auth/password/forgot", email=lost.email), 202, "postgres"),
            Act("reset", self.call("POST", "/auth/password/reset", token=reset, new_password=NEW), 200),
            Act("confirm", self.call("POST", "/auth/email/confirm", token=verify), 200, "postgres"),
            Act("confirm change", self.call("POST", "/auth/email/confirm", token=change), 200, "postgres"),
            Act("ask for change", self.call("POST", "/users/me/email", asking, **wish), 202),
        ]

    async def with_code(self) -> list[Act]:
        by_app, by_recovery = await enrol(self.api, self.watch), await enrol(self.api, self.watch)
        first, second = await by_app.challenge(), await by_recovery.challenge()
        answer = {"challenge": first, "code": by_app.code(), "trust_device": True}
        recovery = {"challenge": second, "code": by_recovery.codes[0]}
        _, beginner = await self.api.as_role()
        started = await self.call("POST", "/mfa/totp", beginner, current_password=PASSWORD)()
        code = shown_at(started.json()["secret"], self.watch.now)
        return [
            Act("login with code", self.call("POST", "/auth/login/mfa", **answer), 200),
            Act("login with recovery code", self.call("POST", "/auth/login/mfa", **recovery), 200),
            Act("second factor confirmed", self.call("POST", "/mfa/totp/confirm", beginner, code=code), 200),
        ]

    async def with_cookies(self) -> list[Act]:
        account = await self.api.create_user()
        coming, staying, leaving = (Browser(self.api, "http://localhost:8000", base="http://localhost") for _ in "123")
        await staying.log_in(account)
        await leaving.log_in(account)
        body = {"login": account.login, "password": PASSWORD}
        return [
            Act("login with cookies", lambda: coming.send("POST", "/auth/login", body), 200),
            Act("refresh by cookie", lambda: staying.send("POST", "/auth/refresh"), 200),
            Act("csrf token", lambda: leaving.send("GET", "/auth/csrf"), 200, "redis"),
            Act("logout by cookie", lambda: leaving.send("POST", "/auth/logout"), 204, holds=True),
        ]


async def contents(settings: Settings) -> dict[str, list[str]]:
    """Every row of every table that an act may change."""
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"  # noqa: S608
            f" AND relnamespace = 'public'::regnamespace AND relname NOT IN ({NOT_COMPARED})"
        )
        return {
            name: sorted(str(row[0]) for row in await connection.fetch(f"SELECT t::text FROM {name} t"))  # noqa: S608
            for (name,) in tables
        }
    finally:
        await connection.close()


@dataclass
class Stage:
    """One app behind a gate to each store, and what is to be done on it."""

    settings: Settings
    gates: dict[str, Gates]
    api: Api
    acts: list[Act]


@asynccontextmanager
async def staged(fresh: Fresh) -> AsyncIterator[Stage]:
    settings = await fresh.settings(session_limit=1000, database_timeout_seconds=1, redis_timeout_ms=300)
    async with (
        gated(settings) as (postgres, without_postgres),
        gated(without_postgres, "redis_url") as (redis, behind),
    ):
        watch = Watch()
        api = await fresh.on(behind, watch)
        acts = await Cast(api, watch).acts()
        yield Stage(settings, {"postgres": postgres, "redis": redis}, api, acts)


async def do(act: Act) -> httpx.Response:
    """As a client does: again after a 503, which is what heals need at most."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await act.send()).status_code == 503:  # noqa: ASYNC110  the answer is what we wait for
            await asyncio.sleep(0.05)
    return answer


@pytest.mark.parametrize("failure", ["shut", "frozen"])
@pytest.mark.parametrize("store", ["postgres", "redis"])
async def test_rel_3_what_a_failing_store_stops_is_503_and_leaves_nothing_half_done(
    fresh: Fresh, store: str, failure: str
) -> None:
    async with staged(fresh) as stage:
        stopped = [act for act in stage.acts if store in act.needs and not (act.holds and store == "redis")]
        before = await contents(stage.settings)
        gate = stage.gates[store]
        if failure == "shut":
            await gate.shut()
        else:
            gate.freeze()
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(act.send() for act in stopped))
        for act, answer in zip(stopped, answers, strict=True):
            assert error_of(answer) == UNAVAILABLE, act.name
            assert int(answer.headers["retry-after"]) >= 1, act.name
            assert "set-cookie" not in answer.headers, act.name
        assert await contents(stage.settings) == before

        await gate.open()
        for act in stopped:
            answer = await do(act)
            assert answer.status_code == act.status, (act.name, answer.text)


async def test_rel_2_mail_and_addresses_need_no_redis(fresh: Fresh) -> None:
    async with staged(fresh) as stage:
        await stage.gates["redis"].shut()
        for act in stage.acts:
            if "redis" not in act.needs:
                assert (await act.send()).status_code == act.status, act.name


async def test_rel_2_a_redis_that_forgot_everything_stops_nothing(fresh: Fresh) -> None:
    async with staged(fresh) as stage:
        for act in stage.acts:
            flush(stage.settings.redis_url.get_secret_value())
            answer = await act.send()
            assert answer.status_code == act.status, (act.name, answer.text)
