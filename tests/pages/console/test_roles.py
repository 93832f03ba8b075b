"""Roles in the console: what a change would do is seen before it is made, and nobody does what the API refuses."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from auth_service.locks import lock_access_rules
from auth_service.pages.console import roles_router
from tests.support.access import create_permission, create_role, grant
from tests.support.api import V1, Api, Tokens, unique
from tests.support.reader import Page, Reader, signed_in

HOSTILE = '\u202e<script>alert("x")</script>' + "Ж" * 150


async def superuser(api: Api, language: str = "en") -> tuple[Reader, Tokens]:
    account, reader = await signed_in(api, "superuser", language=language)
    return reader, await api.log_in(account)


async def manager(api: Api, admin: Tokens, *more: str) -> Reader:
    """May change roles, of which they hold little."""
    name = await create_role(api, admin, "roles:*", "permissions:read", "users:read", *more)
    account, reader = await signed_in(api)
    await grant(api, admin, account.id, name)
    return reader


def offered(page: Page, kind: str) -> set[str]:
    return set(re.findall(rf'<input type="checkbox" name="{kind}\.([^"]*)"', page.html))


async def test_a_role_is_changed_once_its_effect_was_seen(api: Api) -> None:
    reader, admin = await superuser(api)
    name, holder = await create_role(api, admin, "films:read", "reviews:write"), await api.create_user()
    await grant(api, admin, holder.id, name)
    edit = f"/console/roles/{name}/edit"
    await reader.open(edit)
    page = await reader.fill(edit, {"permission.films:publish": "on"}, without=("permission.films:read",))
    body = {"permissions": ["films:publish", "reviews:write"]}
    by_api = await api.http.patch(f"{V1}/roles/{name}?dry_run=true", json=body, headers=admin.bearer)
    effect = by_api.json()
    assert (effect["gains"]["users"], effect["loses"]["users"]) == (1, 0), "what else they have gives films:read"
    assert page.title == f"What changing {name} would do – Cinema"
    assert "1 user gains films:publish 1 user" in page.words
    assert "loses" not in page.words
    assert holder.login in page.words
    assert "+films:publish −films:read" in page.words
    role = (await api.http.get(f"{V1}/roles/{name}", headers=admin.bearer)).json()
    assert role["permissions"] == ["films:read", "reviews:write"], "nothing is changed yet"
    page = await reader.fill(edit, {"do": "make"})
    assert page.path == f"/console/roles/{name}"
    assert "The role is changed." in page.words
    role = (await api.http.get(f"{V1}/roles/{name}", headers=admin.bearer)).json()
    assert role["permissions"] == ["films:publish", "reviews:write"]
    trail = await api.http.get(f"{V1}/admin/audit?target={name}", headers=admin.bearer)
    assert [row["action"] for row in trail.json()["items"]] == ["role.updated", "role.created"]


async def test_of_a_role_that_many_have_at_least_how_many_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles_router, "_COUNTED", 4)
    reader, admin = await superuser(api)
    name, holders = await create_role(api, admin), [await api.create_user() for _ in range(4)]
    past = {"valid_from": datetime(2020, 1, 1, tzinfo=UTC), "valid_until": datetime(2021, 1, 1, tzinfo=UTC)}
    said = []
    for number, holder in enumerate(holders):
        await grant(api, admin, holder.id, name, **(past if number == 0 else {}))
        said.append((await reader.open(f"/console/roles/{name}")).words.partition("Users who have it ")[2])
    assert [words.partition(" Parents")[0] for words in said[:3]] == ["nobody", "1 user", "2 users"]
    assert said[3].startswith("at least 3 users Parents")


async def test_back_to_editing_keeps_what_was_typed_and_changes_nothing(api: Api) -> None:
    reader, admin = await superuser(api)
    name = await create_role(api, admin, "films:read")
    edit = f"/console/roles/{name}/edit"
    await reader.open(edit)
    await reader.fill(edit, {"title": "100% new", "parent.guest": "on"})
    page = await reader.fill(edit, {"do": "edit"})
    assert page.fields(edit)["title"] == "100% new"
    assert "parent.guest" in page.fields(edit)
    role = (await api.http.get(f"{V1}/roles/{name}", headers=admin.bearer)).json()
    assert (role["title"], role["parents"]) == ("Of a test", [])
    assert (
        "Nothing was changed yet." in (await reader.fill(edit, {"title": "Of a test"}, without=("parent.guest",))).words
    )


async def test_who_edits_a_role_that_was_changed_meanwhile_is_told(api: Api) -> None:
    reader, admin = await superuser(api)
    name = await create_role(api, admin, "films:read")
    edit = f"/console/roles/{name}/edit"
    await reader.open(edit)
    await reader.fill(edit, {"title": "Mine"})
    theirs = {"permissions": ["films:read", "films:publish"]}
    assert (await api.http.patch(f"{V1}/roles/{name}", json=theirs, headers=admin.bearer)).status_code == 200
    page = await reader.fill(edit, {"do": "make"})
    assert "Somebody has changed it since you opened it." in page.words
    assert "−films:publish" in page.words, "it would be undone, and that is said"
    page = await reader.fill(edit, {"do": "make"})
    assert "The role is changed." in page.words


async def test_a_role_is_made_and_deleted_with_its_effect_seen(api: Api) -> None:
    reader, admin = await superuser(api)
    name = unique("critic")
    new = "/console/roles/_new"
    await reader.open(new)
    assert "letters, digits and dashes" in (await reader.fill(new, {"name": "No!", "title": "x"})).words
    every = [one["code"] for one in (await api.http.get(f"{V1}/permissions", headers=admin.bearer)).json()]
    boxes = {
        f"permission.{code}": "on" for code in every if code.startswith(("films:", "users:", "roles:", "tickets:"))
    }
    page = await reader.fill(new, {"name": name, "title": HOSTILE, "parent.viewer": "on", "session_limit": "3"} | boxes)
    assert "Nobody gains or loses anything." in page.words
    page = await reader.fill(new, {"do": "make"})
    assert page.path == f"/console/roles/{name}"
    role = (await api.http.get(f"{V1}/roles/{name}", headers=admin.bearer)).json()
    assert {f"permission.{code}" for code in role["permissions"]} == boxes.keys()
    assert (role["parents"], role["session_limit"]) == (["viewer"], 3)
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert" in page.html
    await reader.open(new)
    await reader.fill(new, {"name": name, "title": "Twice"})
    assert reader.page is not None
    assert reader.page.error("name") == "There is a role of this name already."
    for path in ("/console/roles", f"/console/roles/{name}/edit", f"/console/roles?search={name}"):
        assert "<script>alert" not in (await reader.open(path)).html
    await reader.open(f"/console/roles/{name}/delete")
    assert "Nobody gains or loses anything." in (await reader.fill(f"/console/roles/{name}/delete")).words
    page = await reader.fill(f"/console/roles/{name}/delete", {"do": "make"})
    assert page.path == "/console/roles"
    assert (await api.http.get(f"{V1}/roles/{name}", headers=admin.bearer)).status_code == 404


async def test_rbac_1_what_one_lacks_is_neither_offered_nor_done(api: Api) -> None:
    _, admin = await superuser(api)
    mine = await create_role(api, admin, "films:read")
    reader = await manager(api, admin, "films:read")
    page = await reader.open(f"/console/roles/{mine}/edit")
    assert {"films:read", "roles:*"} <= offered(page, "permission")
    assert not offered(page, "permission") & {"films:*", "films:publish", "audit:read", "users:write"}
    assert "guest" in offered(page, "parent")
    assert "admin" not in offered(page, "parent")
    for forged in ("permission.films:publish", "parent.admin"):
        await reader.open(f"/console/roles/{mine}/edit")
        page = await reader.fill(f"/console/roles/{mine}/edit", {forged: "on", "do": "make"})
        assert page.status == 403
        assert "You can only manage what you hold yourself" in page.words
    role = (await api.http.get(f"{V1}/roles/{mine}", headers=admin.bearer)).json()
    assert (role["permissions"], role["parents"]) == (["films:read"], [])
    page = await reader.open("/console/roles/admin")
    assert "/console/roles/admin/edit" not in page.html
    assert "Who changes a role must hold all that it gives" in page.words
    assert (await reader.open("/console/roles/admin/delete")).status == 200
    for page in (await reader.fill("/console/roles/admin/delete"), await reader.open("/console/roles/admin/edit")):
        assert page.status == 403
        assert "You can only manage what you hold yourself" in page.words


async def test_opening_a_page_waits_for_no_change_of_access(api: Api) -> None:
    reader, admin = await superuser(api)
    role, code, holder = await create_role(api, admin), await create_permission(api, admin), await api.create_user()
    pages = [f"/console/roles/{role}", f"/console/permissions/{code}", f"/console/grants/{holder.id}/viewer"]
    async with api.resources.db.begin() as session, asyncio.timeout(10):
        await lock_access_rules(session)
        for path in (f"{pages[0]}/edit", f"{pages[0]}/delete", f"{pages[1]}/delete", f"{pages[2]}/revoke"):
            assert (await reader.open(path)).status == 200
        for path in ("grant?role=viewer", "roles/viewer", "edit"):
            assert (await reader.open(f"/console/users/{holder.id}/{path}")).status == 200


async def test_a_role_shows_what_it_has_and_who_is_near(api: Api) -> None:
    reader, admin = await superuser(api)
    code = await create_permission(api, admin)
    parent = await create_role(api, admin, code)
    child, holder = await create_role(api, admin, "films:*", parents=(parent,)), await api.create_user()
    await grant(api, admin, holder.id, child)
    page = await reader.open(f"/console/roles/{child}")
    own, inherited = page.words.split("Own permissions")[1].split("Inherited permissions")
    assert "films:*" in own
    assert code in inherited
    assert f'href="/console/grants?role={child}&amp;state=active">1 user</a>' in page.html
    assert page.html.count("<rect") == 2 + 1  # and that of the logo
    assert f'class="current" aria-current="page"><title>Of a test ({child})</title>' in page.html
    assert child in (await reader.open(f"/console/roles?search={child}")).words
    assert "No role matches" in (await reader.open("/console/roles?search=nothing-like-it")).words
