"""Permissions and roles from a file: `auth-service roles export | plan | apply`, by the rules of the API."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from auth_service.audit.trail import operator
from auth_service.locks import Advisory
from auth_service.permissions.codes import OWN_CODES
from auth_service.roles.access_file import MOST_BYTES, BadAccessFile, read
from tests.conftest import ROOT, Fresh
from tests.support.access import create_role, grant
from tests.support.api import V1, Api, Tokens
from tests.support.command import Command

pytestmark = pytest.mark.long  # a file is applied again and again, and each change waits for the leases

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1"
CHANGES = 4


class Desk:
    """An operator with a file."""

    def __init__(self, api: Api, file: Path) -> None:
        self.api = api
        self.command = Command(api.resources.settings)
        self.file = file
        self.people: list[str] = []

    async def exported(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(await self.command.does("roles", "export"))
        return found

    def write(self, document: Any) -> None:
        text = document if isinstance(document, str) else yaml.safe_dump(document, allow_unicode=True)
        self.file.write_text(text, encoding="utf-8")

    async def plan(self, *options: str) -> tuple[int, list[str]]:
        """(exit code, lines about permissions and roles); those about people are in `people`."""
        outcome = await self.command("roles", "plan", str(self.file), *options)
        assert outcome.err == "", outcome
        lines = outcome.out.splitlines()
        summary = next(number for number, line in enumerate(lines) if line.endswith(("to delete", "nothing to change")))
        self.people = lines[summary + 1 :]
        return outcome.code, lines[: summary + 1]

    async def apply(self, *options: str) -> list[str]:
        return (await self.command.does("roles", "apply", str(self.file), *options)).splitlines()

    async def refused(self, *options: str) -> str:
        """By plan and by apply alike, and nothing is done."""
        before, traces = await self.exported(), await self.traces()
        said = await self.command.refuses("roles", "apply", str(self.file), *options)
        assert await self.command.refuses("roles", "plan", str(self.file), *options) == said
        assert (await self.exported(), await self.traces()) == (before, traces)
        return said

    async def traces(self) -> tuple[list[str], list[str]]:
        """(actions of the audit trail, kinds of events about roles and permissions), oldest first."""
        rows = await self.api.resources.hot.fetch("SELECT action, actor_kind, actor_id FROM audit_log ORDER BY id")
        acts = [row["action"] for row in rows if (row["actor_kind"], row["actor_id"]) == ("operator", operator().id)]
        told = "SELECT kind FROM outbox WHERE key LIKE 'role:%' OR key LIKE 'permission:%' ORDER BY number"
        return acts, [row["kind"] for row in await self.api.resources.hot.fetch(told)]


@pytest.fixture
async def desk(fresh: Fresh, tmp_path: Path) -> Desk:
    return Desk(await fresh.api(), tmp_path / "access.yaml")


async def test_what_is_exported_applies_without_a_change(desk: Desk) -> None:
    text = await desk.command.does("roles", "export")
    desk.write(text)
    assert await desk.plan() == (0, ["nothing to change"])
    assert await desk.plan("--prune") == (0, ["nothing to change"])
    assert await desk.apply("--prune") == ["nothing to change"]
    assert await desk.command.does("roles", "export") == text
    assert await desk.traces() == ([], [])
    document = yaml.safe_load(text)
    assert document["version"] == 1
    assert document["roles"]["viewer"]["parents"] == ["guest"]
    assert "superuser" not in document["roles"]
    assert set(document["permissions"]) >= OWN_CODES
    assert list(document["roles"]) == sorted(document["roles"])


async def test_a_file_is_planned_applied_and_planned_again(desk: Desk) -> None:
    document = {
        "version": 1,
        "permissions": {
            "films:rate": {"title": "Rate films"},
            "films:read": {"title": "See films", "step_up": True},
        },
        "roles": {
            # A child comes before its parent in the alphabet.
            "critic": {"title": "Критик", "permissions": ["films:rate"], "parents": ["reviewer"], "session_limit": 3},
            "reviewer": {"title": "Reviewer", "permissions": ["reviews:*"]},
            "guest": {"title": "Guest", "permissions": ["films:read", "reviews:read"]},
        },
    }
    desk.write(document)
    lines = [
        "+ permission films:rate",
        '    title: "Rate films"',
        "~ permission films:read",
        '    title: "See films and their pages" → "See films"',
        "    step_up: no → yes",
        "+ role critic",
        '    title: "Критик"',
        "    permissions: +films:rate",
        "    parents: +reviewer",
        "    session_limit: 3",
        "~ role guest",
        "    permissions: −collections:read −playback:preview −sessions:read −subscriptions:read",
        "+ role reviewer",
        '    title: "Reviewer"',
        "    permissions: +reviews:*",
        "3 to add, 2 to change, 0 to delete",
    ]
    assert await desk.plan() == (CHANGES, lines)
    assert await desk.traces() == ([], [])
    assert await desk.apply() == lines
    acts, told = await desk.traces()
    assert sorted(acts) == sorted(kind.replace("_", ".").replace("changed", "updated") for kind in told)
    assert sorted(told) == ["permission_changed", "permission_created", "role_changed", "role_created", "role_created"]
    assert await desk.plan() == (0, ["nothing to change"])
    exported = await desk.exported()
    assert exported["roles"]["critic"] == document["roles"]["critic"]
    assert "subscriber" in exported["roles"], "what the file does not have stays"
    assert (await desk.command("audit", "verify")).code == 0


async def test_what_the_file_lacks_goes_only_with_prune(desk: Desk) -> None:
    _, root = await desk.api.as_role("superuser")
    old = await create_role(desk.api, root, "films:read", name="old")
    await create_role(desk.api, root, parents=(old,), name="older")
    document = await desk.exported()
    for role in ("old", "older"):
        del document["roles"][role]
    del document["permissions"]["webhooks:read"]  # the service's own: a file from before it was there
    desk.write(document)
    assert await desk.plan() == (0, ["nothing to change"])
    code, lines = await desk.plan("--prune")
    assert (code, lines) == (CHANGES, ["- role old", "- role older", "0 to add, 0 to change, 2 to delete"])
    await desk.apply("--prune")
    exported = await desk.exported()
    assert exported["roles"] == document["roles"]
    assert "webhooks:read" in exported["permissions"]


async def test_rbac_4_what_is_in_use_or_part_of_the_service_stays(desk: Desk) -> None:
    _, root = await desk.api.as_role("superuser")
    used = await create_role(desk.api, root, "films:read", name="used")
    account, _ = await desk.api.as_role()
    desk.write(document := await desk.exported())
    await grant(desk.api, root, account.id, used)
    del document["roles"]["used"]
    desk.write(document)
    assert await desk.refused("--prune") == (
        "role used: Users or other roles still have this role; take it from them first.\n"
    )
    document = await desk.exported()
    del document["permissions"]["films:read"]
    desk.write(document)
    assert (await desk.refused("--prune")).startswith("permission films:read: Roles or services still have")
    document = await desk.exported()
    del document["roles"]["viewer"]  # what new users get
    desk.write(document)
    assert (await desk.refused("--prune")).startswith("role viewer: Users or other roles still have")
    desk.write({"version": 1, "roles": {"superuser": {"title": "Mine", "permissions": ["films:read"]}}})
    assert (await desk.refused()).startswith("role superuser: This role is built in")


async def test_rbac_4_no_cycles_nothing_unknown_and_all_or_nothing(desk: Desk) -> None:
    def document(**roles: Any) -> dict[str, Any]:
        return {"version": 1, "permissions": {"a:b": {"title": "x"}}, "roles": {"fine": {"title": "x"}, **roles}}

    desk.write(document(one={"title": "x", "parents": ["two"]}, two={"title": "x", "parents": ["one"]}))
    assert "A role cannot be its own ancestor" in await desk.refused()
    desk.write(document(one={"title": "x", "parents": ["nobody"]}))
    assert await desk.refused() == "role one: parents name a role that does not exist\n"
    desk.write(document(one={"title": "x", "permissions": ["no:where"]}))
    assert await desk.refused() == "role one: permissions name one that is not in the catalogue\n"
    chain = {f"r{number}": {"title": "x", "parents": [f"r{number + 1}"]} for number in range(10)}
    desk.write(document(**chain, r10={"title": "x"}))
    assert "at most 10 deep" in await desk.refused()


async def test_an_inheritance_is_turned_round_in_one_step(desk: Desk) -> None:
    """Which no order of single changes could do without a cycle, or a third one."""
    desk.write({"version": 1, "roles": {"one": {"title": "x", "parents": ["two"]}, "two": {"title": "x"}}})
    await desk.apply()
    desk.write({"version": 1, "roles": {"one": {"title": "x"}, "two": {"title": "x", "parents": ["one"]}}})
    assert (await desk.apply())[-1] == "0 to add, 2 to change, 0 to delete"
    exported = (await desk.exported())["roles"]
    assert (exported["one"], exported["two"]["parents"]) == ({"title": "x"}, ["one"])


BAD = {
    "a key twice": ("version: 1\nroles:\n  a1: {title: x}\n  a1: {title: y}\n", 4, "has a key that was there before"),
    "an anchor": ("version: 1\nroles: &all\n  a1: {title: x}\n", 2, "anchors and aliases are not taken"),
    "an alias": ("version: 1\nroles: *all\n", 2, "anchors and aliases are not taken"),
    "laughs": ("a: &a [x, x]\nb: &b [*a, *a]\n", 1, "anchors and aliases are not taken"),
    "a merge": ("version: 1\nroles:\n  a1:\n    <<: {title: x}\n    title: y\n", 4, "is not known here"),
    "a tag": ("version: 1\nroles:\n  a1: {title: !!python/object/apply:os.system [ls]}\n", 3, "must be a string"),
    "a scalar tag": ("version: !!python/name:os.system x\n", 1, "could not determine a constructor"),
    "no version": ("roles: {}\n", 1, "version is required"),
    "another version": ("version: 2\n", 1, "version must be 1"),
    "an unknown part": ("version: 1\ngrants: {}\n", 2, "is not known here"),
    "an unknown field": ("version: 1\nroles:\n  a1:\n    title: x\n    colour: red\n", 5, "is not known here"),
    "no title": ("version: 1\nroles:\n  a1:\n    permissions: []\n", 3, "title is required"),
    "a number as title": ("version: 1\nroles:\n  a1:\n    title: 2026\n", 4, "must be a string"),
    "a date": ("version: 1\nroles:\n  a1:\n    title: 2026-13-41\n", 4, "quote it if it is text"),
    "a bad name": ("version: 1\nroles:\n  A 1:\n    title: x\n", 3, "has a form that is not allowed"),
    "a bad code": ("version: 1\npermissions:\n  films:\n    title: x\n", 3, "must be resource:action"),
    "everything": ("version: 1\nroles:\n  a1:\n    title: x\n    permissions:\n      - '*'\n", 6, "resource:action or"),
    "a list": ("- version: 1\n", 1, "must be a mapping"),
    "nothing": ("", 1, "must be a mapping"),
    "a bad indent": ("version: 1\n  roles: {}\n", 2, "mapping values are not allowed"),
    "a tab": ("version: 1\nroles:\n\ta1: {}\n", 3, "cannot start any token"),
    "two documents": ("version: 1\n---\nversion: 1\n", 2, "but found another document"),
    "depth": ("version: 1\nroles: " + "[" * 5000, 2, "is nested too deeply"),
    "a long number": ("version: " + "9" * 5000, 1, "quote it if it is text"),
    "control characters": ("version: 1\nroles: \x07\n", 1, "control characters"),
    "size": ("version: 1\n#" + "x" * MOST_BYTES, 1, "more than 256 KiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_the_line(name: str) -> None:
    text, line, words = BAD[name]
    with pytest.raises(BadAccessFile) as caught:
        read(text.encode())
    assert words in caught.value.detail
    assert caught.value.detail.startswith("The file has" if name == "size" else f"line {line}: ")


def test_the_file_that_the_page_shows_is_one() -> None:
    (shown,) = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "roles.md").read_text(encoding="utf-8"), re.M | re.S
    )
    assert read(shown.encode()).roles["critic"].session_limit == 3


async def test_a_bad_file_does_nothing(desk: Desk) -> None:
    desk.write("version: 1\nroles:\n  a1:\n    title: x\n  B:\n    titel: x\n")
    said = await desk.refused()
    assert said.splitlines() == [
        f"{desk.file}: line 5: roles.B.[key] has a form that is not allowed",
        f"{desk.file}: line 5: roles.B.title is required",
        f"{desk.file}: line 6: roles.B.titel is not known here",
    ]
    desk.file.write_bytes(b"version: 1\n\xff\xfe")
    assert "UTF-8" in await desk.refused()
    missing = await desk.command("roles", "apply", str(desk.file.with_name("nowhere.yaml")))
    assert missing.code == 2


@pytest.mark.long
async def test_the_command_as_a_process_says_by_its_exit_code_what_it_would_do(desk: Desk) -> None:
    desk.write({"version": 1, "roles": {"new": {"title": "New"}}})
    codes = []
    for step in ("plan", "apply", "plan"):
        outcome = await desk.command.process("roles", step, str(desk.file))
        codes.append(outcome.code)
    assert codes == [CHANGES, 0, 0]


async def test_rbac_2_apply_and_a_change_by_the_api_wait_for_each_other(desk: Desk) -> None:
    """What is applied is planned when the other one is done."""
    _, root = await desk.api.as_role("superuser")
    desk.write({"version": 1, "roles": {"new": {"title": "New"}}})
    pool = desk.api.resources.hot
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT pg_advisory_xact_lock($1)", Advisory.ACCESS_RULES)
        applying = asyncio.create_task(desk.apply())
        while not await pool.fetchval(WAITING, Advisory.ACCESS_RULES):
            assert not applying.done()
            await asyncio.sleep(0.02)
        await connection.execute("INSERT INTO roles (name, title) VALUES ('new', 'Old')")
        await transaction.commit()
    assert (await applying)[:2] == ["~ role new", '    title: "Old" → "New"']
    await both_at_once(desk, root)


async def both_at_once(desk: Desk, root: Tokens) -> None:
    titles = [f"Title {number}" for number in range(5)]
    for title in titles:
        desk.write({"version": 1, "roles": {"new": {"title": title, "permissions": ["films:read"]}}})
        body = {"permissions": ["films:watch"]}
        applied, patched = await asyncio.gather(
            desk.command("roles", "apply", str(desk.file)),
            desk.api.http.patch(f"{V1}/roles/new", json=body, headers=root.bearer),
        )
        assert (applied.code, patched.status_code) == (0, 200)
        role = (await desk.exported())["roles"]["new"]
        assert role["title"] == title
        assert role["permissions"] in (["films:read"], ["films:watch"])
    assert (await desk.command("audit", "verify")).code == 0
