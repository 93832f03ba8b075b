"""An attacker tries 10,000 passwords from 2,000 addresses against one account: who gets in? (LOG-2, LOG-3, LOG-4)

    .venv/bin/python -m bench.lockout [--tries 10000]

Starts its own service with two workers, behind a proxy whose word it takes for the clients' addresses. While the
attack runs, the owner logs in from a device that the account is known from, again and again. At the end the attacker
tries the right password, which nobody evaluates while the lock is on. The count of evaluated guesses comes from the
login history. Takes as long as hashing so often takes: about five minutes on two cores.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import time
from collections import Counter

import asyncpg
import httpx
from rich.progress import Progress

from auth_service.testing.processes import OwnService
from bench.own_service import own_service

ADDRESSES = 2_000
AT_ONCE = 24
OWNER_PAUSE = 2.0
LOGIN = "/api/v1/auth/login"


def address(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"10.{number % ADDRESSES // 250}.{number % 250}.7"}


class Owner:
    """One device, known to the service by the token of its first login."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.login, self.password = f"owner{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        self.device_token = ""
        self.answers: Counter[int] = Counter()
        self.milliseconds: list[float] = []

    async def register(self) -> None:
        body = {"login": self.login, "email": f"{self.login}@example.com", "password": self.password}
        (await self.http.post("/api/v1/auth/register", json=body)).raise_for_status()
        answer = await self.http.post(LOGIN, json={"login": self.login, "password": self.password})
        self.device_token = answer.raise_for_status().json()["device_token"]

    async def log_in_again_and_again(self, over: asyncio.Event) -> None:
        body = {"login": self.login, "password": self.password, "device_token": self.device_token}
        number = 0
        while not over.is_set():
            number += 1
            started = time.perf_counter()
            # From the same addresses as the attack: the worst that can happen to an owner.
            answer = await self.http.post(LOGIN, json=body, headers=address(number))
            self.milliseconds.append((time.perf_counter() - started) * 1000)
            self.answers[answer.status_code] += 1
            await asyncio.sleep(OWNER_PAUSE)


async def attack(http: httpx.AsyncClient, login: str, tries: int) -> Counter[int]:
    answers: Counter[int] = Counter()
    numbers = iter(range(tries))
    with Progress() as progress:
        task = progress.add_task("attacking", total=tries)

        async def attacker() -> None:
            for number in numbers:
                guess = {"login": login, "password": f"a wrong guess {number}"}
                answer = await http.post(LOGIN, json=guess, headers=address(number))
                answers[answer.status_code] += 1
                progress.advance(task)

        await asyncio.gather(*(attacker() for _ in range(AT_ONCE)))
    return answers


async def run(service: OwnService, tries: int) -> bool:
    async with httpx.AsyncClient(base_url=service.base, trust_env=False, timeout=60) as http:
        owner = Owner(http)
        await owner.register()
        over = asyncio.Event()
        owners_logins = asyncio.create_task(owner.log_in_again_and_again(over))
        started = time.monotonic()
        answers = await attack(http, owner.login, tries)
        over.set()
        await owners_logins
        right = {"login": owner.login, "password": owner.password}
        stranger = await http.post(LOGIN, json=right, headers=address(1))
        seconds = time.monotonic() - started
    connection = await asyncpg.connect(service.database_url)
    try:
        rows = await connection.fetch(
            "SELECT h.reason, count(*) AS n FROM login_history h JOIN users u ON u.id = h.user_id"
            " WHERE u.login = $1 AND NOT h.succeeded GROUP BY 1",
            owner.login,
        )
    finally:
        await connection.close()
    reasons = {row["reason"]: row["n"] for row in rows}
    evaluated, minutes = reasons.get("wrong_password", 0), seconds / 60
    # 15 at once, then 15 for each five minutes that have passed.
    budget = 15 * (int(minutes // 5) + 1)
    print(f"wrong passwords sent            {tries} from {ADDRESSES} addresses in {seconds:.0f} s, {dict(answers)}")
    print(
        f"evaluated / refused unseen      {evaluated} / {reasons.get('locked', 0)}   (budget for this time: {budget})"
    )
    print(f"owner, from the known device    {owner.answers[200]} of {owner.answers.total()} logins succeeded")
    print(
        f"owner's waiting time            median {statistics.median(owner.milliseconds):.0f} ms,"
        f" longest {max(owner.milliseconds):.0f} ms"
    )
    print(f"right password, from a stranger {stranger.status_code} {json.dumps(stranger.json().get('error'))}")
    return evaluated <= budget and owner.answers.keys() == {200} and stranger.status_code == 401


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10_000)
    tries = min(parser.parse_args().tries, 100_000)
    with own_service(workers=2, TRUSTED_PROXIES="127.0.0.1") as service:
        well = asyncio.run(run(service, tries))
    print("PASS" if well else "FAIL")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
