"""`auth-service users import` of Django's dumpdata."""

import json
from pathlib import Path
from typing import Any

import pytest

from auth_service.config import Settings
from tests.support.api import PASSWORD, Api, unique
from tests.support.command import Command
from tests.support.foreign_hashes import MAKERS
from tests.support.import_file import account_of


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    return Command(shared_settings)


def user(**more: Any) -> dict[str, Any]:
    """As `manage.py dumpdata auth.user` writes one."""
    name = unique("django")
    fields = {
        "password": MAKERS["django pbkdf2_sha256"](PASSWORD),
        "last_login": None,
        "is_superuser": False,
        "username": name,
        "first_name": "Анна",
        "last_name": "К.",
        "email": f"{name}@example.com",
        "is_staff": False,
        "is_active": True,
        "date_joined": "2020-01-01T00:00:00.123Z",
        "groups": [],
        "user_permissions": [],
    }
    return {"model": "auth.user", "pk": 1, "fields": fields | more}


def write(folder: Path, *items: dict[str, Any]) -> str:
    path = folder / "users.json"
    path.write_text(json.dumps(items), encoding="utf-8")
    return str(path)


async def test_a_dump_with_its_groups(api: Api, command: Command, tmp_path: Path) -> None:
    group = {"model": "auth.group", "pk": 7, "fields": {"name": "Film editors", "permissions": []}}
    editor, natural = user(groups=[7], is_staff=True), user(groups=[["moderator"]])
    bare, gone = user(password="!nobody", email=None, username="x"), user(password="!Zx8", is_active=False)
    path = write(tmp_path, group, editor, natural, gone)
    said = await command.does("users", "import", path, "--map-role", "Film editors=content-manager")
    assert "imported 3 users" in said
    assert "roles: content-manager 1, moderator 1\nwithout a password: 1\ndisabled: 1\n" in said
    assert "not taken over: is_staff 1" in said
    account = await account_of(api, editor["fields"]["username"])
    assert (account["full_name"], account["created_at"].year) == ("Анна К.", 2020)
    assert (await api.log_in_as(account["login"], PASSWORD)).status_code == 200
    assert "user 1: email must be" in await command.refuses("users", "import", write(tmp_path, bare))


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([user(groups=[7])], "user 1: its groups have no names"),
        ([user(password="md5$salt$5f4dcc3b5aa765d61d8327deb882cf99")], "user 1: password_hash is no password hash"),
        ([user(is_active="perhaps")], "user 1: is_active"),
        ([user(date_joined="yesterday")], "user 1: created_at"),
        ([{"model": "auth.group", "pk": 1, "fields": {"name": "x"}}], "there are no users in this file"),
        ([{"username": "anna"}], "this is no dumpdata"),
    ],
)
async def test_what_is_wrong_with_a_dump_is_named(
    command: Command, tmp_path: Path, items: list[dict[str, Any]], complaint: str
) -> None:
    assert complaint in await command.refuses("users", "import", write(tmp_path, *items))
