"""The command line: accounts, roles, services, keys; what it refuses, and how it says so."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from auth_service.commands.schema import alembic_config
from auth_service.config import Settings
from auth_service.locks import Advisory
from auth_service.seed import DEMO_USERS
from auth_service.users.service import create_user
from tests.conftest import ROOT, Fresh, Servers
from tests.support.access import moment
from tests.support.api import PASSWORD, V1, Api, error_of, tokens_of, unique
from tests.support.command import Command
from tests.support.service_process import free_port

pytestmark = pytest.mark.long  # a hundred commands, each of which opens its stores

NEW_PASSWORD = "a new horse of the battery"
WAITING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    """On the stores of the shared app."""
    return Command(shared_settings)


async def logs_in(api: Api, login: str, password: str) -> bool:
    response = await api.http.post(f"{V1}/auth/login", json={"login": login, "password": password})
    assert response.status_code in {200, 401}
    return response.status_code == 200


# --- users ---


async def test_users_create_makes_an_account_that_can_log_in(api: Api, command: Command) -> None:
    login = unique("Operator")
    said = await command.does("users", "create", login, f"{login}@Example.COM", "--full-name", "Анна", typed=PASSWORD)
    account_id = said.removeprefix("created ").strip()
    tokens = tokens_of(await api.http.post(f"{V1}/auth/login", json={"login": login.lower(), "password": PASSWORD}))
    shown = (await api.me(tokens)).json()
    assert (shown["id"], shown["login"], shown["full_name"]) == (account_id, login, "Анна")
    assert shown["email"] == f"{login}@example.com"
    assert (await api.check(tokens, "payments:refund"))["allowed"] is False


async def test_users_create_refuses_what_the_api_refuses(api: Api, command: Command) -> None:
    account = await api.create_user()
    free = f"{unique('free')}@example.com"
    refused = [
        (("no spaces", free), PASSWORD, "login"),
        (("ab", free), PASSWORD, "login"),
        ((unique("user"), "no-address"), PASSWORD, "email"),
        ((unique("user"), free), "short", "password"),
        ((unique("user"), free), "", "password is missing"),
        ((free,), "short", "password"),
        ((free,), "", "password is missing"),
        (("no-address@",), PASSWORD, "email"),
        ((account.email.upper(),), PASSWORD, "e-mail address is taken"),
        ((account.login.upper(), free), PASSWORD, "login is taken"),
        ((unique("user"), account.email.upper()), PASSWORD, "e-mail address is taken"),
        ((unique("user"), free, "--full-name", "x" * 201), PASSWORD, "full name"),
        ((unique("user"), free, "--full-name", "a\tb"), PASSWORD, "full name"),
    ]
    for arguments, typed, word in refused:
        words = await command.refuses("users", "create", *arguments, typed=typed)
        assert word in words
        assert len(words.splitlines()) == 1
        assert not typed or typed not in words
    assert not await api.resources.hot.fetchval("SELECT count(*) FROM users WHERE email = $1", free)


async def test_an_address_is_enough_for_an_account(api: Api, command: Command) -> None:
    """Its login is what stands before the @, or the next one that is free."""
    name = unique("Anna.")
    for number in ("", "2", "3"):
        said = await command.does("users", "create", f"{name}@{number or 1}.example.com", typed=f"{PASSWORD}\r\n")
        first, second = said.splitlines()
        assert second == f"login {name}{number}"
        assert UUID(first.removeprefix("created "))
        assert await logs_in(api, f"{name}{number}", PASSWORD)
    odd = f"b!+{name}"
    said = await command.does("users", "create", f"{odd}@example.com", typed=PASSWORD)
    assert said.splitlines()[1] == f"login b-{name}"


async def test_login_and_address_in_either_order(api: Api, command: Command) -> None:
    login = unique("swapped")
    said = await command.does("users", "create", f"{login}x@example.com", login, typed=PASSWORD)
    assert len(said.splitlines()) == 1
    assert await logs_in(api, login, PASSWORD)
    assert await logs_in(api, f"{login}x@example.com", PASSWORD)


async def test_without_an_address_a_script_is_told_how(command: Command) -> None:
    for arguments in ((), ("somebody",)):
        outcome = await command("users", "create", *arguments, typed=PASSWORD)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err == "Give the e-mail address: auth-service users create [LOGIN] EMAIL\n"


async def test_sec_3_an_address_is_enough_for_the_first_superuser(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api, command = await fresh.on(settings), Command(settings)
    said = await command.does("users", "create", "admin@example.com", "--superuser", typed=PASSWORD)
    assert said.endswith("login admin\n")
    tokens = tokens_of(await api.http.post(f"{V1}/auth/login", json={"login": "admin", "password": PASSWORD}))
    assert (await api.check(tokens, "payments:refund"))["allowed"] is True
    words = await command.refuses("users", "create", "second@example.com", "--superuser", typed="")
    assert "--another-superuser" in words  # before a password is asked for


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("audit", "list", "--since", "2031-01-01T00:00:00Z", "--until", "2030-01-01T00:00:00Z"), "since must not"),
        (("users", "list", "--since", "2031-01-01T00:00:00Z", "--until", "2030-01-01T00:00:00Z"), "--since must not"),
        (("audit", "list", "--actor", ""), "actor must have 1 or more characters"),
        (("audit", "list", "--target", "a\tb"), "target must not have control characters"),
        (("audit", "list", "--action", "user.delted"), "action must be one of"),
        (("users", "reset-mfa", "viewer", "--reason", ""), "reason must have 3 or more characters"),
        (("roles", "grant", "viewer", "guest", "--reason", "x" * 501), "reason must have at most 500 "),
        (("users", "update-password", "nobody-has-this"), "There is no user nobody-has-this."),
    ],
    ids=lambda part: " ".join(part)[:60] if isinstance(part, tuple) else "",
)
async def test_what_makes_no_sense_is_refused_in_one_line(
    command: Command, arguments: tuple[str, ...], words: str
) -> None:
    said = await command.refuses(*arguments)
    assert said.startswith(words)
    assert len(said.splitlines()) == 1


async def test_passwords_are_never_arguments(command: Command) -> None:
    for group in (("users", "create"), ("users", "update-password")):
        described = await command(*group, "--help")
        assert "--password" not in described.out
        outcome = await command(*group, "someone", "someone@example.com", PASSWORD, typed=PASSWORD)
        assert outcome.code == 2  # one argument too many


async def test_sec_3_the_first_superuser_is_made_once(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api, command = await fresh.on(settings), Command(settings)
    create = ("users", "create", "root", "root@example.com", "--superuser")
    await command.does(*create, typed=PASSWORD)
    tokens = tokens_of(await api.http.post(f"{V1}/auth/login", json={"login": "root", "password": PASSWORD}))
    assert (await api.check(tokens, "payments:refund"))["allowed"] is True
    second = ("users", "create", "second", "second@example.com")
    words = await command.refuses(*second, "--superuser", typed=PASSWORD)
    assert "--another-superuser" in words
    assert not await logs_in(api, "second", PASSWORD)
    await command.does(*second, "--another-superuser", typed=PASSWORD)
    assert await logs_in(api, "second", PASSWORD)


async def test_sec_3_two_first_superusers_at_once_are_one(fresh: Fresh) -> None:
    settings = await fresh.settings()
    replicas = await fresh.on(settings), await fresh.on(settings)
    hot = replicas[0].resources.hot

    async def create(number: int) -> None:
        login = f"root{number}"
        await create_user(
            replicas[number].resources,
            login=login,
            email=f"{login}@example.com",
            password=PASSWORD,
            role="superuser",
            only_first=True,
        )

    async with hot.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", Advisory.ACCESS_RULES)
            both = [asyncio.create_task(create(number)) for number in range(2)]
            # Both wait for their turn; neither looks whether there is a superuser before it has come.
            while await connection.fetchval(WAITING) < 2:
                assert not any(task.done() for task in both)
                await asyncio.sleep(0.02)
        outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["NoneType", "SuperuserExists"]
    assert await hot.fetchval("SELECT count(*) FROM user_roles WHERE role_name = 'superuser'") == 1


async def test_users_list_finds_and_limits(api: Api, command: Command) -> None:
    accounts = [await api.create_user(login=unique("listed"), active=number != 1) for number in range(3)]
    prefix = accounts[0].login.rpartition("x")[0]
    rows = (await command("users", "list", "--search", f"{prefix}X".upper(), "--limit", "10000", "--json")).rows
    mine = [row for row in rows if row["id"] in {str(account.id) for account in accounts}]
    assert [row["login"] for row in mine] == [account.login for account in accounts]  # oldest first
    assert [row["active"] for row in mine] == [True, False, True]
    assert mine[0].keys() == {"id", "login", "email", "email_verified", "mfa", "active", "created_at"}
    assert len((await command("users", "list", "--limit", "1", "--json")).rows) == 1
    assert (await command("users", "list", "--search", "100%_", "--json")).rows == []
    table = await command.does("users", "list", "--search", accounts[0].login)
    assert str(accounts[0].id) in table
    assert accounts[0].email in table
    assert "none" in await command.does("users", "list", "--search", "nobody-has-this")
    for limit in ("0", "10001", "x"):
        assert (await command("users", "list", "--limit", limit)).code == 2


async def test_update_password_ends_all_sessions(api: Api, command: Command) -> None:
    account, tokens = await api.as_role()
    for who in (account.login.upper(), account.email, str(account.id)):
        await command.does("users", "update-password", who, typed=NEW_PASSWORD + "\n")
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")
    assert error_of(await api.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
    assert not await logs_in(api, account.login, PASSWORD)
    assert await logs_in(api, account.login, NEW_PASSWORD)
    assert "password" in await command.refuses("users", "update-password", account.login, typed="short")
    assert await logs_in(api, account.login, NEW_PASSWORD)


async def test_delete_needs_a_yes(api: Api, command: Command) -> None:
    account, tokens = await api.as_role()
    assert "--yes" in await command.refuses("users", "delete", account.login)
    assert (await api.me(tokens)).status_code == 200
    await command.does("users", "delete", account.login, "--yes")
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")
    assert "no user" in await command.refuses("users", "delete", account.login, "--yes")


async def test_log_10_toggle_active_disables_at_once_and_enables_again(api: Api, command: Command) -> None:
    account, tokens = await api.as_role()
    assert await command.does("users", "toggle-active", account.email) == "disabled\n"
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")
    assert not await logs_in(api, account.login, PASSWORD)
    assert await command.does("users", "toggle-active", account.email) == "active\n"
    assert await logs_in(api, account.login, PASSWORD)
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")


@pytest.mark.parametrize(
    "who", ["nobody-has-this", "nobody@example.com", "01980000-0000-7000-8000-000000000000", "%", "' OR 1=1"]
)
async def test_unknown_users_are_refused_by_name(command: Command, who: str) -> None:
    for arguments in (("toggle-active",), ("delete", "--yes"), ("update-password",)):
        words = await command.refuses("users", *arguments, who, typed=PASSWORD)
        assert words == f"There is no user {who}.\n"


async def test_rbac_2_no_command_removes_the_last_superuser(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api, command = await fresh.on(settings), Command(settings)
    root, tokens = await api.as_role("superuser")
    for arguments in (
        ("users", "delete", root.login, "--yes"),
        ("users", "toggle-active", root.login),
        ("roles", "revoke", root.login, "superuser"),
        ("roles", "grant", root.login, "superuser", "--valid-until", "2099-01-01T00:00:00Z"),
        ("roles", "grant", root.login, "superuser", "--valid-from", moment(minutes=5).isoformat()),
    ):
        assert "superuser" in await command.refuses(*arguments)
        assert (await api.check(tokens, "payments:refund"))["allowed"] is True


# --- demo accounts ---


async def test_seed_users_makes_the_demo_accounts_once(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api, command = await fresh.on(settings), Command(settings)
    said = await command.does("seed-users")
    for demo in DEMO_USERS:
        assert demo.password in said
        assert await logs_in(api, demo.login, demo.password)
    again = await command("seed-users")
    assert (again.code, again.out) == (0, "")
    assert "there already" in again.err

    await command.does("users", "update-password", "viewer", typed=NEW_PASSWORD)
    await command.does("users", "toggle-active", "moderator")
    assert not await logs_in(api, "viewer", "demo-viewer-password")
    await command.does("seed-users", "--force")
    for demo in DEMO_USERS:
        assert await logs_in(api, demo.login, demo.password)


async def test_sec_3_seed_users_is_refused_in_production(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api = await fresh.on(settings)
    production = Command(settings, APP_ENV="production", ISSUER="https://auth.cinema.example")
    for arguments in (("seed-users",), ("seed-users", "--force")):
        assert "production" in await production.refuses(*arguments)
    assert await api.resources.hot.fetchval("SELECT count(*) FROM users") == 0


# --- roles and services ---


async def test_roles_list_grant_and_revoke(api: Api, command: Command) -> None:
    account, tokens = await api.as_role()
    listed = {row["name"]: row for row in (await command("roles", "list", "--json")).rows}
    assert listed["admin"]["parents"] == "content-manager, moderator, subscriber"
    assert listed["superuser"]["permissions"] == "*"
    assert "content-manager" in await command.does("roles", "list")

    until = "2099-01-01T00:00:00Z"
    await command.does("roles", "grant", account.email, "moderator", "--valid-until", until, "--reason", "замена")
    answer = await api.check(tokens, "reviews:moderate")
    assert (answer["allowed"], answer["valid_until"]) == (True, until)
    grants = {row["role"]: row for row in (await command("roles", "list", "--user", account.login, "--json")).rows}
    assert grants.keys() == {"viewer", "moderator"}
    assert grants["moderator"]["active"] is True
    assert datetime.fromisoformat(grants["moderator"]["valid_until"]) == datetime.fromisoformat(until)
    await command.does("roles", "revoke", account.login, "moderator")
    assert (await api.check(tokens, "reviews:moderate"))["allowed"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        ("unheard-of",),
        ("moderator", "--valid-until", "tomorrow"),
        ("moderator", "--valid-until", "2099-01-01T00:00:00"),
        ("moderator", "--valid-until", "2020-01-01T00:00:00Z"),
        ("moderator", "--valid-until", "9999-12-31T23:59:59.999999Z"),
        ("moderator", "--valid-until", "1893456000"),
        ("moderator", "--valid-from", "2030-01-02T00:00:00Z", "--valid-until", "2030-01-01T00:00:00Z"),
    ],
)
async def test_wrong_grants_are_refused_in_one_line(api: Api, command: Command, arguments: tuple[str, ...]) -> None:
    account = await api.create_user()
    assert len((await command.refuses("roles", "grant", account.login, *arguments)).splitlines()) == 1
    assert len((await command.refuses("roles", "revoke", account.login, "moderator")).splitlines()) == 1


async def test_services_are_made_with_a_secret_that_works(api: Api, command: Command) -> None:
    name = unique("player")
    said = await command.does("services", "create", name, "--scope", "permissions:check", "--scope", "films:*")
    values = dict(line.split("=", 1) for line in said.splitlines())
    headers = await api.service_token(values["client_id"], values["client_secret"])
    user = await api.create_user()
    asked = {"permission": "films:read", "user_id": str(user.id)}
    assert (await api.http.post(f"{V1}/permissions/check", json=asked, headers=headers)).json()["allowed"] is True
    rows = (await command("services", "list", "--json")).rows
    (mine,) = [row for row in rows if row["name"] == name]
    assert mine == {"client_id": values["client_id"], "name": name, "scopes": "films:*, permissions:check"}
    assert values["client_secret"] not in await command.does("services", "list")
    assert "exists" in await command.refuses("services", "create", name)
    assert "catalogue" in await command.refuses("services", "create", unique("service"), "--scope", "unheard:of")
    assert "catalogue" in await command.refuses("services", "create", unique("service"), "--scope", "*")
    for wrong in ("Player One", "p", "player/../x"):
        assert "name" in await command.refuses("services", "create", wrong)


# --- keys ---


async def test_keys_are_listed_rotated_and_retired(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api, command = await fresh.on(settings), Command(settings)
    account = await api.create_user()
    tokens = await api.log_in(account)
    (first,) = (await command("keys", "list", "--json")).rows
    assert first["state"] == "signing"
    assert "private" not in str(first)

    kid, _, starts = (await command.does("keys", "rotate")).strip().partition(" signs from ")
    assert datetime.fromisoformat(starts) > datetime.now(UTC) + timedelta(seconds=590)
    states = {row["kid"]: row["state"] for row in (await command("keys", "list", "--json")).rows}
    assert states == {first["kid"]: "signing", kid: "coming"}
    assert (await api.me(tokens)).status_code == 200

    assert "--yes" in await command.refuses("keys", "retire", first["kid"])
    for unheard_of in ("unheard-of", "-Iab_9", "--ab-c9"):  # key ids may begin with dashes
        assert "no live key" in await command.refuses("keys", "retire", unheard_of, "--yes")
    await command.does("keys", "retire", first["kid"], "--yes")
    assert "no live key" in await command.refuses("keys", "retire", first["kid"], "--yes")
    await api.resources.keys.load()
    assert error_of(await api.me(tokens)) == (401, "not_authenticated")
    assert (await api.me(await api.log_in(account))).status_code == 200


# --- how it ends ---


def at_port(url: SecretStr, port: int) -> str:
    parts = urlsplit(url.get_secret_value())
    account = parts.netloc.rpartition("@")[0]
    place = f"127.0.0.1:{port}"
    return urlunsplit(parts._replace(netloc=f"{account}@{place}" if account else place))


async def test_exit_codes_of_the_real_process(api: Api, shared_settings: Settings) -> None:
    account = await api.create_user()
    good = Command(shared_settings)
    fine, refused, wrong, unreachable = await asyncio.gather(
        good.process("users", "list", "--search", account.login, "--json"),
        good.process("users", "delete", account.login),
        Command(shared_settings, SECRET_KEY="short").process("users", "list"),
        Command(shared_settings, DATABASE_URL=at_port(shared_settings.database_url, free_port())).process(
            "users", "list"
        ),
    )
    assert [row["id"] for row in fine.rows] == [str(account.id)]
    assert (fine.code, fine.err) == (0, "")
    assert (refused.code, wrong.code, unreachable.code) == (1, 2, 3)
    for outcome, word in ((refused, "--yes"), (wrong, "SECRET_KEY"), (unreachable, "DATABASE_URL")):
        assert len(outcome.err.splitlines()) == 1, outcome.err
        assert word in outcome.err
        assert outcome.out == ""


LISTS = [("users", "list"), ("roles", "list"), ("services", "list"), ("keys", "list"), ("partitions", "list")]


@pytest.mark.parametrize("arguments", [*LISTS, ("migrate",), ("seed-users",)], ids=" ".join)
async def test_without_postgres_every_command_says_so(shared_settings: Settings, arguments: tuple[str, ...]) -> None:
    url = at_port(shared_settings.database_url, free_port())
    outcome = await Command(shared_settings, DATABASE_URL=url)(*arguments)
    assert (outcome.code, outcome.out) == (3, "")
    assert len(outcome.err.splitlines()) == 1
    assert "DATABASE_URL" in outcome.err
    password = urlsplit(url).password
    assert password is None or password not in outcome.err


async def test_without_redis_what_must_end_sessions_says_so(api: Api, shared_settings: Settings) -> None:
    account = await api.create_user()
    url = at_port(shared_settings.redis_url, free_port())
    outcome = await Command(shared_settings, REDIS_URL=url)("users", "toggle-active", account.login)
    assert (outcome.code, outcome.out) == (3, "")
    assert "REDIS_URL" in outcome.err


@pytest.mark.parametrize("kind", ["redis+sentinel", "redis+cluster"])
async def test_hosts_of_several_redis_are_named_and_not_their_password(
    api: Api, shared_settings: Settings, kind: str
) -> None:
    account = await api.create_user()
    hosts = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    url = f"{kind}://:the-password@{','.join(hosts)}{'/0?service=cinema' if 'sentinel' in kind else ''}"
    outcome = await Command(shared_settings, REDIS_URL=url)("users", "toggle-active", account.login)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith(f"REDIS_URL: {', '.join(hosts)} ")
    assert "the-password" not in outcome.err


@pytest.mark.long
@pytest.mark.parametrize("arguments", [("users", "list"), ("migrate",)], ids=" ".join)
@pytest.mark.parametrize("trouble", ["password", "database", "host", "port", "rights"])
async def test_a_wrong_part_of_the_databases_address_is_said(
    servers: Servers, shared_settings: Settings, trouble: str, arguments: tuple[str, ...]
) -> None:
    parts = urlsplit(shared_settings.database_url.get_secret_value())
    user, _, place = parts.netloc.rpartition("@")
    wrong, says = {
        "password": (parts._replace(netloc=f"{parts.username}:wrong-pass@{place}"), "refuses its user or password"),
        "database": (parts._replace(path="/no_such_database"), "CREATE DATABASE it"),
        "host": (parts._replace(netloc=f"{user}@nowhere.invalid:5432"), "nowhere.invalid:5432 has a host name that is"),
        "port": (parts._replace(netloc=f"{user}@127.0.0.1:1"), "127.0.0.1:1 is where nothing listens"),
        "rights": (parts._replace(query="options=-c%20role%3Dpg_monitor"), "CREATE on the schema"),
    }[trouble]
    if trouble == "rights":
        wrong = wrong._replace(path=urlsplit(servers.database_url).path)  # where nothing is migrated yet
        arguments = ("migrate",)
    outcome = await Command(shared_settings, DATABASE_URL=urlunsplit(wrong))(*arguments)
    if trouble == "password" and outcome.code == 0:
        pytest.skip("this Postgres trusts local connections")
    lines = [line for line in outcome.err.splitlines() if not line.startswith("{")]  # besides the log of migrate
    assert (outcome.code, len(lines)) == (3, 1), outcome.err
    assert lines[0].startswith("DATABASE_URL: ")
    assert says in lines[0]
    assert "wrong-pass" not in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
async def test_an_empty_database_wants_to_be_migrated(fresh: Fresh, arguments: tuple[str, ...]) -> None:
    settings = await fresh.settings()
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    outcome = await Command(settings)(*arguments)
    assert (outcome.code, len(outcome.err.splitlines())) == (3, 1), outcome.err
    assert "migrate" in outcome.err


def test_the_migrations_are_found_beside_the_package() -> None:
    assert alembic_config().get_main_option("script_location") == str(ROOT / "alembic")


async def test_ids_of_users_are_taken_before_their_names(api: Api, command: Command) -> None:
    """A login that looks like another user's id must not be mistaken for it."""
    victim = await api.create_user()
    look_alike = str(victim.id)
    await api.create_user(login=look_alike)
    await command.does("users", "toggle-active", str(UUID(look_alike)))
    assert not await logs_in(api, victim.login, PASSWORD)


async def test_unlock_gives_the_budget_back(api: Api, command: Command) -> None:
    account = await api.create_user()
    for _ in range(api.resources.settings.login_failure_limit):
        assert not await logs_in(api, account.login, "a wrong password")
    assert not await logs_in(api, account.login, PASSWORD)
    await command.does("users", "unlock", account.login)
    assert await logs_in(api, account.login, PASSWORD)


async def test_reset_mfa_needs_a_reason_and_a_second_factor(api: Api, command: Command) -> None:
    account = await api.create_user()
    assert (await command("users", "reset-mfa", account.login)).code == 2
    assert "No second factor" in await command.refuses("users", "reset-mfa", account.login, "--reason", "lost phone")
