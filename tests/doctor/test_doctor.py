"""`auth-service doctor` on an installation that is well, and on ones with one mistake planted for real."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio as aioredis

from auth_service.config import DEVELOPMENT_SECRET
from auth_service.doctor import postgres as postgres_checks
from auth_service.doctor import redis as redis_checks
from auth_service.doctor.diagnosis import diagnose
from auth_service.embedded.redis import start_redis
from auth_service.sessions.partition_state import month_of, name_of
from tests.conftest import ROOT, Fresh
from tests.support.bad_settings import BAD
from tests.support.installation import (
    REDIS_PASSWORD,
    ROLE_PASSWORD,
    SECRET,
    SMTP_PASSWORD,
    Installation,
)
from tests.support.planted_migrations import NEWEST
from tests.support.redis_topologies import Topology
from tests.support.service_process import free_port
from tests.support.smtp_server import AuthResult, SmtpServer

DOCUMENT = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")


# --- what a test plants


async def redis_says(installation: Installation, *words: str) -> None:
    async with aioredis.Redis.from_url(installation.redis.url, password=REDIS_PASSWORD) as client:
        await client.execute_command(*words)  # type: ignore[no-untyped-call]


def redis_with(*planted: str, then: str) -> Callable[[Installation], Awaitable[Callable[[], Awaitable[None]]]]:
    """`CONFIG SET` of one option, and back."""

    async def plant(installation: Installation) -> Callable[[], Awaitable[None]]:
        await redis_says(installation, "CONFIG", "SET", *planted)
        return lambda: redis_says(installation, "CONFIG", "SET", planted[0], then)

    return plant


def variables(**values: str) -> Callable[[Installation], Awaitable[None]]:
    async def plant(installation: Installation) -> None:
        for name, value in values.items():
            installation.variables.pop(f"{name}_FILE", None)
            installation.variables[name] = value

    return plant


def secret(name: str, value: str, mode: int = 0o600) -> Callable[[Installation], Awaitable[None]]:
    async def plant(installation: Installation) -> None:
        installation.secret(name, value, mode)

    return plant


def sql(*statements: str) -> Callable[[Installation], Awaitable[None]]:
    return lambda installation: installation.sql(*statements)


async def postgres_refused(installation: Installation) -> None:
    installation.secret("DATABASE_URL", installation.at(installation.template, port=free_port()))


async def wrong_database_password(installation: Installation) -> None:
    installation.secret("DATABASE_URL", installation.at(installation.template, password="another one"))


async def no_such_database(installation: Installation) -> None:
    installation.secret("DATABASE_URL", installation.at("no_such_database"))


async def superuser_of_postgres(installation: Installation) -> None:
    installation.secret("DATABASE_URL", installation.servers.database(installation.template))


async def few_connections(installation: Installation) -> Callable[[], Awaitable[None]]:
    await installation.sql("ALTER ROLE {role} CONNECTION LIMIT 21")
    return lambda: installation.sql("ALTER ROLE {role} CONNECTION LIMIT -1")


async def demo_accounts(installation: Installation) -> None:
    await installation.sql(
        "INSERT INTO users (id, login, login_key, email, email_key, password_hash)"
        " VALUES (gen_random_uuid(), 'Admin', 'admin', 'admin@cinema.example', 'admin@cinema.example', 'x')"
    )


async def unknown_database_host(installation: Installation) -> None:
    url = urlsplit(installation.at(installation.template))
    installation.secret(
        "DATABASE_URL", url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@nowhere.invalid").geturl()
    )


def database_with(query: str) -> Callable[[Installation], Awaitable[None]]:
    async def plant(installation: Installation) -> None:
        installation.secret("DATABASE_URL", f"{installation.at(installation.template)}?{query}")

    return plant


def redis_at(path: str, scheme: str = "redis") -> Callable[[Installation], Awaitable[None]]:
    async def plant(installation: Installation) -> None:
        url = urlsplit(installation.redis_url)._replace(scheme=scheme)
        installation.secret("REDIS_URL", url._replace(path="/0").geturl().removesuffix("/0") + path)

    return plant


async def redis_refused(installation: Installation) -> None:
    installation.secret("REDIS_URL", f"redis://:{REDIS_PASSWORD}@127.0.0.1:{free_port()}/0")


async def wrong_redis_password(installation: Installation) -> None:
    installation.secret("REDIS_URL", f"redis://:another-one@{urlsplit(installation.redis.url).netloc}/0")


async def no_redis_password(installation: Installation) -> None:
    installation.secret("REDIS_URL", installation.redis.url)


async def redis_user_without_rights(installation: Installation) -> Callable[[], Awaitable[None]]:
    await redis_says(installation, "ACL", "SETUSER", "weak", "on", f">{ROLE_PASSWORD}", "~*", "+get", "+ping")
    url = f"redis://weak:{ROLE_PASSWORD}@{urlsplit(installation.redis.url).netloc}/0"
    installation.secret("REDIS_URL", url)
    return lambda: redis_says(installation, "ACL", "DELUSER", "weak")


async def redis_is_a_replica(installation: Installation) -> Callable[[], Awaitable[None]]:
    await redis_says(installation, "REPLICAOF", "127.0.0.1", str(free_port()))
    return lambda: redis_says(installation, "REPLICAOF", "NO", "ONE")


async def redis_nearly_full(installation: Installation) -> Callable[[], Awaitable[None]]:
    async with aioredis.Redis.from_url(installation.redis.url, password=REDIS_PASSWORD) as client:
        used = int((await client.info("memory"))["used_memory"])
    await redis_says(installation, "CONFIG", "SET", "maxmemory", str(used + used // 20))
    return lambda: redis_says(installation, "CONFIG", "SET", "maxmemory", "0")


async def file_missing(installation: Installation) -> None:
    installation.variables["SECRET_KEY_FILE"] = str(installation.folder / "nothing")


async def file_unreadable(installation: Installation) -> None:
    """A folder: root, too, cannot read it."""
    installation.variables["SECRET_KEY_FILE"] = str(installation.folder)


async def log_folder_closed(installation: Installation) -> None:
    """A file stands where its folder should be: root, too, cannot write there."""
    (installation.folder / "logs").write_text("no folder")


async def log_file_is_a_folder(installation: Installation) -> None:
    (installation.folder / "logs" / "auth.log").mkdir(parents=True)


async def port_taken(installation: Installation) -> Callable[[], Awaitable[None]]:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    installation.variables["PORT"] = str(server.sockets[0].getsockname()[1])

    async def close() -> None:
        server.close()

    return close


class Refusing(SmtpServer):
    def authenticator(self, *arguments: object) -> AuthResult:
        return AuthResult(success=False, handled=False)


def mail_server(server_kind: type[SmtpServer], **options: object) -> Callable[[Installation], Awaitable[object]]:
    """One without TLS."""

    async def plant(installation: Installation) -> Callable[[], Awaitable[None]]:
        server, stack = server_kind(), ExitStack()
        stack.enter_context(server.running(authenticator=server.authenticator, auth_require_tls=False, **options))
        installation.secret("SMTP_URL", server.url("smtp", f"cinema:{SMTP_PASSWORD}@"))

        async def close() -> None:
            await asyncio.to_thread(stack.close)

        return close

    return plant


async def mail_login_refused(installation: Installation) -> object:
    """Outside production, where a password may go without TLS."""
    installation.variables["APP_ENV"] = "test"
    return await mail_server(Refusing)(installation)


async def smtp_unreachable(installation: Installation) -> None:
    installation.secret("SMTP_URL", f"smtps://cinema:{SMTP_PASSWORD}@127.0.0.1:{free_port()}")


async def smtp_certificate_unknown(installation: Installation) -> None:
    del installation.variables["SSL_CERT_FILE"]


async def kafka_unreachable(installation: Installation) -> None:
    installation.variables["KAFKA_BOOTSTRAP"] = f"127.0.0.1:{free_port()}"


async def secrets_readable(installation: Installation) -> None:
    installation.secret("SECRET_KEY", SECRET, 0o644)


@dataclass(frozen=True)
class Mistake:
    """`severity`, `check` and `setting` of the one finding; `says` stands in its problem or its fix."""

    plant: Callable[[Installation], Awaitable[object]]
    check: str
    setting: str
    says: str
    severity: str = "problem"


NEXT_MONTH = name_of(month_of(datetime.now(UTC), 1))
WARNING = "warning"
MISTAKES = {
    # settings alone
    "the development secret": Mistake(
        secret("SECRET_KEY", DEVELOPMENT_SECRET), "settings", "SECRET_KEY", "development default"
    ),
    "a short secret": Mistake(secret("SECRET_KEY", "short"), "settings", "SECRET_KEY", "32 bytes"),
    "a secret's file is missing": Mistake(file_missing, "settings", "SECRET_KEY_FILE", "FileNotFoundError"),
    "a secret's file cannot be read": Mistake(file_unreadable, "settings", "SECRET_KEY_FILE", "IsADirectoryError"),
    "a secret's file is for all to read": Mistake(
        secrets_readable, "secret_files", "SECRET_KEY_FILE", "chmod 600", WARNING
    ),
    "a secret's file is for all to write": Mistake(
        secret("SECRET_KEY", SECRET, 0o666), "secret_files", "SECRET_KEY_FILE", "chmod 600"
    ),
    "a secret in the environment": Mistake(
        variables(SECRET_KEY=SECRET), "secrets_in_environment", "SECRET_KEY", "SECRET_KEY_FILE", WARNING
    ),
    "another scheme": Mistake(
        secret("DATABASE_URL", f"mysql://auth:{ROLE_PASSWORD}@localhost/auth"),
        "settings",
        "DATABASE_URL",
        "postgresql://",
    ),
    "an issuer without https": Mistake(
        variables(ISSUER="http://auth.cinema.example"), "settings", "ISSUER", "https://"
    ),
    "the issuer's host is not allowed": Mistake(
        variables(ALLOWED_HOSTS="auth.internal"), "issuer", "ALLOWED_HOSTS", "auth.cinema.example"
    ),
    "a path of the service itself": Mistake(
        variables(ISSUER="https://auth.cinema.example/auth"), "settings", "ISSUER", "below a path"
    ),
    "mails lead to the service, which has no pages for them": Mistake(
        variables(ACCOUNT_URL="https://auth.cinema.example"), "account_url", "ACCOUNT_URL", "leave it out"
    ),
    "no proxies though one is there": Mistake(variables(TRUSTED_PROXIES=""), "proxies", "TRUSTED_PROXIES", "10.0.0"),
    "every proxy": Mistake(variables(TRUSTED_PROXIES="*"), "settings", "TRUSTED_PROXIES", "list the"),
    "an origin with a path": Mistake(
        variables(ALLOWED_ORIGINS="https://www.cinema.example/"), "settings", "ALLOWED_ORIGINS", "exact origins"
    ),
    "debug": Mistake(variables(LOG_LEVEL="DEBUG"), "settings", "LOG_LEVEL", "INFO"),
    "mails from localhost": Mistake(
        variables(MAIL_FROM="no-reply@localhost"), "mail_settings", "MAIL_FROM", "domain", WARNING
    ),
    "Redis without TLS": Mistake(
        secret("REDIS_URL", f"redis://:{REDIS_PASSWORD}@redis.invalid:6379/0"),
        "redis_tls",
        "REDIS_URL",
        "rediss://",
        WARNING,
    ),
    "Redis with a TLS that is not verified": Mistake(
        secret("REDIS_URL", f"rediss://:{REDIS_PASSWORD}@redis.invalid:6379/0?ssl_cert_reqs=none"),
        "redis_tls",
        "REDIS_URL",
        "ssl_ca_certs",
        WARNING,
    ),
    # Postgres
    "Postgres refuses": Mistake(postgres_refused, "postgres", "DATABASE_URL", "nothing listens"),
    "a wrong password": Mistake(wrong_database_password, "postgres", "DATABASE_URL", "user or password"),
    "no such database": Mistake(no_such_database, "postgres", "DATABASE_URL", "CREATE DATABASE"),
    "an unknown host": Mistake(unknown_database_host, "postgres", "DATABASE_URL", "host name that is unknown"),
    "an option that nobody knows": Mistake(
        database_with("no_such_option=1"), "settings", "DATABASE_URL", "the option no_such_option "
    ),
    "TLS that Postgres does not speak": Mistake(
        database_with("sslmode=require&channel_binding=require"), "postgres", "DATABASE_URL", "speaks no TLS"
    ),
    "an option that the server does not take": Mistake(
        database_with("options=-c%20no_such%3D1"), "postgres", "DATABASE_URL", "correct `options`"
    ),
    "no schema": Mistake(sql("DROP TABLE alembic_version"), "schema", "DATABASE_URL", "auth-service migrate"),
    "an older schema": Mistake(
        sql("UPDATE alembic_version SET version_num = '0003'"), "schema", "DATABASE_URL", "older"
    ),
    "a newer schema": Mistake(
        sql("UPDATE alembic_version SET version_num = '9999'"), "schema", "DATABASE_URL", "newer"
    ),
    "a superuser of Postgres": Mistake(
        superuser_of_postgres, "postgres_rights", "DATABASE_URL", "CREATE ROLE", WARNING
    ),
    "a right is missing": Mistake(
        sql("REVOKE DELETE ON sessions FROM {role}"), "postgres_rights", "DATABASE_URL", "DELETE on sessions"
    ),
    "another owner of the history": Mistake(
        sql("ALTER TABLE login_history OWNER TO CURRENT_USER", "GRANT ALL ON login_history TO {role}"),
        "postgres_rights",
        "DATABASE_URL",
        "login_history",
        WARNING,
    ),
    "a read-only database": Mistake(
        sql(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',"
            " current_database()); END $$"
        ),
        "postgres_writable",
        "DATABASE_URL",
        "default_transaction_read_only",
    ),
    "too few connections": Mistake(few_connections, "postgres_connections", "DATABASE_POOL_SIZE", "23 connections"),
    "too many workers": Mistake(variables(WORKERS="64"), "postgres_connections", "DATABASE_POOL_SIZE", "max_conn"),
    # what stands in it
    "no partition for the next month": Mistake(
        sql(f"DROP TABLE {NEXT_MONTH}"), "login_history", "HISTORY_MONTHS_AHEAD", "partitions ensure"
    ),
    "rows in the default partition": Mistake(
        sql("INSERT INTO login_history (id, login_at, succeeded) VALUES (gen_random_uuid(), '2001-01-01', true)"),
        "login_history",
        "HISTORY_MONTHS_AHEAD",
        "default partition: 1",
    ),
    "no such default role": Mistake(variables(DEFAULT_ROLE="nobody"), "default_role", "DEFAULT_ROLE", "roles list"),
    "no superuser": Mistake(sql("DELETE FROM user_roles"), "superusers", "accounts", "users create"),
    "a superuser without second factor": Mistake(
        sql("DELETE FROM mfa_totp"), "superusers", "ADMIN_MFA", "1 of 1 superusers"
    ),
    "demo accounts": Mistake(demo_accounts, "demo_accounts", "APP_ENV", "users delete"),
    "another secret than before": Mistake(
        secret("SECRET_KEY", "another secret of thirty-two bytes or more"),
        "signing_keys",
        "SECRET_KEY",
        "SECRET_KEY_PREVIOUS",
    ),
    "no signing key": Mistake(sql("DELETE FROM signing_keys"), "signing_keys", "accounts", "first worker", WARNING),
    # Redis
    "Redis refuses": Mistake(redis_refused, "redis", "REDIS_URL", "start the server"),
    "a wrong password of Redis": Mistake(wrong_redis_password, "redis", "REDIS_URL", "password"),
    "no password for Redis": Mistake(no_redis_password, "redis", "REDIS_URL", "password"),
    "a user of Redis without rights": Mistake(redis_user_without_rights, "redis", "REDIS_URL", "ACL SETUSER"),
    "a database that Redis does not have": Mistake(redis_at("/99"), "redis", "REDIS_URL", "`databases`"),
    "TLS that Redis does not speak": Mistake(
        redis_at("/0", "rediss"), "redis", "REDIS_URL", "whether the port speaks TLS"
    ),
    "an option of Redis that nobody knows": Mistake(
        redis_at("/0?prefix=1"), "settings", "REDIS_URL", "the option prefix "
    ),
    "Redis evicts": Mistake(
        redis_with("maxmemory-policy", "volatile-lru", then="noeviction"),
        "redis_eviction",
        "REDIS_URL",
        "maxmemory-policy noeviction",
    ),
    "Redis is nearly full": Mistake(redis_nearly_full, "redis_memory", "REDIS_URL", "raise maxmemory"),
    "Redis forgets": Mistake(
        redis_with("appendonly", "no", then="yes"), "redis_persistence", "REDIS_URL", "appendonly yes", WARNING
    ),
    "Redis is a replica": Mistake(redis_is_a_replica, "redis_writable", "REDIS_URL", "primary"),
    # the machine and its neighbours
    "the log's folder is closed": Mistake(log_folder_closed, "log_file", "LOG_FILE", "folder"),
    "the log is a folder": Mistake(log_file_is_a_folder, "log_file", "LOG_FILE", "cannot be written"),
    "the port is taken": Mistake(port_taken, "port", "PORT", "another program"),
    "an address of another machine": Mistake(variables(HOST="192.0.2.1"), "port", "HOST", "address of this machine"),
    "no mail server": Mistake(smtp_unreachable, "smtp", "SMTP_URL", "start the server"),
    "no mail server is set": Mistake(variables(SMTP_URL=""), "mail_settings", "SMTP_URL", "forgotten", WARNING),
    "a mail server without TLS": Mistake(mail_server(SmtpServer), "smtp", "SMTP_URL", "STARTTLS"),
    "a mail server with a strange certificate": Mistake(smtp_certificate_unknown, "smtp", "SMTP_URL", "SSL_CERT_FILE"),
    "a wrong password of the mail server": Mistake(mail_login_refused, "smtp", "SMTP_URL", "user or password"),
    "no Kafka": Mistake(kafka_unreachable, "kafka", "KAFKA_BOOTSTRAP", "brokers"),
    "no topic": Mistake(variables(KAFKA_TOPIC_EVENTS="unheard.of"), "kafka", "KAFKA_TOPIC_EVENTS", "--create"),
    "options that Kafka does not know": Mistake(
        secret("KAFKA_OPTIONS", f'{{"no.such.option": "{SMTP_PASSWORD}"}}'), "kafka", "KAFKA_OPTIONS", "librdkafka"
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", MISTAKES)
async def test_a_planted_mistake_is_named_with_its_remedy(
    installation: Installation, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    mistake = MISTAKES[name]
    undo = await mistake.plant(installation)
    try:
        report = await installation.doctor("--json")
    finally:
        if callable(undo):
            await undo()
    found = [item for item in report.body["findings"] if item["check"] == mistake.check]
    assert [(item["severity"], item["setting"]) for item in found] == [(mistake.severity, mistake.setting)], report.text
    assert mistake.says in found[0]["problem"] + found[0]["fix"]
    # Nothing else is wrong; a host that cannot be found (in mistakes of two findings) is also unreachable.
    others = [item["check"] for item in report.body["findings"] if item["check"] != mistake.check]
    assert others == (["redis"] if name.startswith("Redis with") else []), report.text
    assert report.code == (1 if mistake.severity == "problem" or others else 0)
    assert report.body["well"] is (report.code == 0)


# --- what else it says


async def test_an_installation_that_is_well_has_no_findings(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    report = await installation.doctor("--json")
    assert (report.code, report.body["findings"], report.body["not_checked"]) == (0, [], {}), report.text
    assert {mistake.check for mistake in MISTAKES.values()} <= set(report.body["checked"])
    assert not (installation.folder / "logs").exists()  # it only looks
    words = await installation.doctor()
    assert words.code == 0
    assert words.text == f"{len(report.body['checked'])} checks: 0 problems, 0 warnings\n"


async def test_what_depends_on_a_store_that_is_away_is_not_guessed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    await postgres_refused(installation)
    await redis_refused(installation)
    body = (await installation.doctor("--json")).body
    assert {finding["check"] for finding in body["findings"]} == {"postgres", "redis"}
    silent = {name: why for name, why in body["not_checked"].items() if name.startswith("redis_")}
    assert len(silent) == 6
    assert set(silent.values()) == {"redis has to be mended first"}
    assert {"schema", "superusers", "signing_keys", "postgres_clock"} <= body["not_checked"].keys()
    assert {"smtp", "kafka", "port", "redis_tls"} <= set(body["checked"])
    words = (await installation.doctor()).text
    assert words.count("problem: ") == 2
    assert "not checked, postgres has to be mended first: " in words


async def test_refused_settings_are_all_named_and_stores_not_asked(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    installation.variables |= {"PORT": "0", "LOG_FORMAT": "xml", "RATE_LIMIT_LOGIN": "often"}
    report = await installation.doctor("--json")
    assert sorted(setting for _, _, setting in report.findings) == ["LOG_FORMAT", "PORT", "RATE_LIMIT_LOGIN"]
    assert set(report.body["not_checked"].values()) == {"the settings have to be mended first"}


@pytest.mark.parametrize("name", BAD)
async def test_every_bad_setting_is_a_finding_of_its_name(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(installation.folder)
    installation.variables.pop(f"{name}_FILE", None)
    installation.variables[name] = BAD[name][0]
    report = await installation.doctor("--json")
    assert ("problem", "settings", name) in report.findings
    assert BAD[name][0] not in report.text or len(BAD[name][0]) < 8


async def test_replicas_multiply_the_connections(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(installation.folder)
    assert (await installation.doctor("--replicas", "2")).code == 0
    report = await installation.doctor("--replicas", "50", "--json")
    assert report.findings == [("problem", "postgres_connections", "DATABASE_POOL_SIZE")]
    assert "1150 connections may be wanted (50 replicas × 1 workers × 23)" in report.text


async def test_a_pooler_that_keeps_notifications_to_itself_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PgBouncer does in transaction mode: whoever listens is somebody else's connection by then."""
    monkeypatch.chdir(installation.folder)
    monkeypatch.setattr(asyncpg.Connection, "_process_notification", lambda *_told: None)
    report = await installation.doctor("--json")
    assert report.findings == [("warning", "postgres_changes", "DATABASE_URL")]
    installation.variables["CHECK_CACHE_BYTES"] = "0"
    assert (await installation.doctor("--json")).findings == []


@pytest.mark.parametrize("ahead", [timedelta(seconds=-90), timedelta(seconds=90)], ids=["behind", "ahead"])
async def test_a_clock_that_differs_from_the_stores_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    """Ours is put forward and back: theirs cannot be."""
    monkeypatch.chdir(installation.folder)
    for name, value in installation.variables.items():
        monkeypatch.setenv(name, value)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    diagnosis = await diagnose(revisions=[NEWEST], clock=lambda: datetime.now(UTC) + ahead)
    clocks = {finding.check: finding.problem for finding in diagnosis.findings if finding.check.endswith("_clock")}
    assert clocks.keys() == {"postgres_clock", "redis_clock"}
    expected = r"its clock is (89|90) s behind" if ahead > timedelta(0) else r"its clock is (9\d|1\d\d) s ahead"
    for problem in clocks.values():
        assert re.match(expected, problem), problem


async def test_servers_that_are_too_old_are_named(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one version of each here, so the bound is moved instead."""
    monkeypatch.chdir(installation.folder)
    monkeypatch.setattr(postgres_checks, "OLDEST_VERSION", 1000)
    monkeypatch.setattr(redis_checks, "OLDEST_VERSION", (1000, 0))
    report = await installation.doctor("--json")
    assert {check for _, check, _ in report.findings} == {"postgres_version", "redis_version"}


async def test_the_master_of_a_cluster_that_forgets_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, redis_cluster: Topology
) -> None:
    monkeypatch.chdir(installation.folder)
    installation.secret("REDIS_URL", redis_cluster.url)
    node = redis_cluster.nodes[1]
    node.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        report = await installation.doctor("--json")
    finally:
        node.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    named = [finding["problem"] for finding in report.body["findings"] if finding["check"] == "redis_eviction"]
    assert len(named) == 1
    assert named[0].startswith(f"127.0.0.1:{node.port}: its maxmemory-policy is allkeys-lru")
    assert not {check for _, check, _ in report.findings} & {"redis", "redis_clock", "redis_memory", "redis_writable"}


async def test_few_open_files_are_named(installation: Installation) -> None:
    limited = ("sh", "-c", 'ulimit -n 300; exec "$@"', "sh")
    report, _ = await installation.process("doctor", "--json", prefix=limited)
    assert report.findings == [("problem", "file_descriptors", "RLIMIT_NOFILE")]
    assert report.code == 1
    assert "300 open files are allowed, a process needs 452" in report.text


async def test_the_port_of_the_service_itself_is_no_finding(
    installation: Installation, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    service = await fresh.service(await fresh.settings(allowed_hosts=("auth.cinema.example", "127.0.0.1")))
    installation.variables["PORT"] = service.base_url.rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(installation.variables["PORT"]))):
        pass  # it is taken
    assert (await installation.doctor("--json")).body["findings"] == []


@pytest.mark.long
async def test_a_redis_that_hangs_is_not_waited_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(installation.folder)
    redis = await asyncio.to_thread(start_redis, tmp_path / "hanging", durable=False)
    try:
        async with aioredis.Redis.from_url(redis.url) as client:
            await client.execute_command("CLIENT", "PAUSE", "60000", "ALL")  # type: ignore[no-untyped-call]
        installation.secret("REDIS_URL", redis.url)
        report = await installation.doctor("--json")
    finally:
        await asyncio.to_thread(redis.stop)
    assert report.findings == [("problem", "redis", "REDIS_URL")]
    assert "does not answer" in report.text


async def test_the_page_of_the_doctor_names_every_check(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installation.folder)
    checked = (await installation.doctor("--json")).body["checked"]
    assert re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE) == checked
