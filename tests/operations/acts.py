"""A steady mix of acts on running services, and a ledger of what they acknowledged."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.api import PASSWORD, V1, Tokens, tokens_of, unique
from tests.support.service_process import ServiceProcess

# Acts a second; an Argon2 hash costs 36 ms of one core.
RATES = {"register": 6, "change_password": 2, "log_in": 2, "refresh": 4, "check": 8, "grant": 2}
AT_ONCE = 12  # a machine that is busy with other things gets fewer
SECONDS_PER_ACT = 30.0


@dataclass
class Person:
    """`doubtful`: passwords of changes whose answer was lost, so that either one may hold."""

    id: str
    login: str
    password: str
    tokens: Tokens | None = None
    former: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    changed: int = 0
    busy: bool = False


@dataclass
class Ledger:
    """`answers`: how many by (act, status); status 0 where there was none."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    people: list[Person] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def figures(self) -> str:
        acts = sorted({act for act, _ in self.answers})
        return "; ".join(
            f"{act} "
            + " ".join(f"{status}:{count}" for (name, status), count in sorted(self.answers.items()) if name == act)
            for act in acts
        )

    def failures(self) -> dict[tuple[str, int], int]:
        return {key: count for key, count in self.answers.items() if not 200 <= key[1] < 300}


class Load:
    """Takes the services of `serving` in turn; take one out before you stop it. Clients follow the protocol: they
    repeat a refresh whose answer was lost, and log in again where they are told to.
    """

    def __init__(self, serving: list[ServiceProcess], admin: Tokens) -> None:
        self.serving = serving
        self.admin = admin
        self.ledger = Ledger()
        self.rates = dict(RATES)
        self._random = random.Random()
        self._turn = 0
        self._running: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[str] = Counter()

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        acts = [self.register, self.change_password, self.log_in, self.refresh, self.check, self.grant]
        drivers = [asyncio.create_task(self._drive(act)) for act in acts]
        try:
            yield
        finally:
            for driver in drivers:
                driver.cancel()
            await asyncio.gather(*drivers, return_exceptions=True)
            await asyncio.gather(*self._running)

    async def take_out(self, service: ServiceProcess) -> None:
        """Returns when nothing is on its way to it any more."""
        self.serving.remove(service)
        while self._in_flight[service.base_url]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _drive(self, act: Callable[[], Awaitable[None]]) -> None:
        name = act.__name__
        while True:
            await asyncio.sleep(self._random.expovariate(self.rates[name]))
            if len(self._running) >= AT_ONCE:
                continue
            task = asyncio.create_task(act())  # type: ignore[arg-type]
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def call(
        self, act: str, method: str, path: str, tokens: Tokens | None = None, **body: Any
    ) -> httpx.Response | None:
        """None where there was no answer."""
        self._turn += 1
        service = self.serving[self._turn % len(self.serving)]
        self._in_flight[service.base_url] += 1
        began = time.monotonic()
        try:
            answer = await service.http.request(
                method,
                f"{V1}{path}",
                json=body or None,
                headers=tokens.bearer if tokens else {},
                timeout=SECONDS_PER_ACT,
            )
        except httpx.TransportError as error:
            self.ledger.answers[act, 0] += 1
            self.ledger.wrong.append(f"{act}: {type(error).__name__}")
            return None
        finally:
            self._in_flight[service.base_url] -= 1
            self.ledger.slowest = max(self.ledger.slowest, time.monotonic() - began)
        self.ledger.answers[act, answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            self.ledger.wrong.append(f"{act}: {answer.status_code} {answer.text}")
        return answer

    async def register(self) -> None:
        login = unique("load")
        body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
        answer = await self.call("register", "POST", "/auth/register", **body)
        if answer is not None and answer.status_code == 201:
            self.ledger.people.append(Person(answer.json()["id"], login, PASSWORD))

    async def log_in(self) -> None:
        if (person := self._take(lambda one: not one.doubtful)) is not None:
            await self._log_in(person)
            person.busy = False

    async def _log_in(self, person: Person) -> None:
        answer = await self.call("log_in", "POST", "/auth/login", login=person.login, password=person.password)
        if answer is not None and answer.status_code == 200:
            person.tokens = tokens_of(answer)
        elif answer is not None and answer.status_code == 401:
            self.ledger.wrong.append(f"{person.login} cannot log in")

    async def refresh(self) -> None:
        person = self._take(lambda one: one.tokens is not None)
        if person is None or person.tokens is None:
            return
        answer = await self.call("refresh", "POST", "/auth/refresh", refresh_token=person.tokens.refresh)
        if answer is None or answer.status_code == 503:
            # Its rotation may have happened: once more within the grace, then log in.
            await asyncio.sleep(1)
            answer = await self.call("refresh", "POST", "/auth/refresh", refresh_token=person.tokens.refresh)
        if answer is not None and answer.status_code == 401:
            self.ledger.wrong.append(f"{person.login} was thrown out")
        person.tokens = tokens_of(answer) if answer is not None and answer.status_code == 200 else None
        person.busy = False

    async def change_password(self) -> None:
        person = self._take(lambda one: one.tokens is not None and not one.doubtful)
        if person is None:
            return
        new = f"{PASSWORD} {unique('new')}"
        body = {"current_password": person.password, "new_password": new}
        answer = await self.call("change_password", "POST", "/users/me/password", person.tokens, **body)
        if answer is not None and answer.status_code == 204:
            person.former.append(person.password)
            person.password = new
            person.changed += 1
        elif answer is None or answer.status_code == 503:
            person.doubtful.append(new)
        person.busy = False

    async def check(self) -> None:
        """A live token is told allowed, or that nobody knows: never 401 and never no."""
        person = self._take(lambda one: one.tokens is not None)
        if person is None:
            return
        answer = await self.call("check", "POST", "/permissions/check", person.tokens, permission="films:read")
        if answer is not None and (answer.status_code not in {200, 503} or not answer.json().get("allowed", True)):
            self.ledger.wrong.append(f"check: {answer.status_code} {answer.text}")
        person.busy = False

    async def grant(self) -> None:
        """An act of an admin, for the audit trail."""
        person = self._take(lambda one: one.id not in self.ledger.granted)
        if person is None:
            return
        answer = await self.call("grant", "PUT", f"/users/{person.id}/roles/subscriber", self.admin, reason="load")
        if answer is not None and answer.status_code == 200:
            self.ledger.granted.append(person.id)
        person.busy = False

    def _take(self, fits: Callable[[Person], bool]) -> Person | None:
        """One at a time does something with a person; None while all are busy."""
        free = [person for person in self.ledger.people if not person.busy and fits(person)]
        if not free:
            return None
        person = self._random.choice(free)
        person.busy = True
        return person
