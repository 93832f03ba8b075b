"""Why not, all that stands in the way, and the roles that would help: each told, and each remedy tried."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from auth_service.core.clock import utc_now
from auth_service.permissions.explanation import MOST_ROLES
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment, revoke
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of, unique
from tests.support.command import Command
from tests.support.phone import enrol_phone


@dataclass(frozen=True)
class Cast:
    """`code` is given by `role`, which inherits it from `parent`; `account` has neither."""

    api: Api
    root: Tokens
    account: Account
    code: str
    parent: str
    role: str

    async def why(self, asker: Tokens | None = None, code: str | None = None, **query: str) -> dict[str, Any]:
        url = f"{V1}/users/{self.account.id}/permissions/{code or self.code}"
        answer = await self.api.http.get(url, params=query, headers=(asker or self.root).bearer)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def kinds(self) -> list[str]:
        return [item["kind"] for item in (await self.why())["obstacles"]]

    async def patch(self, path: str, body: dict[str, Any]) -> None:
        answer = await self.api.http.patch(f"{V1}{path}", json=body, headers=self.root.bearer)
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def cast(api: Api) -> Cast:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    parent = await create_role(api, root, code, "films:*", name=unique("parent"))
    role = await create_role(api, root, "reviews:read", parents=(parent,), name=unique("child"))
    return Cast(api, root, await api.create_user(), code, parent, role)


async def test_a_yes_names_the_shortest_way_and_who_granted_it(cast: Cast) -> None:
    granter, boss = await cast.api.as_role("superuser")
    await grant(cast.api, cast.root, cast.account.id, cast.role, valid_until=moment(days=1))
    await cast.api.http.put(
        f"{V1}/users/{cast.account.id}/roles/{cast.parent}", json={"reason": "order 4711"}, headers=boss.bearer
    )
    found = await cast.why()
    assert (found["allowed"], found["reason"], found["obstacles"], found["remedies"]) == (True, "granted", [], None)
    path = found["path"]
    assert (path["roles"], path["pattern"], path["reason"]) == ([cast.parent], cast.code, "order 4711")
    assert (path["granted_by"], path["granted_by_name"]) == (str(granter.id), granter.login)
    await revoke(cast.api, cast.root, cast.account.id, cast.parent)
    path = (await cast.why())["path"]
    assert (path["roles"], path["valid_until"] is not None) == ([cast.role, cast.parent], True)
    wildcard = (await cast.why(code="films:create"))["path"]
    assert wildcard["pattern"] == "films:*"


Act = Callable[[Cast], Awaitable[Any]]


async def ended(cast: Cast) -> None:
    dates = {"valid_from": moment(days=-2), "valid_until": moment(days=-1)}
    await grant(cast.api, cast.root, cast.account.id, cast.role, **dates)


async def coming(cast: Cast) -> None:
    await grant(cast.api, cast.root, cast.account.id, cast.role, valid_from=moment(days=1))


async def disabled(cast: Cast) -> None:
    await cast.patch(f"/admin/users/{cast.account.id}", {"is_active": False, "reason": "a test"})


async def disabled_with_grant(cast: Cast) -> None:
    await grant(cast.api, cast.root, cast.account.id, cast.role)
    await disabled(cast)


async def disabled_and_ended(cast: Cast) -> None:
    await ended(cast)
    await disabled(cast)


async def nothing(cast: Cast) -> None:
    pass


ENABLE = "users toggle-active {login} --enable"
GRANT = "roles grant {login} {role}"
DENIALS: dict[str, tuple[Act, list[str], list[str]]] = {
    "no grant": (nothing, ["no_grant"], [GRANT]),
    "ended": (ended, ["grant_expired"], [GRANT]),
    "not begun": (coming, ["grant_not_started"], [GRANT]),
    "disabled": (disabled_with_grant, ["user_inactive"], [ENABLE]),
    "disabled and no grant": (disabled, ["user_inactive", "no_grant"], [ENABLE, GRANT]),
    "disabled and ended": (disabled_and_ended, ["user_inactive", "grant_expired"], [ENABLE, GRANT]),
}


@pytest.mark.parametrize("name", DENIALS)
async def test_all_that_stands_in_the_way_is_told_and_the_commands_mend_it(cast: Cast, name: str) -> None:
    make, kinds, commands = DENIALS[name]
    await make(cast)
    found = await cast.why()
    assert found["allowed"] is False
    assert found["reason"] == kinds[0]
    assert await cast.kinds() == kinds
    for obstacle in found["obstacles"]:
        assert (obstacle["path"] is not None) is obstacle["kind"].startswith("grant_")
    command = Command(cast.api.resources.settings)
    said = await command.does("explain", cast.account.login, cast.code)
    assert said.startswith(f"{cast.account.login} may not {cast.code}.\n")
    for text in commands:
        line = text.format(login=cast.account.login, role=cast.role)
        assert f"    auth-service {line}\n" in said
        await command.does(*line.split())
    assert (await cast.why())["allowed"] is True
    said = await command.does("explain", cast.account.login, cast.code)
    assert f"The role {cast.role} -> {cast.parent} has {cast.code}." in said


async def test_roles_that_would_give_it_come_by_how_little_else_they_give(cast: Cast) -> None:
    found = await cast.why()
    remedies = {item["role"]: item for item in found["remedies"]}
    assert list(remedies) == [cast.parent, cast.role, "superuser"], "the superuser's one pattern is no little"
    assert (found["remedy_count"], remedies[cast.parent]["title"]) == (3, "Of a test")
    assert remedies[cast.role]["through"] == [cast.role, cast.parent]
    counts = [item["permissions"] for item in found["remedies"]]
    assert counts == sorted(counts)
    assert all(item["may_grant"] and item["lacking"] == [] for item in found["remedies"])


async def test_whether_the_asker_may_grant_is_what_granting_would_answer(cast: Cast) -> None:
    reader_role = await create_role(cast.api, cast.root, "roles:read")
    granter_role = await create_role(cast.api, cast.root, "roles:*", "users:read", cast.code)
    for role, refusals in (
        (reader_role, {cast.parent: "permission_denied", cast.role: "permission_denied"}),
        (granter_role, {cast.parent: "exceeds_own_permissions", cast.role: "exceeds_own_permissions"}),
    ):
        account, asker = await cast.api.as_role()
        await grant(cast.api, cast.root, account.id, role)
        remedies = {item["role"]: item for item in (await cast.why(asker))["remedies"]}
        for name, refusal in refusals.items():
            assert (remedies[name]["refusal"], remedies[name]["may_grant"]) == (refusal, False)
            url = f"{V1}/users/{cast.account.id}/roles/{name}"
            refused = await cast.api.http.put(url, json={}, headers=asker.bearer)
            assert error_of(refused) == (403, refusal)
    assert "films:*" in remedies[cast.parent]["lacking"]
    assert remedies[granter_role]["may_grant"] is True
    granted = await cast.api.http.put(
        f"{V1}/users/{cast.account.id}/roles/{granter_role}", json={}, headers=asker.bearer
    )
    assert granted.status_code == 200
    assert (await cast.why())["allowed"] is True


async def test_a_grant_that_the_asker_could_only_give_with_an_end_is_refused(cast: Cast) -> None:
    account, asker = await cast.api.as_role()
    await grant(cast.api, cast.root, account.id, "superuser", valid_until=moment(days=1))
    assert {item["refusal"] for item in (await cast.why(asker))["remedies"]} == {"exceeds_own_permissions"}


async def test_at_most_fifty_roles_and_how_many_there_are(cast: Cast) -> None:
    rows = [(unique("many"), cast.code) for _ in range(MOST_ROLES + 5)]
    async with cast.api.resources.hot.acquire() as connection:
        await connection.executemany("INSERT INTO roles (name, title) VALUES ($1, 'x')", [row[:1] for row in rows])
        await connection.executemany("INSERT INTO role_permissions (role_name, pattern) VALUES ($1, $2)", rows)
    found = await cast.why()
    assert (len(found["remedies"]), found["remedy_count"]) == (MOST_ROLES, MOST_ROLES + 5 + 3)


async def test_an_unknown_permission_is_no_matter_of_grants(cast: Cast) -> None:
    found = await cast.why(code="never:heard")
    assert [item["kind"] for item in found["obstacles"]] == ["unknown_permission", "no_grant"]
    assert (found["remedies"], found["remedy_count"]) == ([], 0)
    said = await Command(cast.api.resources.settings).does("explain", cast.account.login, "never:heard")
    assert "never:heard is not in the catalogue." in said


async def test_a_step_up_is_told_with_whether_there_is_a_second_factor(cast: Cast) -> None:
    await cast.patch(f"/permissions/{cast.code}", {"step_up": True})
    account, tokens = await cast.api.as_role(cast.role)
    mine = Cast(cast.api, cast.root, account, cast.code, cast.parent, cast.role)
    for armed in (False, True):
        found = await mine.why()
        assert (found["allowed"], found["reason"]) == (False, "step_up_required")
        assert found["obstacles"] == [{"kind": "step_up_required", "path": None, "second_factor": armed}]
        assert found["path"]["roles"] == [cast.role, cast.parent], "the grant is there"
        assert found["remedies"] is None, "no grant would help"
        if not armed:
            await enrol_phone(cast.api, tokens)
    assert (await mine.why(tokens))["allowed"] is True, "whose session has shown a code"
    _, reader = await cast.api.as_role()
    reader_account, reader = await cast.api.as_role()
    await grant(cast.api, cast.root, reader_account.id, await create_role(cast.api, cast.root, "roles:read"))
    assert (await mine.why(reader))["obstacles"][0]["second_factor"] is None, "an account's is for users:read"


# --- who may ask ---


async def test_about_oneself_nothing_is_told_of_roles_that_one_may_not_read(cast: Cast) -> None:
    account, tokens = await cast.api.as_role()
    mine = Cast(cast.api, cast.root, account, cast.code, cast.parent, cast.role)
    middle = await create_role(cast.api, cast.root, parents=(cast.role,), name=unique("top"))
    found = await mine.why(tokens)
    assert (found["reason"], found["remedies"], found["remedy_count"]) == ("no_grant", None, None)
    assert not {cast.parent, cast.role} & set(str(found).replace("'", " ").split())
    await grant(cast.api, cast.root, account.id, middle)
    found = await mine.why(tokens)
    assert found["path"]["roles"] == [middle, cast.parent], "both ends are in one's own permissions too"
    assert found["path"]["granted_by_name"] is None
    assert (await mine.why())["path"]["roles"] == [middle, cast.role, cast.parent]


async def test_a_check_that_explains_says_the_same_to_those_who_may_read_roles(cast: Cast) -> None:
    client = await cast.api.create_service(cast.root, ["permissions:check", "roles:read"])
    plain = await cast.api.create_service(cast.root, ["permissions:check"])
    body = {"permission": cast.code, "user_id": str(cast.account.id), "explain": True}
    askers = {
        "root": cast.root.bearer,
        "reader": await cast.api.service_token(*client),
        "plain": await cast.api.service_token(*plain),
    }
    for allowed in (False, True):
        why = await cast.why()
        answers = {
            name: (await cast.api.http.post(f"{V1}/permissions/check", json=body, headers=headers)).json()
            for name, headers in askers.items()
        }
        assert all(answer["allowed"] is allowed for answer in answers.values())
        assert set(answers["plain"]) <= {"allowed", "reason", "valid_until", "explanation"}
        for name in ("root", "reader"):
            assert answers[name]["explanation"] == answers["plain"]["explanation"]
            assert [item["kind"] for item in answers[name]["obstacles"]] == [o["kind"] for o in why["obstacles"]]
            assert ("remedies" in answers[name]) is (not allowed)
        if not allowed:
            assert {r["role"]: r["may_grant"] for r in answers["root"]["remedies"]} == {
                r["role"]: r["may_grant"] for r in why["remedies"]
            }
            assert not any(r["may_grant"] for r in answers["reader"]["remedies"])
            await grant(cast.api, cast.root, cast.account.id, cast.role)
    assert answers["root"]["path"]["roles"] == [cast.role, cast.parent]
    assert "granted_by_name" in answers["root"]["path"]
    assert "granted_by_name" not in answers["reader"]["path"], "a login is for users:read"


async def test_of_nobody_there_is_nothing_to_explain(cast: Cast) -> None:
    nobody = UUID(int=7)
    answer = await cast.api.http.get(f"{V1}/users/{nobody}/permissions/{cast.code}", headers=cast.root.bearer)
    assert error_of(answer) == (404, "not_found")
    assert "There is no user" in await Command(cast.api.resources.settings).refuses("explain", "nobody", cast.code)


# --- by the command line, then as well as now ---


async def test_the_command_tells_of_a_moment_that_has_passed(fresh: Fresh) -> None:
    api = await fresh.api()
    _, root = await api.as_role("superuser")
    account = await api.create_user()
    await grant(api, root, account.id, "subscriber")
    between = utc_now()
    assert (await revoke(api, root, account.id, "subscriber")).status_code == 204
    command = Command(api.resources.settings)
    then = await command.does("explain", account.login, "films:watch", "--at", between.isoformat())
    assert then.startswith(f"{account.login} may films:watch on {between:%Y-%m-%d %H:%M:%S} UTC.\n")
    now = await command.does("explain", account.login, "films:watch")
    assert "No grant of" in now
    held = (await command("users", "permissions", account.login, "--at", between.isoformat(), "--json")).rows
    assert "films:watch" in {row["permission"] for row in held}
    assert "films:watch" not in await command.does("users", "permissions", account.login)
    early = (between - timedelta(days=400)).isoformat()
    assert "What was then is not known" in await command.refuses("explain", account.login, "x:y", "--at", early)
    listed = await command("permissions", "users", "films:watch", "--at", between.isoformat(), "--json")
    assert account.login in {row["login"] for row in listed.rows}
    outcome = await command("explain", account.login, "films:watch", "--json")
    assert '"reason": "no_grant"' in outcome.out


async def test_who_gained_and_lost_is_told_by_name_and_time(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, root = await api.as_role("superuser")
    accounts = [await api.create_user() for _ in range(3)]
    clock.forward(seconds=5)
    until = clock() + timedelta(days=1)
    critic = await create_role(api, root, "reviews:delete", name="critic")
    for account in accounts:
        await grant(api, root, account.id, critic, valid_until=until)
    clock.forward(seconds=5)
    await api.http.patch(f"{V1}/roles/{critic}", json={"permissions": ["films:create"]}, headers=root.bearer)
    await revoke(api, root, accounts[0].id, critic)
    url = f"{V1}/admin/audit/5/people"
    found = (await api.http.get(url, params={"limit": 2}, headers=root.bearer)).json()
    assert found["changes"] == ["permissions: +films:create −reviews:delete"]
    assert found["gains"] == {"users": 3, "permissions": [{"permission": "films:create", "users": 3}]}
    assert found["loses"] == {"users": 3, "permissions": [{"permission": "reviews:delete", "users": 3}]}
    rest = await api.http.get(url, params={"limit": 2, "cursor": found["next_cursor"]}, headers=root.bearer)
    people = found["people"] + rest.json()["people"]
    assert [item["login"] for item in people] == sorted(account.login for account in accounts)
    span = people[0]["gains"][0]
    assert (span["permission"], span["from"]) == ("films:create", None)
    assert datetime.fromisoformat(span["until"]) == until
    said = await Command(api.resources.settings).does("audit", "people", "5")
    assert "3 gained, 3 lost" in said
    assert f"    +films:create until {until:%Y-%m-%d %H:%M}" in said
    assert error_of(await api.http.get(f"{V1}/admin/audit/99/people", headers=root.bearer)) == (404, "not_found")
    await api.http.request("DELETE", f"{V1}/admin/users/{accounts[1].id}", json={"reason": "test"}, headers=root.bearer)
    gone = await api.http.get(f"{V1}/admin/audit/7/people", headers=root.bearer)
    assert error_of(gone) == (409, "not_known_then")
