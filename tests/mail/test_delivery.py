"""Mails on their way: over real SMTP, through refusals and outages, and to a developer's screen."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from pydantic import SecretStr

from auth_service.config import Environment
from auth_service.core.clock import Clock, utc_now
from auth_service.core.connections import Resources, open_resources
from auth_service.mail.delivery import GIVE_UP_AFTER, delete_old, deliver, pause_after
from auth_service.mail.outbox import enqueue, enqueue_nothing
from auth_service.mail.texts import MailKind, write_letter
from auth_service.models import User
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, error_of, unique
from tests.support.mailbox import letters, newest
from tests.support.smtp_server import SmtpServer, certificate_for_tests

SECRET_PASSWORD = "a p@ss/wörd:1"


@asynccontextmanager
async def no_jobs(fresh: Fresh, clock: Clock = utc_now, **overrides: Any) -> AsyncIterator[Api]:
    """Stores without an app: mails go when the test says so."""
    async with open_resources(await fresh.settings(**overrides), clock) as resources, httpx.AsyncClient() as http:
        yield Api(http, resources)


async def write(api: Api, account: Account, kind: MailKind = MailKind.PASSWORD_CHANGED, **facts: str) -> None:
    async with api.resources.db.begin() as session:
        user = await session.get(User, account.id)
        assert user is not None
        await enqueue(api.resources, session, user, kind, **facts)


async def waiting(resources: Resources) -> int:
    return int(await resources.hot.fetchval("SELECT count(*) FROM mails WHERE sent_at IS NULL"))


async def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def nothing_waits(resources: Resources) -> None:
    """The app's own job sends; it needs a second at most."""
    for _ in range(1000):
        if await waiting(resources) == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("mails wait")


async def register(api: Api, **more: Any) -> dict[str, Any]:
    login = unique("reader")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD} | more
    response = await api.http.post(f"{V1}/auth/register", json=body)
    assert response.status_code == 201, response.text
    return body


async def test_a_registration_is_mailed_and_its_link_works(fresh: Fresh) -> None:
    with SmtpServer().running() as server:
        api = await fresh.api(
            smtp_url=server.url(), mail_from="Кино <no-reply@cinema.example>", account_url="https://www.cinema.example"
        )
        body = await register(api)
        await until(lambda: bool(server.mails))
        mail = server.mails[0]
        assert server.recipients == [body["email"]]
        assert mail["To"] == body["email"]
        assert mail["From"] == "Кино <no-reply@cinema.example>"
        assert mail["Auto-Submitted"] == "auto-generated"
        text = mail.get_content()
        assert "https://www.cinema.example/confirm-email#token=" in text
        token = text.partition("#token=")[2].split()[0]
        confirmed = await api.http.post(f"{V1}/auth/email/confirm", json={"token": token})
        assert confirmed.json() == {"email": body["email"], "verified": True, "waiting_for": []}
        await nothing_waits(api.resources)
        assert await api.resources.hot.fetchval("SELECT count(*) FROM mails") == 0  # what was sent is kept nowhere


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_the_password_of_the_server_goes_through_tls_alone(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    certificate, context = certificate_for_tests(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = SmtpServer()
    tls: dict[str, Any] = {"tls_context": context} if scheme == "smtp" else {"ssl_context": context}
    url = server.url(scheme, "mail%40cinema:a%20p%40ss%2Fw%C3%B6rd%3A1@")
    # aiosmtpd knows no implicit TLS: to it that is a connection without any.
    options = {"authenticator": server.authenticator, "auth_require_tls": scheme == "smtp"}
    with server.running(**tls, **options):
        async with no_jobs(fresh, smtp_url=url) as api:
            await write(api, await api.create_user())
            await deliver(api.resources)
            assert await waiting(api.resources) == 0
    assert server.encrypted == [True]
    assert server.passwords == [(b"mail@cinema", SECRET_PASSWORD.encode())]


async def test_production_sends_no_password_where_starttls_is_not_offered(fresh: Fresh) -> None:
    server = SmtpServer()
    url = server.url("smtp", "mail:secret-of-smtp@")
    with server.running(authenticator=server.authenticator, auth_require_tls=False):
        async with no_jobs(fresh, smtp_url=url) as api:
            settings = api.resources.settings
            await write(api, await api.create_user())
            production = settings.model_copy(update={"app_env": Environment.PRODUCTION, "admin_mfa": False})
            async with open_resources(production) as resources:
                await deliver(resources)
            assert (server.passwords, server.mails) == ([], [])
            assert await waiting(api.resources) == 1


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(fresh: Fresh, tmp_path: Path) -> None:
    _, context = certificate_for_tests(tmp_path)
    with SmtpServer().running(tls_context=context) as server:
        async with no_jobs(fresh, smtp_url=server.url()) as api:
            await write(api, await api.create_user())
            await deliver(api.resources)
            assert await waiting(api.resources) == 1
    assert server.mails == []


async def test_a_refused_address_is_not_tried_again_and_holds_nobody_up(fresh: Fresh) -> None:
    clock = StoppedClock()
    with SmtpServer().running() as server:
        async with no_jobs(fresh, clock, smtp_url=server.url()) as api:
            refused, later, fine = [await api.create_user() for _ in range(3)]
            server.refused = {
                refused.email: f"550 5.1.1 <{refused.email}> unknown",
                later.email: "451 4.2.1 greylisted",
            }
            with structlog.testing.capture_logs() as logged:
                for account in (refused, later, fine):
                    await write(api, account)
                    clock.forward(seconds=1)
                for _ in range(3):
                    await deliver(api.resources)
            assert server.recipients == [fine.email]
            server.refused.clear()
            clock.forward(hours=1)
            await deliver(api.resources)
            assert server.recipients == [fine.email, later.email]
            assert server.tried.count(refused.email) == 1
    events = [entry["event"] for entry in logged]
    assert (events.count("mail_refused"), events.count("mail_not_sent")) == (1, 1)
    assert not any(account.email in str(logged) or account.login in str(logged) for account in (refused, later))
    assert {entry["kind"] for entry in logged} == {"password_changed"}


async def test_the_server_is_down_then_back(fresh: Fresh) -> None:
    """The pauses grow, the mail waits, and a request neither fails nor waits."""
    clock, server = StoppedClock(), SmtpServer()
    async with no_jobs(fresh, clock, smtp_url=server.url()) as api:
        account = await api.create_user()
        await write(api, account)
        due = []
        for _ in range(12):
            await deliver(api.resources)
            due.append(await api.resources.hot.fetchval("SELECT send_at FROM mails") - clock.now)
            clock.now += due[-1]
        assert [pause.total_seconds() for pause in due[:4]] == [1, 2, 4, 8]
        assert due[-1] == timedelta(minutes=15)
        clock.now -= timedelta(seconds=1)
        with server.running():
            await deliver(api.resources)
            assert server.mails == []  # not due yet
            clock.forward(seconds=1)
            await deliver(api.resources)
        assert server.recipients == [account.email]
        assert await waiting(api.resources) == 0


async def test_mail_that_is_down_fails_and_slows_no_request(fresh: Fresh) -> None:
    async def never_answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await asyncio.sleep(30)
        writer.close()

    connected = asyncio.Event()
    black_hole = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    port = black_hole.sockets[0].getsockname()[1]
    try:
        api = await fresh.api(smtp_url=f"smtp://127.0.0.1:{port}")
        await register(api)
        await asyncio.wait_for(connected.wait(), 20)
        started = time.monotonic()
        body = await register(api)
        asked = await api.http.post(f"{V1}/auth/password/forgot", json={"email": body["email"]})
        assert asked.status_code == 202
        assert time.monotonic() - started < 9  # the timeout of SMTP is 10 s
        assert await waiting(api.resources) == 3
    finally:
        black_hole.close()


async def test_a_mail_is_given_up_after_a_day(fresh: Fresh) -> None:
    clock, server = StoppedClock(), SmtpServer()
    async with no_jobs(fresh, clock, smtp_url=server.url()) as api:
        account = await api.create_user()
        await write(api, account)
        clock.now += GIVE_UP_AFTER - timedelta(seconds=1)
        await deliver(api.resources)
        assert await waiting(api.resources) == 1
        clock.forward(minutes=30)
        with structlog.testing.capture_logs() as logged:
            await deliver(api.resources)
        assert await waiting(api.resources) == 0
    assert [entry["event"] for entry in logged] == ["mail_given_up"]
    assert account.email not in str(logged)


async def test_parallel_workers_send_each_mail_once(fresh: Fresh) -> None:
    with SmtpServer().running() as server:
        async with no_jobs(fresh, smtp_url=server.url()) as api, open_resources(api.resources.settings) as second:
            accounts = [await api.create_user() for _ in range(20)]
            for account in accounts:
                await write(api, account)
            await asyncio.gather(*(deliver(resources) for resources in (api.resources, second) for _ in range(3)))
            assert await waiting(api.resources) == 0
    assert sorted(server.recipients) == sorted(account.email for account in accounts)


async def test_a_mail_whose_answer_was_lost_is_sent_again_under_the_same_message_id(fresh: Fresh) -> None:
    clock = StoppedClock()
    server = SmtpServer(hang_up=1)
    with server.running():
        async with no_jobs(fresh, clock, smtp_url=server.url()) as api:
            await write(api, await api.create_user())
            await deliver(api.resources)
            clock.forward(minutes=2)
            await deliver(api.resources)
            assert await waiting(api.resources) == 0
    assert len(server.mails) == 2
    assert len({mail["Message-ID"] for mail in server.mails}) == 1
    UUID(server.mails[0]["Message-ID"][1:].partition("@")[0])


async def test_a_mail_whose_worker_died_is_claimed_again(fresh: Fresh) -> None:
    clock, server, claimed = StoppedClock(), SmtpServer(), asyncio.Event()

    async def never_answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        claimed.set()
        await asyncio.sleep(30)
        writer.close()

    black_hole = await asyncio.start_server(never_answers, "127.0.0.1", server.port)
    async with no_jobs(fresh, clock, smtp_url=server.url()) as api:
        account = await api.create_user()
        await write(api, account)
        worker = asyncio.create_task(deliver(api.resources))
        await asyncio.wait_for(claimed.wait(), 20)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        black_hole.close()
        await black_hole.wait_closed()
        with server.running():
            await deliver(api.resources)
            assert server.mails == []  # it might still be on its way
            clock.forward(seconds=61)
            await deliver(api.resources)
    assert server.recipients == [account.email]


async def test_an_address_in_another_script_needs_a_server_that_takes_it(fresh: Fresh) -> None:
    with (
        SmtpServer().running(enable_SMTPUTF8=True) as willing,
        SmtpServer().running(enable_SMTPUTF8=False) as unwilling,
    ):
        for server in (willing, unwilling):
            async with no_jobs(fresh, smtp_url=server.url()) as api:
                await write(api, await api.create_user(), to="анна@example.com")
                await deliver(api.resources)
                assert await waiting(api.resources) == 0
    assert willing.recipients == ["анна@example.com"]
    assert unwilling.mails == []


async def test_a_mail_to_nobody_is_thrown_away(fresh: Fresh) -> None:
    with SmtpServer().running() as server:
        async with no_jobs(fresh, smtp_url=server.url()) as api:
            async with api.resources.db.begin() as session:
                await enqueue_nothing(api.resources, session)
            await deliver(api.resources)
            assert await api.resources.hot.fetchval("SELECT count(*) FROM mails") == 0
    assert server.tried == []


async def test_a_developer_reads_mails_on_the_console_and_in_the_browser(
    fresh: Fresh, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, app_env="development")
    with structlog.testing.capture_logs() as logged:
        body = await register(api)
        account = await api.create_user()
        await write(api, account, MailKind.NEW_DEVICE, device="<script>alert(1)</script>", ip="192.0.2.1")
        await nothing_waits(api.resources)
    link = (await newest(api, body["email"], "verify_email")).link
    assert link.startswith("http://localhost:8000/confirm-email#token=")
    assert link in capfd.readouterr().out
    assert link.partition("#token=")[2] not in str(logged)
    page = await api.http.get("/dev/mails")
    assert page.headers["content-type"].startswith("text/html")
    assert f'<a href="{link}">' in page.text
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text
    listed = (await api.http.get("/dev/mails.json", params={"to": body["email"]})).json()
    assert [(mail["to"], mail["kind"]) for mail in listed] == [(body["email"], "verify_email")]
    everyone = (await api.http.get("/dev/mails.json")).json()
    assert [mail["to"] for mail in everyone] == [account.email, body["email"]]
    assert not [path for path in (await api.http.get("/auth/openapi.json")).json()["paths"] if "/dev/" in path]
    clock.forward(hours=25)
    await delete_old(api.resources)
    assert (await api.http.get("/dev/mails.json")).json() == []


async def test_only_development_shows_mails(fresh: Fresh) -> None:
    settings = await fresh.settings()
    for update in (
        {},
        {"app_env": Environment.PRODUCTION},
        {"app_env": Environment.DEVELOPMENT, "smtp_url": SecretStr("smtp://127.0.0.1:9")},
    ):
        api = await fresh.on(settings.model_copy(update=update))
        for path in ("/dev/mails", "/dev/mails.json"):
            assert error_of(await api.http.get(path)) == (404, "not_found")


async def test_production_without_a_mail_server_says_so_to_everyone_alike(fresh: Fresh) -> None:
    settings = await fresh.settings()
    with structlog.testing.capture_logs() as logged:
        api = await fresh.on(settings.model_copy(update={"app_env": Environment.PRODUCTION, "admin_mfa": False}))
    assert [entry["remedy"] for entry in logged if entry["event"] == "mail_not_configured"]
    body = await register(api)
    account, tokens = await api.as_role()
    _, admin = await api.as_role("admin")
    for email in (body["email"], account.email, "nobody@example.com"):
        asked = await api.http.post(f"{V1}/auth/password/forgot", json={"email": email})
        assert error_of(asked) == (503, "mail_not_configured")
        assert asked.headers["Retry-After"] == "3600"
    for path, sent, caller in [
        ("/users/me/email/verify", None, tokens),
        ("/users/me/email", {"email": "new@example.com", "current_password": PASSWORD}, tokens),
        ("/users/me/email", {"email": "new@example.com", "current_password": "wrong password"}, tokens),
        (f"/admin/users/{account.id}/send-password-reset", None, admin),
    ]:
        refused = await api.http.post(f"{V1}{path}", json=sent, headers=caller.bearer)
        assert error_of(refused) == (503, "mail_not_configured")
    assert await api.resources.hot.fetchval("SELECT count(*) FROM mails") == 0
    assert await api.resources.hot.fetchval("SELECT count(*) FROM mailed_tokens") == 0


async def test_aud_2_mails_lie_sealed_and_tokens_hashed(fresh: Fresh) -> None:
    api = await fresh.api()
    body = await register(api)
    letter = (await letters(api, body["email"]))[0]
    for table in ("mails", "mailed_tokens"):
        for row in await api.resources.hot.fetch(f'SELECT t::text AS text, t.* FROM "{table}" t'):  # noqa: S608
            blobs = [value.decode("latin-1") for value in row.values() if isinstance(value, bytes)]
            for secret in (letter.token, letter.token.partition(".")[2], "confirm-email"):
                assert secret not in "\n".join([row["text"], *blobs])


def test_pauses_grow_to_a_quarter_of_an_hour() -> None:
    assert [pause_after(tries).total_seconds() for tries in (1, 2, 3, 10, 11, 10_000)] == [1, 2, 4, 512, 900, 900]


@pytest.mark.parametrize("kind", MailKind)
def test_every_letter_can_be_written(kind: MailKind) -> None:
    facts = ("hello", "base", "when", "link", "new_email", "device", "ip", "limit")
    letter = write_letter(kind, "anna@example.com", {name: f"the-{name}" for name in facts})
    assert letter.to == "anna@example.com"
    assert letter.text.startswith("the-hello,")
    assert "{" not in letter.text
