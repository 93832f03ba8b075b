"""An installation in production that is well: real stores, mail and broker, in which a test plants one mistake."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from typer.testing import CliRunner

from auth_service.cli import app
from auth_service.config import Settings
from auth_service.embedded.kafka import start_kafka
from auth_service.embedded.redis import start_redis
from auth_service.embedded.server import EmbeddedServer
from auth_service.events.cloud_event import Message
from auth_service.events.kafka import Kafka
from auth_service.models import Base
from tests.conftest import ROOT, Servers, _recreate, running_app, test_settings
from tests.support.phone import enrol_phone
from tests.support.service_process import free_port
from tests.support.smtp_server import SmtpServer, certificate_for_tests

SECRET = "a-secret-of-the-well-installation-9471"
REDIS_PASSWORD = "redis-password-of-the-installation-5520"
ROLE_PASSWORD = "role-password-of-the-installation-1846"
SMTP_PASSWORD = "smtp-password-of-the-installation-7703"
SECRETS = (SECRET, REDIS_PASSWORD, ROLE_PASSWORD, SMTP_PASSWORD)
SECONDS = 120


@dataclass(frozen=True)
class Report:
    code: int
    text: str

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.text)
        return body

    @property
    def findings(self) -> list[tuple[str, str, str]]:
        return [(item["severity"], item["check"], item["setting"]) for item in self.body["findings"]]


@dataclass
class Installation:
    """`database` and `redis` are urls of its own stores; `variables` is its environment."""

    folder: Path
    servers: Servers
    template: str
    role: str
    redis: EmbeddedServer
    variables: dict[str, str] = field(default_factory=dict)
    database: str = ""

    def secret(self, name: str, value: str, mode: int = 0o600) -> None:
        """As operators give secrets: NAME_FILE."""
        path = self.folder / name.lower()
        path.write_text(value + "\n")
        path.chmod(mode)
        self.variables[f"{name}_FILE"] = str(path)

    def at(self, database: str, *, password: str = ROLE_PASSWORD, port: int | None = None) -> str:
        """The URL of a database for the service's own user."""
        parts = urlsplit(self.servers.database(database))
        return urlunsplit(parts._replace(netloc=f"{self.role}:{password}@{parts.hostname}:{port or parts.port}"))

    @property
    def redis_url(self) -> str:
        """Its own, whatever the settings name."""
        return f"redis://:{REDIS_PASSWORD}@{urlsplit(self.redis.url).netloc}/0"

    def log(self) -> str:
        return Path(self.variables["LOG_FILE"]).read_text(encoding="utf-8")

    def database_url(self) -> str:
        return (self.folder / "database_url").read_text(encoding="utf-8").strip()

    async def own_database(self) -> None:
        """A copy that this test may spoil."""
        name = f"{self.template}_spoilt"
        await _recreate(self.servers, name, self.template)
        self.database = self.servers.database(name)
        self.secret("DATABASE_URL", self.at(name))

    async def sql(self, *statements: str) -> None:
        """In a database of its own, as the owner of the server; {role} is the service's user."""
        if self.database == "":
            await self.own_database()
        connection = await asyncpg.connect(self.database)
        try:
            for statement in statements:
                await connection.execute(statement.format(role=self.role))
        finally:
            await connection.close()

    async def doctor(self, *arguments: str) -> Report:
        """In a thread, since it runs an event loop of its own."""
        environment: dict[str, str | None] = dict.fromkeys(_names()) | dict(self.variables)
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["doctor", *arguments], env=environment, catch_exceptions=False
        )
        return _checked(Report(result.exit_code, result.stdout), result.stderr)

    async def process(self, *arguments: str, typed: str = "", prefix: tuple[str, ...] = ()) -> tuple[Report, str]:
        """The command as a process of its own, and what it said to standard error."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(*prefix, sys.executable, "-m", "auth_service", *arguments),
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in _names()} | self.variables,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        out, err = await asyncio.wait_for(process.communicate(typed.encode()), SECONDS)
        assert process.returncode is not None
        return Report(process.returncode, out.decode()), err.decode()


def _names() -> list[str]:
    return [name.upper() + end for name in Settings.model_fields for end in ("", "_FILE")]


def _checked(report: Report, err: str) -> Report:
    """AUD-2, for whatever is planted."""
    assert err == ""
    assert not [secret for secret in SECRETS if secret in report.text]
    return report


@dataclass(frozen=True)
class WellStores:
    """What does not change: copied or shared by all tests of the worker."""

    servers: Servers
    template: str
    role: str
    redis: EmbeddedServer
    broker: str
    smtp: SmtpServer
    certificate: Path

    def installation(self, folder: Path) -> Installation:
        made = Installation(folder, self.servers, self.template, self.role, self.redis)
        made.secret("SECRET_KEY", SECRET)
        made.secret("DATABASE_URL", made.at(self.template))
        made.secret("REDIS_URL", made.redis_url)
        made.secret("SMTP_URL", self.smtp.url("smtps", f"cinema:{SMTP_PASSWORD}@"))
        made.variables |= {
            "APP_ENV": "production",
            "ISSUER": "https://auth.cinema.example",
            "ALLOWED_HOSTS": "auth.cinema.example,localhost",
            "TRUSTED_PROXIES": "10.0.0.0/24",
            "ALLOWED_ORIGINS": "https://www.cinema.example",
            "MAIL_FROM": "no-reply@cinema.example",
            "KAFKA_BOOTSTRAP": self.broker,
            "PORT": str(free_port()),
            "LOG_FILE": str(folder / "logs" / "auth.log"),
            "SSL_CERT_FILE": str(self.certificate),
            "HASH_WORKERS": "1",
        }
        return made


@asynccontextmanager
async def well_stores(servers: Servers, migrated: str, folder: Path) -> AsyncIterator[WellStores]:
    with ExitStack() as stack:
        redis = await asyncio.to_thread(start_redis, folder / "redis", durable=True)
        stack.callback(redis.stop)
        broker = await asyncio.to_thread(start_kafka, folder / "kafka")
        stack.callback(broker.stop)
        certificate, context = certificate_for_tests(folder)
        smtp = stack.enter_context(_mail_server(context))
        role = f"well_{servers.worker}"
        template = f"auth_well_{servers.worker}"
        await _make_database(servers, migrated, template, role, redis.url)
        await _set_redis_password(redis.url)
        await _make_topics(broker.url)
        yield WellStores(servers, template, role, redis, broker.url, smtp, certificate)


@contextmanager
def _mail_server(context: Any) -> Iterator[SmtpServer]:
    server = SmtpServer()
    with server.running(ssl_context=context, authenticator=server.authenticator, auth_require_tls=False):
        yield server


async def _make_database(servers: Servers, migrated: str, name: str, role: str, redis_url: str) -> None:
    """All of it owned by a plain user, with a superuser who has a second factor, and a signing key."""
    await _recreate(servers, name, migrated)
    settings = test_settings(database_url=servers.database(name), redis_url=redis_url, secret_key=SECRET)
    async with running_app(settings) as api:
        _, tokens = await api.as_role("superuser")
        await enrol_phone(api, tokens)
        hot = api.resources.hot
        if not await hot.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
            await hot.execute(f"CREATE ROLE {role} LOGIN")
        await hot.execute(f"ALTER ROLE {role} PASSWORD '{ROLE_PASSWORD}'")
        partitions = await hot.fetch("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid"
                                     " WHERE relkind IN ('r', 'p')")  # fmt: skip
        for table in [*Base.metadata.tables, "alembic_version", *(row[0] for row in partitions)]:
            await hot.execute(f"ALTER TABLE {table} OWNER TO {role}")
        await hot.execute(f"ALTER SEQUENCE outbox_position OWNER TO {role}")


async def _set_redis_password(url: str) -> None:
    import redis.asyncio as aioredis

    async with aioredis.Redis.from_url(url) as client:
        await client.config_set("requirepass", REDIS_PASSWORD)


async def _make_topics(broker: str) -> None:
    """By sending something: that broker makes topics when they are asked for."""
    settings = test_settings(kafka_bootstrap=broker)
    topics = (settings.kafka_topic_new_user, settings.kafka_topic_events)
    async with Kafka(settings) as kafka:
        headers = (("content-type", "application/json"), ("ce_id", "0"), ("ce_type", "auth.first"))
        await kafka.send([Message(topic, "key", b"{}", headers) for topic in topics])
