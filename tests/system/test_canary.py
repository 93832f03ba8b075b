"""AUD-2 by search: a whole life against the shipped processes, and then no secret of it in any place that is kept."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import asyncpg
import httpx
import pytest
import redis.asyncio as aioredis

from auth_service.config import Settings
from auth_service.events.cloud_event import Message
from auth_service.events.kafka import Kafka
from tests.conftest import ROOT, test_settings
from tests.support.api import V1, unique
from tests.support.installation import REDIS_PASSWORD, ROLE_PASSWORD, SECRET, SMTP_PASSWORD, Installation, WellStores
from tests.support.kafka import Broker, Reader, reading
from tests.support.phone import shown_at
from tests.support.secrecy import Hoard, in_postgres, in_processes, in_redis
from tests.support.service_process import ServiceProcess, running_service
from tests.support.tcp_gate import Gate, gate_to

pytestmark = pytest.mark.long

ISSUER = "https://auth.cinema.example"
SABOTAGE = """
import structlog
from auth_service.config import load_settings
from auth_service.core.telemetry.log import configure_logging

configure_logging(load_settings())
structlog.get_logger("sabotage").warning("oops", token=input())
"""


@dataclass
class Life:
    """Calls the service, and keeps what was secret and every answer that is an error."""

    http: httpx.AsyncClient
    hoard: Hoard
    stores: WellStores
    answers: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    _phone_step: dict[str, int] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, *expected: int, token: str = "", headers: Any = (), **body: Any
    ) -> Any:
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.http.request(method, f"{V1}{path}", json=body or None, headers={**bearer, **dict(headers)})
        assert answer.status_code in expected, (method, path, answer.text)
        if answer.status_code >= 400:
            self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer.json() if answer.content else None

    def password(self) -> str:
        return self.hoard.keep("password", f"Canary-Password-{unique('p')}-{os.urandom(6).hex()}")

    def wrong(self) -> str:
        return self.hoard.keep("wrong password", f"Canary-Wrong-{unique('w')}-{os.urandom(6).hex()}")

    def keep_all(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Every field of an answer that is a secret of somebody."""
        for name in ("access_token", "refresh_token", "device_token", "challenge", "secret", "client_secret"):
            if answer.get(name):
                self.hoard.keep(name, answer[name])
        if "csrf_token" in answer:
            self.hoard.keep("csrf_token", answer["csrf_token"])
        for code in answer.get("recovery_codes", ()):
            self.hoard.keep("recovery code", code)
        return answer

    async def log_in(self, login: str, password: str, code: str | None = None, **more: Any) -> dict[str, Any]:
        answer = self.keep_all(await self.call("POST", "/auth/login", 200, login=login, password=password, **more))
        if code is not None:
            challenge = answer["challenge"]
            await self.call("POST", "/auth/login/mfa", 401, challenge=challenge, code=self.hoard.keep_code("000123"))
            second = {"challenge": challenge, "code": code, "trust_device": True}
            answer = self.keep_all(await self.call("POST", "/auth/login/mfa", 200, **second))
        return answer

    def code(self, seed: str) -> str:
        """Each works once, and only after those before it; there are three at a time."""
        now = int(time.time()) // 30
        step = max(now - 1, self._phone_step.get(seed, 0) + 1)
        assert step <= now + 1, "the phone has no newer code"
        self._phone_step[seed] = step
        return self.hoard.keep_code(shown_at(seed, datetime.fromtimestamp(step * 30, UTC)))

    async def enrol(self, token: str, password: str) -> tuple[str, list[str]]:
        started = self.keep_all(await self.call("POST", "/mfa/totp", 201, token=token, current_password=password))
        await self.call("POST", "/mfa/totp/confirm", 403, token=token, code=self.hoard.keep_code("000321"))
        body = {"code": self.code(started["secret"])}
        codes = self.keep_all(await self.call("POST", "/mfa/totp/confirm", 200, token=token, **body))["recovery_codes"]
        return started["secret"], codes

    async def mailed(self, address: str, page: str) -> str:
        """The token of the newest link to that page that came by SMTP."""
        async with asyncio.timeout(60):
            while True:
                mine = [mail for mail in self.stores.smtp.mails if mail["To"] == address]
                links = [match[1] for mail in mine if (match := re.search(rf"/{page}#token=(\S+)", text_of(mail)))]
                if links:
                    return self.hoard.keep("mailed token", links[-1])
                await asyncio.sleep(0.1)


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


# --- the chapters of the life


async def viewer(life: Life) -> tuple[str, str, str]:
    """From registration to the second factor, a stolen refresh token and a forgotten password."""
    login, first, second = unique("canary"), life.password(), life.password()
    email = f"{login}@example.com"
    body = {"login": login, "email": email, "password": first}
    await life.call("POST", "/auth/register", 422, **(body | {"password": {"deep": first}}))
    await life.call("POST", "/auth/register", 201, **body)
    await life.call("POST", "/auth/register", 409, **body)
    token = await life.mailed(email, "confirm-email")
    answer = await life.http.post(f"{V1}/auth/email/confirm", json={"token": token})
    assert answer.status_code == 200, answer.text
    for name in (login, "nobody-" + login, life.wrong()):
        await life.call("POST", "/auth/login", 401, login=name, password=life.wrong())
    tokens = await life.log_in(login, first)
    for place in (f"/users/me?access_token={tokens['access_token']}", f"/auth/{tokens['refresh_token']}"):
        assert (await life.http.get(f"{V1}{place}")).status_code in {401, 404}
    refreshed = life.keep_all(await life.call("POST", "/auth/refresh", 200, refresh_token=tokens["refresh_token"]))
    third = life.keep_all(await life.call("POST", "/auth/refresh", 200, refresh_token=refreshed["refresh_token"]))
    await life.call("POST", "/auth/refresh", 401, refresh_token=tokens["refresh_token"])  # reuse: the family dies
    await life.call("GET", "/users/me", 401, token=third["access_token"])

    access = (await life.log_in(login, first))["access_token"]
    passwords = {"current_password": life.wrong(), "new_password": second}
    await life.call("POST", "/users/me/password", 403, token=access, **passwords)
    await life.call("POST", "/users/me/password", 204, token=access, **(passwords | {"current_password": first}))
    seed, codes = await life.enrol(access, second)
    tokens = await life.log_in(login, second, code=life.code(seed))
    await life.call("POST", "/auth/step-up", 200, token=tokens["access_token"], code=codes[0])
    access = (await life.log_in(login, second, device_token=tokens["device_token"]))["access_token"]
    both = {"current_password": second, "code": codes[1]}
    life.keep_all(await life.call("POST", "/mfa/recovery-codes", 200, token=access, **both))
    await life.call("POST", "/users/me/email", 202, token=access, email="new" + email, current_password=second)

    await life.call("POST", "/auth/password/forgot", 202, email=email)
    reset, third_password = await life.mailed(email, "reset-password"), life.password()
    for expected in (200, 401):
        answer = await life.http.post(
            f"{V1}/auth/password/reset", json={"token": reset, "new_password": third_password}
        )
        assert answer.status_code == expected, answer.text
    life.answers.append(answer.text)
    return login, third_password, seed


async def browser(life: Life, login: str, password: str) -> None:
    """Tokens in cookies."""
    headers = {"Origin": ISSUER, "X-Token-Transport": "cookie"}
    answer = await life.http.post(f"{V1}/auth/login", json={"login": login, "password": password}, headers=headers)
    assert answer.status_code == 200, answer.text
    life.keep_all(answer.json())
    jar = [line.partition(";")[0] for line in answer.headers.get_list("set-cookie")]
    for cookie in jar:
        life.hoard.keep("cookie", cookie.partition("=")[2])
    cookies = {"Origin": ISSUER, "Cookie": "; ".join(jar)}
    life.http.cookies.clear()
    await life.call("GET", "/users/me", 200, headers=cookies)
    await life.call("POST", "/auth/logout-others", 403, headers=cookies | {"X-CSRF-Token": life.wrong()})
    await life.call("POST", "/auth/refresh", 403, headers=cookies | {"Origin": "https://evil.example"})
    await life.call("POST", "/auth/logout", 204, headers=cookies | {"X-CSRF-Token": answer.json()["csrf_token"]})
    await life.call("GET", "/users/me", 401, headers=cookies)
    life.http.cookies.clear()


async def administration(life: Life, login: str, password: str, target: str) -> str:
    """Services, accounts, grants, the trail and the events; the token of the admin."""
    access = (await life.log_in(login, password))["access_token"]
    await life.enrol(access, password)
    found = (await life.call("GET", f"/admin/users?search={target}", 200, token=access))["items"]
    user = f"/admin/users/{found[0]['id']}"
    made = life.keep_all(
        await life.call("POST", "/services", 201, token=access, name=unique("player"), scopes=["permissions:check"])
    )
    basic = (made["client_id"], made["client_secret"])
    form = {"grant_type": "client_credentials"}
    for auth, expected in ((basic, 200), ((made["client_id"], life.wrong()), 401)):
        answer = await life.http.post(f"{V1}/auth/token", auth=auth, data=form)
        assert answer.status_code == expected, answer.text
        life.keep_all(answer.json())
        life.answers += [answer.text] if expected == 401 else []
    by_json = form | {"client_id": made["client_id"], "client_secret": made["client_secret"]}
    await life.call("POST", "/auth/token", 400, **by_json, scope="films:delete")
    for path, status in (("introspect", 403), ("revoke", 400)):  # without the scope; of another client
        answer = await life.http.post(f"{V1}/auth/{path}", auth=basic, data={"token": access})
        assert answer.status_code == status, answer.text
        life.answers.append(f"{answer.headers}\n{answer.text}")
    service = made["client_id"]
    answer = await life.http.post(
        f"{V1}/services/{service}/secrets", json={}, headers={"Authorization": f"Bearer {access}"}
    )
    assert answer.status_code == 201, answer.text
    life.keep_all(answer.json())
    await life.call("PUT", f"/users/{found[0]['id']}/roles/moderator", 200, token=access, reason="of the canary test")
    await life.call("POST", f"{user}/send-password-reset", 202, token=access)
    await life.call("POST", f"{user}/unlock", 204, token=access)
    await life.call("POST", f"{user}/reset-mfa", 204, token=access, reason="lost phone")
    await life.call("POST", f"{user}/logout-all", 204, token=access)
    return str(access)


async def in_trouble(life: Life, installation: Installation, gates: tuple[Gate, Gate], login: str, own: str) -> None:
    """Stores that go away in the middle, and mistakes of ours: 503 and 500, with secrets in every one of them."""
    tokens = await life.log_in(login, own)
    passwords = {"current_password": own, "new_password": life.password()}
    for gate in gates:
        await gate.shut()
        await life.call("POST", "/users/me/password", 503, token=tokens["access_token"], **passwords)
        await life.call("POST", "/auth/refresh", 503, refresh_token=tokens["refresh_token"])
        if gate is gates[0]:
            await life.call("POST", "/auth/login", 503, login=login, password=own)
        await gate.open()
        await until_ready(life)
    # The detail of Postgres' error is the whole row, password hash included.
    await installation.sql(
        "ALTER TABLE users ADD CONSTRAINT planted CHECK (login_key NOT LIKE 'planted%') NOT VALID",
        "ALTER TABLE sessions RENAME COLUMN generation TO planted",  # for the refresh
        "ALTER TABLE sessions RENAME COLUMN authenticated_at TO planted_too",  # for the login
    )
    # On a machine that is slow enough a store is given up first; that there was a 500 is seen in the log.
    planted = {"login": unique("planted"), "email": f"{unique('planted')}@example.com", "password": life.password()}
    await life.call("POST", "/auth/register", 500, 503, **planted)
    await life.call("POST", "/auth/login", 500, 503, login=login, password=own)
    await life.call("POST", "/auth/refresh", 500, 503, refresh_token=tokens["refresh_token"])
    await installation.sql(
        "ALTER TABLE users DROP CONSTRAINT planted",
        "ALTER TABLE sessions RENAME COLUMN planted TO generation",
        "ALTER TABLE sessions RENAME COLUMN planted_too TO authenticated_at",
    )
    await life.log_in(login, own)


async def until_ready(life: Life) -> None:
    async with asyncio.timeout(60):
        while (await life.http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.1)


async def command(life: Life, installation: Installation, *arguments: str, typed: str = "", expected: int = 0) -> str:
    report, err = await installation.process(*arguments, typed=typed + "\n")
    assert report.code == expected, (arguments, err)
    life.output.append(err)
    if arguments[:2] != ("services", "create"):  # it shows the secret, once
        life.output.append(report.text)
    return report.text


# --- the search


async def everywhere(life: Life, service: ServiceProcess, installation: Installation, reader: Reader) -> dict[str, str]:
    metrics = await life.http.get("/metrics")
    assert "auth_http_requests_total" in metrics.text
    return {
        "log of the process": service.log(),
        "log file": installation.log(),
        "metrics": metrics.text,
        "answers that are errors": "\n".join(life.answers),
        "output of commands": "\n".join(life.output),
        "Kafka": "\n".join(str(event) for event in reader.events),
        **await in_postgres(installation.database),
        **await in_redis(installation.redis_url),
        **in_processes(service.pid),
    }


@asynccontextmanager
async def running(
    installation: Installation, environment: str, level: str
) -> AsyncIterator[tuple[ServiceProcess, Gate, Gate]]:
    """Two workers on gates to their stores, as talkative as this environment may be."""
    await installation.own_database()
    async with gate_to(installation.database_url()) as postgres, gate_to(installation.redis_url) as redis:
        installation.secret("DATABASE_URL", postgres.url)
        installation.secret("REDIS_URL", redis.url)
        installation.variables |= {
            "APP_ENV": environment,
            "LOG_LEVEL": level,
            "LOG_FORMAT": "json",
            "ALLOWED_HOSTS": "auth.cinema.example,127.0.0.1",
            "RATE_LIMIT_LOGIN": "10000/minute",
            "RATE_LIMIT_REGISTER": "10000/minute",
            "RATE_LIMIT_TOKEN": "10000/minute",
            "LOGIN_ADDRESS_FAILURE_LIMIT": "10000",
            "REDIS_TIMEOUT_MS": "3000",
            "DATABASE_TIMEOUT_SECONDS": "10",
        }
        async with running_service(Settings(_env_file=None), 2, installation.variables) as service:
            yield service, postgres, redis


@pytest.mark.parametrize("speaking", [("development", "DEBUG"), ("production", "INFO")], ids=" ".join)
async def test_aud_2_after_a_whole_life_no_secret_is_in_any_place(
    well_installation: WellStores,
    installation: Installation,
    speaking: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)  # the files of the installation count
    hoard, reader = Hoard(), Reader()
    for name, value in {"SECRET_KEY": SECRET, "database": ROLE_PASSWORD, "Redis": REDIS_PASSWORD}.items():
        hoard.keep(name, value)
    hoard.keep("mail server", SMTP_PASSWORD)
    broker = Broker(installation.folder, int(well_installation.broker.rpartition(":")[2]))
    async with (
        running(installation, *speaking) as (service, postgres, redis),
        reading(broker, reader),
    ):
        life = Life(service.http, hoard, well_installation)
        boss, bosses = unique("boss"), life.password()
        await asyncio.gather(
            command(
                life,
                installation,
                *("users", "create", boss, f"{boss}@example.com", "--another-superuser"),
                typed=bosses,
            ),
            command(
                life,
                installation,
                *("users", "create", unique("short"), f"{unique('short')}@example.com"),
                typed=hoard.keep("refused password", "Canary-too-long-" * 20),
                expected=1,
            ),
        )
        login, password, _ = await viewer(life)
        await administration(life, boss, bosses, login)
        await browser(life, login, password)
        await in_trouble(life, installation, (postgres, redis), login, password)
        secret = await command(life, installation, "services", "create", unique("cli"))
        hoard.keep("service of the command", secret.rpartition("client_secret=")[2].split()[0])
        await command(life, installation, "users", "update-password", login, typed=life.password())
        await postgres.shut()
        await command(life, installation, "users", "update-password", login, typed=life.password(), expected=3)
        await command(life, installation, "doctor", "--json", expected=1)
        await postgres.open()
        await until_ready(life)

        # The search is worth something: it looks where things are.
        await reader.until(lambda: any("password_changed" in event.kind for event in reader.events))
        places = await everywhere(life, service, installation, reader)
        assert login in places["table users"]
        assert login in places["Kafka"]
        assert '"event": "request"' in places["log of the process"]
        assert "Traceback" in places["log file"] or "exc_type" in places["log file"]
        assert len([place for place in places if place.startswith("process ")]) >= 3
        assert len(hoard.values) > 60
        assert len(life.answers) > 20
        assert hoard.hits(places) == []

        # And it finds what is there: one secret in each place.
        token = next(value for name, value in hoard.values.items() if name.startswith("refresh_token"))
        await plant(installation, well_installation, token)
        await reader.until(lambda: any(token in str(event) for event in reader.events))
        life.answers.append(token)
        life.output.append(token)
        hit = {place for place, _ in hoard.hits(await everywhere(life, service, installation, reader))}
        assert hit == {
            "log file",
            "answers that are errors",
            "output of commands",
            "Kafka",
            "table login_attempts",
            "redis",
        }


async def plant(installation: Installation, stores: WellStores, token: str) -> None:
    """Careless code: it logs a token, and stores it as it is."""
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", SABOTAGE],
        cwd=ROOT,
        env=dict(os.environ) | installation.variables,
        input=token + "\n",
        text=True,
        check=True,
        capture_output=True,
    )
    connection = await asyncpg.connect(installation.database)
    await connection.execute(
        "INSERT INTO login_attempts (key, failures, last_at) VALUES ($1, 1, now())", f"sabotage {token}"
    )
    await connection.close()
    async with aioredis.Redis.from_url(installation.redis_url) as client:
        await client.set("sabotage", token.rpartition(".")[2], px=60_000)
    settings = test_settings(kafka_bootstrap=stores.broker)
    headers = (("content-type", "application/json"), ("ce_id", "1"), ("ce_type", "auth.sabotage"))
    async with Kafka(settings) as kafka:
        message = Message(settings.kafka_topic_events, "sabotage", f'{{"token": "{token}"}}'.encode(), headers)
        await kafka.send([message])


def test_a_secret_in_the_environment_of_a_process_is_found() -> None:
    """SEC-2: what `in_processes` has to see."""
    hoard = Hoard()
    secret = hoard.keep("secret", "canary-of-the-environment-88213")
    process = subprocess.Popen(["sleep", "60"], env={"SECRET_KEY": secret})
    try:
        assert hoard.hits(in_processes(process.pid)) == [(f"process {process.pid}", "secret (0)")]
    finally:
        process.kill()
        process.wait()
