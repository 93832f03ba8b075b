"""A user with an authenticator, and the clock that the phone shares with the service."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.api import PASSWORD, V1, Account, Api, Tokens, tokens_of
from tests.support.phone import shown_at

STEP = timedelta(seconds=30)


class Watch:
    """A clock that stands still unless it is turned."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, by: timedelta = STEP) -> None:
        self.now += by


@dataclass
class Viewer:
    """One who has confirmed an authenticator."""

    api: Api
    watch: Watch
    account: Account
    tokens: Tokens
    secret: str
    codes: list[str]

    def code(self, steps: int = 0) -> str:
        return shown_at(self.secret, self.watch.now + steps * STEP)

    async def give_password(self, device_token: str | None = None) -> httpx.Response:
        body = {"login": self.account.login, "password": self.account.password, "device_token": device_token}
        return await self.api.http.post(f"{V1}/auth/login", json=body)

    async def challenge(self, device_token: str | None = None) -> str:
        answer = (await self.give_password(device_token)).json()
        assert answer["mfa_required"] is True
        assert answer.keys() == {"mfa_required", "challenge", "expires_in"}
        return str(answer["challenge"])

    async def answer(self, challenge: str, code: str, **more: Any) -> httpx.Response:
        body = {"challenge": challenge, "code": code, **more}
        return await self.api.http.post(f"{V1}/auth/login/mfa", json=body)

    async def log_in(self, device_token: str | None = None, **more: Any) -> Tokens:
        """With password and code; the code is used up, so the clock goes on to the next."""
        tokens = tokens_of(await self.answer(await self.challenge(device_token), self.code(), **more))
        self.watch.turn()
        return tokens

    async def send(self, method: str, path: str, **body: Any) -> httpx.Response:
        return await self.api.http.request(method, f"{V1}{path}", json=body or None, headers=self.tokens.bearer)


async def set_up(api: Api, watch: Watch, tokens: Tokens, password: str = PASSWORD) -> tuple[str, list[str]]:
    """(secret, recovery codes) of a new authenticator; its first code is used up."""
    started = await api.http.post(f"{V1}/mfa/totp", json={"current_password": password}, headers=tokens.bearer)
    assert started.status_code == 201, started.text
    secret = started.json()["secret"]
    confirmed = await api.http.post(
        f"{V1}/mfa/totp/confirm", json={"code": shown_at(secret, watch.now)}, headers=tokens.bearer
    )
    assert confirmed.status_code == 200, confirmed.text
    watch.turn()
    return secret, confirmed.json()["recovery_codes"]


async def enrol(api: Api, watch: Watch, *roles: str) -> Viewer:
    account, tokens = await api.as_role(*roles)
    secret, codes = await set_up(api, watch, tokens)
    return Viewer(api, watch, account, tokens, secret, codes)
