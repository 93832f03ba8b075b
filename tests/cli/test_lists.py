"""Lists at the command line: tables for people, JSON for programs, and a CSV file that is whole or not there."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auth_service.commands.csv_file import write_csv
from auth_service.config import Settings
from tests.support.access import create_role, grant, moment, times
from tests.support.api import V1, Api, unique
from tests.support.command import Command
from tests.support.people_lists import all_pages


@pytest.fixture
def command(api: Api, shared_settings: Settings) -> Command:
    return Command(shared_settings)


async def test_permissions_users_and_roles_grants_say_what_the_api_says(
    api: Api, command: Command, tmp_path: Path
) -> None:
    boss, root = await api.as_role("superuser")
    parent = await create_role(api, root, "films:*")
    role = await create_role(api, root, parents=(parent,))
    now, later = [await api.create_user(login=unique(name)) for name in ("now", "later")]
    dates = {"valid_from": moment(hours=1), "valid_until": moment(hours=2)}
    await grant(api, root, now.id, role)
    await grant(api, root, later.id, role, **dates)
    then = times(at=moment(hours=1.5))["at"]

    asked = ("permissions", "users", "films:publish", "--role", role)
    for more, query, found in (((), {}, [now]), (("--at", then), {"at": moment(hours=1.5)}, [now, later])):
        rows = (await command(*asked, *more, "--json")).rows
        assert [row["login"] for row in rows] == [account.login for account in found]
        listed = await all_pages(api, root, "/permissions/films:publish/users", role=role, **query)
        assert [(row["id"], row["ways"][0]["via"]) for row in rows] == [(item["id"], parent) for item in listed]
    table = await command.does(*asked)
    assert now.email in table
    assert f"{role} by {parent} (films:*)" in table

    for more, query in (
        ((), {}),
        (("--state", "coming"), {"state": "coming"}),
        (("--user", now.email.upper()), {"user": now.login}),
        (("--granted-by", boss.login), {"granted_by": boss.login}),
        (("--ends-since", then), {"ends_since": moment(hours=1.5)}),
        (("--ends-until", then), {"ends_until": moment(hours=1.5)}),
    ):
        rows = (await command("roles", "grants", "--role", role, *more, "--json")).rows
        items = await all_pages(api, root, "/grants", role=role, **query)
        assert [(row["user"]["id"], row["state"]) for row in rows] == [(i["user"]["id"], i["state"]) for i in items]
    assert "coming" in await command.does("roles", "grants", "--user", later.login)
    one = await command("roles", "grants", "--role", role, "--limit", "1")
    assert (one.code, "--csv FILE" in one.err) == (0, True)

    for arguments, path in (
        (asked, "/permissions/films:publish/users"),
        (("roles", "grants", "--role", role), "/grants"),
    ):
        file = tmp_path / "list.csv"
        said = await command.does(*arguments, "--csv", str(file))
        assert "writing" in said
        answer = await api.http.get(f"{V1}{path}?format=csv&role={role}", headers=root.bearer)
        assert file.read_bytes() == answer.content
        assert file.stat().st_mode & 0o077 == 0
        assert os.listdir(tmp_path) == ["list.csv"]
        assert await command.does(*arguments, "--csv", "-") == answer.text.replace("\r\n", "\n")  # as the runner has it


async def test_what_cannot_be_listed_is_refused_in_one_line(command: Command, tmp_path: Path) -> None:
    assert "no such permission" in await command.refuses("permissions", "users", "no:such")
    assert "no such role" in await command.refuses("permissions", "users", "films:read", "--role", "unheard-of")
    long_ago = ("--at", "2020-01-01T00:00:00Z")
    assert "not known" in await command.refuses("permissions", "users", "films:read", *long_ago)
    assert "no such user" in await command.refuses("roles", "grants", "--granted-by", "nobody-has-this")
    for more, words in (
        (("--csv", str(tmp_path / "x.csv"), "--limit", "3"), "leave out --json and --limit"),
        (("--csv", "-", "--json"), "leave out --json and --limit"),
        (("--csv", str(tmp_path / "no" / "x.csv")), "x.csv: No such file or directory"),
    ):
        outcome = await command("roles", "grants", *more)
        assert (outcome.code, outcome.out, len(outcome.err.splitlines())) == (2, "", 1)
        assert words in outcome.err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError])
async def test_a_list_that_ends_half_way_leaves_the_file_as_it_was(
    tmp_path: Path, problem: type[BaseException]
) -> None:
    file = tmp_path / "list.csv"
    file.write_text("of yesterday")

    async def lines() -> AsyncIterator[tuple[str, int]]:
        yield "half\r\n", 1
        raise problem

    async def count() -> int:
        return 2

    with pytest.raises(problem):
        await write_csv(str(file), lines(), count)
    assert file.read_text() == "of yesterday"
    assert os.listdir(tmp_path) == ["list.csv"]
