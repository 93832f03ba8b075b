"""Back-ups are restored: the dump of before next to the Redis of now, and a moment in time from archived WAL."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from auth_service.config import Settings
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from tests.conftest import Fresh, Servers, _recreate, running_app, test_settings
from tests.support.api import PASSWORD, V1, Api, Tokens, error_of
from tests.support.command import Command
from tests.support.mailbox import newest
from tests.support.postgres_pair import Server, as_postgres, binary, run
from tests.support.service_process import free_port

REFUSED = (401, "not_authenticated")
INVALID = (401, "invalid_refresh_token")
NEW = "nineteen-wooden-boats"


def dump(settings: Settings, file: Path) -> None:
    run(binary("pg_dump"), "--format=custom", f"--file={file}", settings.asyncpg_dsn)


async def restored(servers: Servers, settings: Settings, file: Path) -> Settings:
    """The dump in a new database, beside the Redis that knows better."""
    name = f"auth_restored_{servers.worker}"
    await _recreate(servers, name)
    url = servers.database(name)
    await asyncio.to_thread(run, binary("pg_restore"), "--exit-on-error", f"--dbname={url}", str(file))
    return settings.model_copy(update={"database_url": type(settings.database_url)(url)})


async def change_password(api: Api, tokens: Tokens) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = await api.http.post(f"{V1}/users/me/password", json=body, headers=tokens.bearer)
    assert answer.status_code == 204, answer.text


async def test_rel_11_an_old_dump_beside_a_newer_redis_revives_nothing(
    fresh: Fresh, servers: Servers, tmp_path: Path
) -> None:
    settings = await fresh.settings()
    async with running_app(settings) as api:
        account, logged_out = await api.as_role()
        kept = await api.log_in(account)
        everywhere, first = await api.as_role()
        forgetful, _ = await api.as_role()
        _, admin = await api.as_role("superuser")
        service = await api.service_token(*await api.create_service(admin))
        await api.http.post(f"{V1}/auth/password/forgot", json={"email": forgetful.email})
        link = (await newest(api, forgetful.email, "reset_password")).token
        dump(settings, tmp_path / "auth.dump")

        await api.http.post(f"{V1}/auth/logout", headers=logged_out.bearer)
        await api.http.post(f"{V1}/auth/logout-all", headers=first.bearer)
        second = await api.log_in(everywhere)  # of a higher epoch than the back-up knows
        await change_password(api, kept)
        reset = {"token": link, "new_password": NEW}
        assert (await api.http.post(f"{V1}/auth/password/reset", json=reset)).status_code == 200
        await api.create_service(admin)
        newest_event = (await events(api, admin))[-1]["position"]
        head = (await Command(settings).does("audit", "head")).split()[1]

    old = await restored(servers, settings, tmp_path / "auth.dump")
    async with running_app(old) as api:
        # What the command is for: without it the session that was ended is alive.
        assert (await api.refresh(logged_out.refresh)).status_code == 200
    command = Command(old)
    assert "--yes" in await command.refuses("after-restore")
    said = await command.does("after-restore", "--yes")
    assert "4 users are logged out" in said
    async with running_app(old) as api:
        for tokens in (logged_out, kept, first, second):
            assert error_of(await api.me(tokens)) == REFUSED
            assert error_of(await api.refresh(tokens.refresh)) == INVALID
        answer = await api.http.get(f"{V1}/roles", headers=service)
        assert error_of(answer) == REFUSED
        answer = await api.http.post(f"{V1}/auth/password/reset", json=reset)
        assert error_of(answer) == (401, "invalid_mail_token")
        # Redis remembers a logout-all that the database has forgotten, and refuses no new token for it.
        for person in (account, everywhere, forgetful):
            assert (await api.me(await api.log_in(person))).status_code == 200
        administrator = await api.create_user("superuser")
        read = await events(api, await api.log_in(administrator), after=newest_event)
        assert {item["type"] for item in read} >= {"auth.sessions_ended", "auth.session_started"}
    assert "rows are whole" in await command.does("audit", "verify")
    verdict = await command("audit", "verify", "--expect-head", head)
    assert (verdict.code, "newer ones were removed" in verdict.err) == (1, True), verdict


async def events(api: Api, admin: Tokens, after: int = 0) -> list[dict[str, object]]:
    answer = await api.http.get(f"{V1}/admin/events", params={"after": after, "limit": 1000}, headers=admin.bearer)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, object]] = answer.json()["items"]
    return items


async def test_rel_11_a_moment_in_time_comes_back_from_archived_wal(tmp_path: Path) -> None:
    made = start_postgres(tmp_path / "data", durable=True)
    password = urlsplit(made.url).password or ""
    made.stop()
    server = Server(tmp_path / "data", free_port(), password)
    archive, base = tmp_path / "archive", tmp_path / "base"
    archive.mkdir()
    (server.data / "postgresql.auto.conf").write_text(
        f"archive_mode = on\narchive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'\n"
    )
    redis = start_redis(tmp_path / "redis", durable=False)
    settings = test_settings(database_url=server.url, redis_url=redis.url)
    command = Command(settings)
    try:
        server.start()
        await command.does("migrate")
        address = f"host=127.0.0.1 port={server.port} user=auth password={password}"
        prefix = as_postgres(tmp_path)
        run(*prefix, binary("pg_basebackup"), "-D", str(base), "-c", "fast", "-X", "stream", "-d", address)
        run(*prefix, binary("pg_verifybackup"), str(base))
        await command.does("users", "create", "before", "before@example.com", typed=PASSWORD)
        moment = datetime.now(UTC)
        await asyncio.sleep(0.5)
        await command.does("users", "create", "mistake", "mistake@example.com", typed=PASSWORD)
        await server.ask("SELECT pg_switch_wal()")
        server.stop()

        shutil.move(server.data, tmp_path / "lost")
        shutil.move(base, server.data)
        with (server.data / "postgresql.auto.conf").open("a") as settings_file:
            settings_file.write(
                f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment.isoformat()}'\n"
                "recovery_target_action = 'promote'\narchive_mode = off\n"
            )
        (server.data / "recovery.signal").touch()
        server.start()
        async with asyncio.timeout(60):
            while await server.ask("SELECT pg_is_in_recovery()"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await command.does("after-restore", "--yes")
        logins = {row["login"] for row in (await command("users", "list", "--json")).rows}
        assert logins == {"before"}
        async with running_app(settings) as api:
            assert (await api.log_in_as("before", PASSWORD)).status_code == 200
            assert error_of(await api.log_in_as("mistake", PASSWORD)) == (401, "invalid_credentials")
        assert "rows are whole" in await command.does("audit", "verify")
    finally:
        redis.stop()
        server.stop()
