"""What a change would do: refused as the change itself, told to who may see it, and nothing of it is left."""

from typing import Any

import httpx
import pytest

from auth_service.locks import Advisory
from auth_service.models import new_id
from auth_service.permissions.what_if import effect, people, statements
from auth_service.permissions.what_if.statements import WORD
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment, times
from tests.support.api import V1, Api, Tokens, error_of, unique
from tests.support.command import Command
from tests.support.hostile import stored
from tests.support.phone import enrol_phone
from tests.support.scrape import read, value

Call = tuple[str, str, Any]


async def send(api: Api, actor: Tokens, call: Call, **query: str) -> httpx.Response:
    method, path, body = call
    return await api.http.request(method, f"{V1}{path}", json=body, headers=actor.bearer, params=query)


async def tried(api: Api, actor: Tokens, *call: Any, **query: str) -> dict[str, Any]:
    response = await send(api, actor, (call[0], call[1], call[2] if len(call) > 2 else None), dry_run="true", **query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer["dry_run"] is True
    return answer


async def test_nothing_of_a_dry_run_is_left(fresh: Fresh) -> None:
    """No row of any table, and nobody hears of it: no worker is waited for, and no listener is told."""
    api = await fresh.api()
    _, root = await api.as_role("superuser")
    code, spare = await create_permission(api, root), await create_permission(api, root)
    role, unused = await create_role(api, root, code), await create_role(api, root)
    account = await api.create_user()
    await grant(api, root, account.id, role)
    before, heard, waited = await stored(api.resources), api.resources.coherence.log.count, await waits(api)
    calls: list[Call] = [
        ("POST", "/roles", {"name": unique("role"), "title": "x", "permissions": [code], "parents": ["viewer"]}),
        ("PATCH", f"/roles/{role}", {"permissions": [spare], "parents": ["guest"], "session_limit": 2}),
        ("DELETE", f"/roles/{unused}", None),
        ("POST", "/permissions", {"code": "films:new", "title": "x"}),
        ("PATCH", f"/permissions/{code}", {"step_up": True, "title": "y"}),
        ("DELETE", f"/permissions/{spare}", None),
        ("PUT", f"/users/{account.id}/roles/{role}", times(valid_until=moment(days=1))),
        ("PUT", f"/users/{account.id}/roles/subscriber", {}),
        ("DELETE", f"/users/{account.id}/roles/{role}", None),
    ]
    for call in calls:
        assert (await send(api, root, call, dry_run="true")).status_code == 200, call
    assert await stored(api.resources) == before
    assert api.resources.coherence.log.count == heard
    assert await waits(api) == waited
    assert (await send(api, root, calls[0])).status_code == 201
    assert await stored(api.resources) != before
    assert await waits(api) > waited


async def waits(api: Api) -> float:
    return value(await read(api), "auth_change_wait_seconds_count")


async def test_rbac_1_a_dry_run_is_refused_as_the_change_itself(fresh: Fresh) -> None:
    """With the same status and code, for each kind of change and each rule that it meets."""
    api = await fresh.api()
    root_account, root = await api.as_role("superuser")
    mine, not_mine = await create_permission(api, root), await create_permission(api, root)
    tools = await create_role(api, root, "roles:*", "permissions:*", mine)
    account, manager = await api.as_role()
    await grant(api, root, account.id, tools)
    above, parent = await create_role(api, root, not_mine), await create_role(api, root)
    child = await create_role(api, root, parents=(parent,))
    await grant(api, root, account.id, child)
    other = (await api.create_user()).id
    refused: list[tuple[Tokens, Call, tuple[int, str]]] = [
        (manager, ("POST", "/roles", {"name": "new", "title": "x", "permissions": [not_mine]}), EXCEEDS),
        (manager, ("PATCH", f"/roles/{above}", {"title": "y"}), EXCEEDS),
        (manager, ("PATCH", f"/roles/{child}", {"parents": [above]}), EXCEEDS),
        (manager, ("DELETE", f"/roles/{above}", None), EXCEEDS),
        (manager, ("PUT", f"/users/{other}/roles/{above}", {}), EXCEEDS),
        (manager, ("DELETE", f"/users/{root_account.id}/roles/superuser", None), EXCEEDS),
        (manager, ("PATCH", f"/permissions/{not_mine}", {"step_up": True}), EXCEEDS),
        (manager, ("DELETE", f"/permissions/{not_mine}", None), EXCEEDS),
        (root, ("POST", "/roles", {"name": child, "title": "x"}), (409, "role_exists")),
        (root, ("POST", "/roles", {"name": "new", "title": "x", "parents": ["nobody"]}), (422, "validation_error")),
        (root, ("PATCH", f"/roles/{parent}", {"parents": [child]}), (409, "role_cycle")),
        (root, ("PATCH", f"/roles/{child}", {"permissions": ["no:where"]}), (422, "validation_error")),
        (root, ("PATCH", "/roles/superuser", {"title": "y"}), (409, "role_built_in")),
        (root, ("DELETE", f"/roles/{child}", None), (409, "role_in_use")),
        (root, ("DELETE", "/roles/unheard-of", None), (404, "not_found")),
        (root, ("POST", "/permissions", {"code": mine, "title": "x"}), (409, "permission_exists")),
        (root, ("PATCH", "/permissions/permissions:write", {"step_up": True}), (409, "would_shut_out")),
        (root, ("DELETE", f"/permissions/{mine}", None), (409, "permission_in_use")),
        (root, ("DELETE", "/permissions/roles:read", None), (409, "permission_built_in")),
        (root, ("PUT", f"/users/{other}/roles/unheard-of", {}), (404, "not_found")),
        (root, ("PUT", f"/users/{new_id()}/roles/guest", {}), (404, "not_found")),
        (root, ("PUT", f"/users/{other}/roles/guest", times(valid_until=moment(days=-1))), (422, "validation_error")),
        (root, ("DELETE", f"/users/{other}/roles/{child}", None), (404, "not_found")),
        (root, ("DELETE", f"/users/{root_account.id}/roles/superuser", None), (409, "last_superuser")),
    ]
    for actor, call, expected in refused:
        answers = [await send(api, actor, call, dry_run="true"), await send(api, actor, call)]
        assert [error_of(answer) for answer in answers] == [expected] * 2, (call, answers[0].text)
        assert answers[0].json()["detail"] == answers[1].json()["detail"]


EXCEEDS = (403, "exceeds_own_permissions")


async def test_who_may_not_see_people_is_told_numbers(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    touched = await create_role(api, root, "audit:read", code)
    holder = await api.create_user()
    await grant(api, root, holder.id, touched)
    await api.create_service(root, [code])
    seen = {}
    for extra in ((), ("users:read",), ("roles:read",), ("roles:read", "services:read"), ("users:read", "roles:read")):
        account, tokens = await api.as_role()
        tools = await create_role(api, root, "roles:write", "audit:read", code, *extra)
        await grant(api, root, account.id, tools)
        if "roles:read" not in extra:  # what others have is told by a number too
            call = ("PATCH", f"/roles/{touched}", {"permissions": []})
            assert error_of(await send(api, tokens, call, dry_run="true")) == (403, "permission_denied")
            continue
        answer = await tried(api, tokens, "PATCH", f"/roles/{touched}", {"permissions": []})
        assert answer["loses"]["users"] == answer["administration"]["users"] == 1
        assert (holder.login in str(answer)) is ("users:read" in extra)
        shown = answer["people"] is not None, answer["administration"]["people"] is not None
        seen[extra] = (*shown, answer["services"] is not None)
    assert seen == {
        ("roles:read",): (False, False, False),
        ("roles:read", "services:read"): (False, False, True),
        ("users:read", "roles:read"): (True, True, False),
    }


@pytest.mark.parametrize("first", [statements.FIRST, 1])
async def test_people_come_in_pages_by_login(api: Api, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Whether they are found among the first by name or only among all."""
    monkeypatch.setattr(statements, "FIRST", first)
    _, root = await api.as_role("superuser")
    code, role = await create_permission(api, root), await create_role(api, root)
    logins = sorted(f"{unique('paged')}-{number:03}" for number in range(205))
    users = [(new_id(), login, login, f"{login}@a.example", f"{login}@a.example", "x") for login in logins]
    async with api.resources.hot.acquire() as connection:
        columns = ["id", "login", "login_key", "email", "email_key", "password_hash"]
        await connection.copy_records_to_table("users", records=users[::-1], columns=columns)
        grants = [(user[0], role) for user in users]
        await connection.copy_records_to_table("user_roles", records=grants, columns=["user_id", "role_name"])
    call = ("PATCH", f"/roles/{role}", {"permissions": [code]})
    pages, query = [], {}
    while True:
        answer = await tried(api, root, *call, **query)
        assert answer["gains"] == {"users": 205, "permissions": [{"permission": code, "users": 205}]}
        pages.append([person["login"] for person in answer["people"]])
        if answer["next_cursor"] is None:
            break
        query = {"cursor": answer["next_cursor"]}
    assert [len(page) for page in pages] == [100, 100, 5]
    assert [login for page in pages for login in page] == logins
    for cursor in ("A", "_w", "AA"):
        assert error_of(await send(api, root, call, dry_run="true", cursor=cursor)) == (422, "validation_error")


@pytest.mark.parametrize("few", [True, False])
async def test_a_role_gets_more_codes_than_a_word_has_bits(
    api: Api, monkeypatch: pytest.MonkeyPatch, few: bool
) -> None:
    """Each is given by another role besides, so that no two are alike; with and without a look for the users first."""
    if not few:
        monkeypatch.setattr(people, "_FEW", 0)
    _, root = await api.as_role("superuser")
    resource, base, count = unique("wide"), await create_role(api, root), 2 * WORD + 3
    codes = [f"{resource}:a{number:03}" for number in range(count)]
    users = [await api.create_user() for _ in range(3)]
    today, tomorrow = moment(), moment(days=1)
    async with api.resources.hot.acquire() as connection:
        await connection.executemany("INSERT INTO permissions (code, title) VALUES ($1, $1)", [(c,) for c in codes])
        roles = [(f"{base}-{number}",) for number in range(count)]
        await connection.executemany("INSERT INTO roles (name, title) VALUES ($1, $1)", roles)
        own = [(role, code) for (role,), code in zip(roles, codes, strict=True)]
        await connection.executemany("INSERT INTO role_permissions (role_name, pattern) VALUES ($1, $2)", own)
        grants = [(users[0].id, role, today, None) for (role,) in roles]
        grants += [(users[1].id, roles[-1][0], today, None), (users[2].id, roles[0][0], today, tomorrow)]
        grants += [(user.id, base, today, None) for user in users]
        await connection.executemany(
            "INSERT INTO user_roles (user_id, role_name, valid_from, valid_until) VALUES ($1, $2, $3, $4)", grants
        )
    answer = await tried(api, root, "PATCH", f"/roles/{base}", {"permissions": codes})
    found = {person["login"]: person["gains"] for person in answer["people"]}
    assert users[0].login not in found
    assert [span["permission"] for span in found[users[1].login]] == codes[:-1]
    assert [span["permission"] for span in found[users[2].login]] == codes
    assert [span["from"] is not None for span in found[users[2].login]] == [True] + [False] * (count - 1)
    assert [one["users"] for one in answer["gains"]["permissions"]] == [2] * (count - 1) + [1]
    assert answer["gains"]["users"] == 2


async def test_what_is_meant_as_a_dry_run_is_never_the_change(api: Api) -> None:
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "films:read")
    for query in ({"dryrun": "true"}, {"dry-run": "true"}, {"dry_run": "maybe"}, {"cursor": "YWJj"}):
        answer = await send(api, root, ("PATCH", f"/roles/{role}", {"title": "y"}), **query)
        assert error_of(answer) == (422, "validation_error"), query
    found = await api.http.get(f"{V1}/roles/{role}", headers=root.bearer)
    assert found.json()["title"] == "Of a test"
    changed = await send(api, root, ("PATCH", f"/roles/{role}", {"title": "y"}), dry_run="false")
    assert changed.json()["title"] == "y"


async def test_who_would_lose_administration_is_named_and_told_of_oneself(api: Api) -> None:
    _, root = await api.as_role("superuser")
    tools = await create_role(api, root, "roles:*", "users:read", "films:read")
    (one, tokens), other = await api.as_role(), await api.create_user()
    await grant(api, root, one.id, tools)
    await grant(api, root, other.id, tools, valid_until=moment(days=1))
    without_reading = ("PATCH", f"/roles/{tools}", {"permissions": ["roles:*", "users:read"]})
    assert (await tried(api, tokens, *without_reading))["administration"] == {"users": 0, "you": False, "people": []}
    call = ("PATCH", f"/roles/{tools}", {"permissions": ["films:read"]})
    for asked, you in ((tokens, True), (root, False)):
        lost = (await tried(api, asked, *call))["administration"]
        assert (lost["users"], lost["you"]) == (2, you)
        assert {person["login"] for person in lost["people"]} == {one.login, other.login}
        assert {span["permission"] for person in lost["people"] for span in person["loses"]} == {
            *("roles:grant", "roles:read", "roles:write", "users:read")
        }


async def test_a_mark_says_who_has_no_second_factor(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    role = await create_role(api, root, code)
    with_one, tokens = await api.as_role()
    await enrol_phone(api, tokens)
    for account in (with_one, await api.create_user(), await api.create_user(active=False)):
        await grant(api, root, account.id, role)
    superusers = await api.resources.hot.fetchval(
        "SELECT count(*) FROM user_roles JOIN users ON id = user_id AND is_active WHERE role_name = 'superuser'"
        " AND (valid_until IS NULL OR valid_until > now())"
    )
    answer = await tried(api, root, "PATCH", f"/permissions/{code}", {"step_up": True})
    (mark,) = answer["step_up"]
    assert (mark["permission"], mark["step_up"], mark["users"]) == (code, True, 2 + superusers)
    assert 0 < mark["without_second_factor"] < mark["users"]
    assert answer["gains"]["users"] == answer["loses"]["users"] == 0


async def test_what_takes_too_long_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "films:read")
    await grant(api, root, (await api.create_user()).id, role)
    slow = ("SET LOCAL statement_timeout = 1", "SELECT pg_sleep(1)")
    monkeypatch.setattr(effect, "_SETTINGS", (*effect._SETTINGS, *slow))
    answer = await send(api, root, ("PATCH", f"/roles/{role}", {"permissions": []}), dry_run="true")
    assert error_of(answer) == (503, "effect_timeout")
    assert (await api.http.get(f"{V1}/roles/{role}", headers=root.bearer)).json()["permissions"] == ["films:read"]


async def test_few_look_at_everybody_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever worker asks; who looks at a few people only is never refused."""
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "films:read")
    change = ("PATCH", f"/roles/{role}", {"permissions": []})
    place = "SELECT pg_advisory_xact_lock($1, $2)"
    async with api.resources.hot.acquire() as connection, connection.transaction():
        await connection.execute(place, Advisory.WIDE_EFFECTS, 1)
        with monkeypatch.context() as patch:
            patch.setattr(people, "_FEW", -1)
            assert (await send(api, root, change, dry_run="true")).status_code == 200
            await connection.execute(place, Advisory.WIDE_EFFECTS, 2)
            answer = await send(api, root, change, dry_run="true")
            assert error_of(answer) == (503, "effect_busy")
            assert int(answer.headers["retry-after"]) > 0
        assert (await send(api, root, change, dry_run="true")).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(people, "_FEW", -1)
        assert (await send(api, root, change, dry_run="true")).status_code == 200


@pytest.mark.long
async def test_the_command_says_it_in_words(api: Api) -> None:
    command = Command(api.resources.settings, CHECK_CACHE_BYTES="0")  # else each change waits a second for leases
    _, root = await api.as_role("superuser")
    code, name = await create_permission(api, root), unique("role")
    assert "nobody gains" in await command.does("roles", "create", name, "--title", "New", "--dry-run")
    await command.does("roles", "create", name, "--title", "New", "--permission", "films:read")
    first, second = sorted([unique("worded"), unique("worded")])
    for login in (first, second):
        await api.create_user(login=login)
    await command.does("roles", "grant", first, name)
    until = moment(days=1).replace(microsecond=0)
    await command.does("roles", "grant", second, name, "--valid-until", until.isoformat())
    said = await command.does("roles", "update", name, "--add", code, "--dry-run")
    assert said == f"2 users gain {code}: {first}, {second} (until {until.isoformat()})\n"
    shown = await command.does("roles", "update", name, "--add", code, "--remove", "films:read", "--dry-run", "--json")
    assert f'"permissions":["{code}"]' in shown
    assert await command.does("roles", "update", name, "--add", code, "--session-limit", "3") == "updated\n"
    role = (await api.http.get(f"{V1}/roles/{name}", headers=root.bearer)).json()
    assert (role["permissions"], role["session_limit"], role["title"]) == (sorted([code, "films:read"]), 3, "New")
    assert f"1 user loses {code}: {first}" in await command.does("roles", "revoke", first, name, "--dry-run")
    assert "must be a permission or parent" in await command.refuses("roles", "update", name, "--remove", "films:watch")
    assert await command.refuses("roles", "delete", name, "--dry-run") == await command.refuses(
        "roles", "delete", name, "--yes"
    )
    new = f"{code.partition(':')[0]}:new"
    assert "would ask for a second factor" in await command.does(
        "permissions", "create", new, "--title", "New", "--step-up", "--dry-run"
    )
    await command.does("permissions", "create", new, "--title", "New")
    await command.does("permissions", "update", new, "--title", "Newer", "--step-up")
    (row,) = [row for row in (await command("permissions", "list", "--json")).rows if row["code"] == new]
    assert row == {"code": new, "title": "Newer", "step_up": True}
    assert "Nothing to change" in await command.refuses("permissions", "update", new)
    assert await command.does("permissions", "delete", new, "--yes") == "deleted\n"
