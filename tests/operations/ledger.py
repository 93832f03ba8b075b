"""Viewers that log in, check, refresh and log out without a pause, and a ledger of what they were answered."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.api import V1, Account, Tokens, tokens_of

PAUSE = 0.05
SLACK = 1.0  # I2: so long after its acknowledged end a token may still be accepted
WATCHED = 60.0


@dataclass(frozen=True)
class Ended:
    """A session whose logout was acknowledged at `at`, a moment of time.monotonic()."""

    account: Account
    tokens: Tokens
    at: float


@dataclass
class Ledger:
    """`broken` is empty after a run in which all promises were kept."""

    answers: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    unavailable: list[float] = field(default_factory=list)
    latest_acceptance: float = 0.0

    def note(self, what: str, status: int, sent: float) -> None:
        self.answers[f"{what} {status}"] += 1
        if status == 503:
            self.unavailable.append(time.monotonic())
        elif status >= 500:
            self.broken.append(f"{what} was answered {status}")
        took = time.monotonic() - sent
        if took > 30:
            self.broken.append(f"{what} took {took:.1f} s")

    def healed_after(self, moment: float) -> float:
        """Seconds until the last 503."""
        return max([at - moment for at in self.unavailable if at > moment], default=0.0)


class Load:
    def __init__(self, http: httpx.AsyncClient, ledger: Ledger) -> None:
        self._http = http
        self.ledger = ledger
        self._stop = asyncio.Event()

    async def call(
        self, what: str, method: str, path: str, tokens: Tokens | None = None, **body: str
    ) -> httpx.Response:
        """Repeated while it is 503, as a client does that keeps to the protocol."""
        while True:
            sent = time.monotonic()
            headers = tokens.bearer if tokens else {}
            answer = await self._http.request(method, f"{V1}{path}", json=body or None, headers=headers)
            self.ledger.note(what, answer.status_code, sent)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.1)

    async def viewer(self, account: Account, seed: int) -> None:
        """Logs out now and then; all other times the session must hold."""
        chance = random.Random(seed)
        while not self._stop.is_set():
            answer = await self.call("login", "POST", "/auth/login", login=account.login, password=account.password)
            if answer.status_code != 200:
                self.ledger.broken.append(f"an honest login was answered {answer.status_code} {answer.text}")
                return
            tokens = tokens_of(answer)
            for _ in range(chance.randrange(1, 5)):
                await asyncio.sleep(PAUSE)
                seen = await self.call("me", "GET", "/users/me", tokens)
                if seen.status_code != 200:
                    self.ledger.broken.append(f"a valid token was answered {seen.status_code}")
                await self._check(tokens)
                refreshed = await self.call("refresh", "POST", "/auth/refresh", refresh_token=tokens.refresh)
                if refreshed.status_code != 200:
                    self.ledger.broken.append(f"an honest refresh was answered {refreshed.status_code}")
                    break
                tokens = tokens_of(refreshed)
            else:
                await self._log_out(account, tokens)

    async def watcher(self) -> None:
        """Shows ended tokens again and again."""
        while not self._stop.is_set():
            now = time.monotonic()
            recent = [ended for ended in self.ledger.ended if now - ended.at < WATCHED]
            for ended in random.sample(recent, min(len(recent), 5)):
                sent = time.monotonic()
                answer = await self._http.get(f"{V1}/users/me", headers=ended.tokens.bearer)
                self.ledger.note("ended token", answer.status_code, sent)
                if answer.status_code == 200:
                    late = sent - ended.at
                    self.ledger.latest_acceptance = max(self.ledger.latest_acceptance, late)
                    if late > SLACK:
                        self.ledger.broken.append(f"an ended token was accepted {late:.2f} s after its end")
            await asyncio.sleep(PAUSE)

    async def _check(self, tokens: Tokens) -> None:
        answer = await self.call("check", "POST", "/permissions/check", tokens, permission="films:watch")
        if answer.status_code != 200:
            self.ledger.broken.append(f"a check was answered {answer.status_code}")

    async def _log_out(self, account: Account, tokens: Tokens) -> None:
        sent = time.monotonic()
        answer = await self._http.post(f"{V1}/auth/logout", headers=tokens.bearer)
        self.ledger.note("logout", answer.status_code, sent)
        # 503: not acknowledged. The session may have ended or not, so its token proves nothing.
        if answer.status_code == 204:
            self.ledger.ended.append(Ended(account, tokens, time.monotonic()))
        elif answer.status_code != 503:
            self.ledger.broken.append(f"a logout was answered {answer.status_code}")

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def under_load(http: httpx.AsyncClient, accounts: list[Account]) -> AsyncIterator[Ledger]:
    """A viewer for each account, and two who show ended tokens. Their own failure is the test's."""
    load = Load(http, Ledger())
    async with asyncio.TaskGroup() as group:
        for number, account in enumerate(accounts):
            group.create_task(load.viewer(account, number))
        for _ in range(2):
            group.create_task(load.watcher())
        try:
            yield load.ledger
        finally:
            load.stop()
