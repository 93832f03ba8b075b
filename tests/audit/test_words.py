"""The trail in words: what each act changed, names beside ids, and the filters by which rows are found."""

from typing import Any

import pytest

from auth_service.audit.words import differences
from tests.audit.test_audit import AUDIT, Office, entries, office
from tests.support.access import create_role, grant
from tests.support.api import V1, error_of
from tests.support.command import Command

__all__ = ["office"]  # a fixture

GRANT = {"role": "critic", "valid_from": "2030-01-01T00:00:00+00:00", "valid_until": None}
ROLE = {
    "title": "Critic",
    "description": "",
    "permissions": ["a:b", "c:d"],
    "parents": ["guest"],
    "session_limit": None,
}
Facts = dict[str, Any] | None
WORDS: list[tuple[Facts, Facts, list[str]]] = [
    (None, None, []),
    (None, ROLE, ['title: "Critic"', "permissions: +a:b +c:d", "parents: +guest"]),
    (ROLE, None, ['title: was "Critic"', "permissions: −a:b −c:d", "parents: −guest"]),
    ({"permissions": ["a:b", "c:d"]}, {"permissions": ["c:d", "e:f"]}, ["permissions: +e:f −a:b"]),
    ({"title": "Critic"}, {"title": "Film critic"}, ['title: "Critic" → "Film critic"']),
    ({"session_limit": None}, {"session_limit": 3}, ["session_limit: none → 3"]),
    ({"step_up": False}, {"step_up": True}, ["step_up: no → yes"]),
    (None, GRANT, ["role: critic", "valid_from: 2030-01-01 00:00 UTC", "valid_until: no end"]),
    (GRANT, None, ["role: critic", "valid_from: was 2030-01-01 00:00 UTC"]),
    (
        GRANT,
        GRANT | {"valid_until": "2030-01-31T14:00:30+02:00"},
        ["role: critic", "valid_until: no end → 2030-01-31 12:00:30 UTC"],
    ),
    (
        {"is_active": True},
        {"changed": ["is_active"], "is_active": False},
        ["is_active: yes → no", "changed: is_active"],
    ),
    (None, {"changed": ["email", "full_name"]}, ["changed: email, full_name"]),
    (None, {"roles": []}, []),
    (None, {"count": 3, "roles": {"viewer": 2, "admin": 1}}, ["count: 3", "roles: admin 1, viewer 2"]),
    (None, {"enabled": False, "disabled_reason": "410"}, ["disabled_reason: 410"]),
]


@pytest.mark.parametrize(("before", "after", "lines"), WORDS)
def test_what_changed_in_words(before: Facts, after: Facts, lines: list[str]) -> None:
    assert differences(before, after) == lines


async def test_names_stand_beside_ids_for_those_who_may_see_accounts(office: Office) -> None:
    api = office.api
    account, _ = await api.as_role()
    await grant(api, office.tokens, account.id, "subscriber")
    (row,) = await entries(api, office.tokens)
    assert (row["actor_name"], row["target_name"]) == (office.account.login, account.login)
    reader, reads = await api.as_role()
    await grant(api, office.tokens, reader.id, await create_role(api, office.tokens, "audit:read"))
    for row in await entries(api, reads):
        assert (row["actor_name"], row["target_name"]) == (None, None)
    await office.call("DELETE", f"/admin/users/{account.id}", {"reason": "asked for it"})
    deleted, *_, granted = await entries(api, office.tokens)
    assert (deleted["target_id"], deleted["target_name"]) == (str(account.id), None)
    assert granted["target_name"] is None, "an account that is gone has no name"
    role = next(row for row in await entries(api, office.tokens) if row["target_kind"] == "role")
    assert role["target_name"] is None, "its id is its name"


async def test_actions_are_found_by_several_or_by_their_group(office: Office) -> None:
    api = office.api
    role = await create_role(api, office.tokens)
    user = await office.viewer()
    await grant(api, office.tokens, user, role)
    await office.call("PATCH", f"/roles/{role}", {"title": "Other"})
    await office.call("POST", f"/admin/users/{user}/logout-all")

    async def found(*actions: str) -> list[str]:
        answer = await api.http.get(AUDIT, params={"action": list(actions)}, headers=office.tokens.bearer)
        assert answer.status_code == 200, answer.text
        return [row["action"] for row in answer.json()["items"]]

    assert await found("role.*") == ["role.updated", "role.granted", "role.created"]
    assert await found("role.granted", "user.logged_out") == ["user.logged_out", "role.granted"]
    assert await found("role.granted", "user.*") == ["user.logged_out", "role.granted"]
    assert await found("webhook.*") == []
    for junk in ("role", "*", "rol.*", "role.granted,user.*"):
        refused = await api.http.get(AUDIT, params={"action": junk}, headers=office.tokens.bearer)
        assert error_of(refused) == (422, "validation_error"), junk
    command = Command(api.resources.settings)
    rows = (await command("audit", "list", "--action", "role.updated", "--action", "user.*", "--json")).rows
    assert [row["action"] for row in rows] == ["user.logged_out", "role.updated"]
    said = await command.does("audit", "list", "--action", "role.updated")
    assert f"role.updated {role}" in said
    assert 'title: "Of a test" → "Other"' in said
    assert office.account.login in said


async def test_a_redundant_switch_by_the_operator_says_that_nothing_changed(office: Office) -> None:
    account, _ = await office.api.as_role()
    command = Command(office.api.resources.settings)
    for _ in range(2):
        await command.does("users", "toggle-active", account.login, "--disable")
    again, first = await entries(office.api, office.tokens, target=account.login)
    assert (first["before"], first["after"]) == ({"is_active": True}, {"is_active": False})
    assert (again["before"], again["changes"]) == ({"is_active": False}, [])
    people = await office.api.http.get(f"{V1}/admin/audit/{again['id']}/people", headers=office.tokens.bearer)
    assert people.json()["people"] == []
