"""Who has a permission, and the lists of grants: held against plain Python, and who may see what."""

import os
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from auth_service.permissions import holders
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api, StoppedClock, Tokens, error_of, unique
from tests.support.people_lists import CODES, HOURS, LOGINS, ROLES, all_pages, build_world, read_world

WORLDS = int(os.environ.get("LIST_WORLDS", "2"))
ASKED_OF_EACH = 15


def ways_of(item: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(way["role"], way["via"], way["pattern"]) for way in item["ways"]]


async def test_lists_say_what_the_tables_say(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages together are the whole: of random worlds, moments, filters and sizes of a page."""
    clock = StoppedClock()
    api = await fresh.api(clock)
    _, root = await api.as_role("superuser")
    for seed in range(WORLDS):
        dice = random.Random(seed)
        await build_world(api.resources, dice, clock())
        world = await read_world(api.resources)
        some = 0
        for number in range(ASKED_OF_EACH):
            monkeypatch.setattr(holders, "FEW", dice.choice((0, 50)))  # either query
            limit = dice.choice((1, 2, 3, 100))
            code, role = dice.choice(CODES), dice.choice((None, *ROLES))
            at = dice.choice((None, *(clock() + timedelta(hours=hours) for hours in HOURS if hours >= 0)))
            asked = {name: value for name, value in (("role", role), ("at", at)) if value is not None}
            items = await all_pages(api, root, f"/permissions/{code}/users", limit=limit, **asked)
            found = [(item["id"], ways_of(item)) for item in items]
            assert found == world.holders(code, at or clock(), role), (seed, number, code, asked)
            some += len(found)

            limit, asked = dice.choice((1, 2, 3, 100)), {}
            for name, choices in (
                ("role", ROLES),
                ("user", LOGINS),
                ("granted_by", LOGINS[:3]),
                ("state", ("active", "coming", "ended")),
                ("ends_since", [clock() + timedelta(hours=hours) for hours in HOURS]),
                ("ends_until", [clock() + timedelta(hours=hours) for hours in HOURS]),
            ):
                if dice.random() < 0.3:
                    asked[name] = dice.choice(choices)
            if len(ends := sorted(asked[name] for name in ("ends_since", "ends_until") if name in asked)) == 2:
                asked["ends_since"], asked["ends_until"] = ends
            items = await all_pages(api, root, "/grants", limit=limit, **asked)
            listed = [(item["user"]["login"], item["role"], item["state"]) for item in items]
            assert listed == world.grants_of(clock(), **asked), (seed, number, asked)
            some += len(listed)
        assert some > ASKED_OF_EACH, "a world in which nothing is found shows nothing"


async def test_an_item_has_all_of_a_grant(api: Api) -> None:
    admin, tokens = await api.as_role("admin")
    account = await api.create_user()
    code = "films:publish"
    parent = await create_role(api, tokens, code)
    role = await create_role(api, tokens, parents=(parent,))
    dates = {"valid_from": moment(hours=-1), "valid_until": moment(hours=1)}
    await grant(api, tokens, account.id, role, **dates)
    person = {"id": str(account.id), "login": account.login, "email": account.email, "full_name": None}

    (item,) = await all_pages(api, tokens, "/grants", role=role)
    shown = {name: datetime.fromisoformat(item.pop(name)) for name in dates}
    assert shown == dates
    assert datetime.fromisoformat(item.pop("granted_at")) <= moment()
    assert item == {
        "user": person,
        "role": role,
        "granted_by": {"id": str(admin.id), "login": admin.login},
        "reason": None,
        "state": "active",
    }
    (holder,) = await all_pages(api, tokens, f"/permissions/{code}/users", role=role)
    (way,) = holder.pop("ways")
    assert holder == person
    assert {name: datetime.fromisoformat(way.pop(name)) for name in dates} == dates
    assert way == {"role": role, "via": parent, "pattern": code}


async def test_who_was_granted_by_nobody_that_is_there_has_no_granter(api: Api) -> None:
    _, tokens = await api.as_role("admin")
    account = await api.create_user()
    items = await all_pages(api, tokens, "/grants", user=account.login)
    assert [(item["role"], item["granted_by"]) for item in items] == [("viewer", None)]


async def test_adm_1_addresses_and_names_are_for_those_who_may_change_accounts(api: Api) -> None:
    _, root = await api.as_role("superuser")
    reader, tokens = await api.as_role()
    role = await create_role(api, root, "users:read", "roles:read")
    await grant(api, root, reader.id, role)
    await api.resources.hot.execute("UPDATE users SET full_name = 'Рита' WHERE id = $1", reader.id)
    for caller, email, name in ((tokens, None, None), (root, reader.email, "Рита")):
        (holder,) = await all_pages(api, caller, "/permissions/users:read/users", role=role)
        (item,) = await all_pages(api, caller, "/grants", role=role)
        for person in (holder, item["user"]):
            assert (person["login"], person["email"], person["full_name"]) == (reader.login, email, name)
        for path in (f"/permissions/users:read/users?role={role}", f"/grants?role={role}"):
            text = (await api.http.get(f"{V1}{path}&format=csv", headers=caller.bearer)).text
            assert (reader.email in text, "Рита" in text) == (email is not None, name is not None)
    for name in ("user", "granted_by"):
        for email in (reader.email, "nobody@example.com"):
            refused = await api.http.get(f"{V1}/grants", params={name: email}, headers=tokens.bearer)
            assert error_of(refused) == (403, "permission_denied")
            assert email not in refused.text


async def test_rbac_8_lists_ask_for_both_permissions_before_anything_is_looked_up(api: Api) -> None:
    _, root = await api.as_role("superuser")
    for held in ("users:read", "roles:read"):
        account, tokens = await api.as_role()
        await grant(api, root, account.id, await create_role(api, root, held))
        for path in (
            *("/permissions/films:read/users", "/permissions/no:such/users", "/permissions/films:read/users?at=junk"),
            *(
                "/grants",
                "/grants?role=unheard-of",
                "/grants?user=nobody-has-this",
                "/grants?format=csv",
                "/grants?x=",
            ),
        ):
            assert error_of(await api.http.get(f"{V1}{path}", headers=tokens.bearer)) == (403, "permission_denied")


async def test_a_filter_that_names_nobody_is_404(api: Api) -> None:
    _, tokens = await api.as_role("admin")
    for path in (
        *("/permissions/no:such/users", "/permissions/junk/users", "/permissions/films:read/users?role=unheard-of"),
        *("/grants?role=unheard-of", "/grants?user=nobody-has-this", "/grants?granted_by=nobody@example.com"),
    ):
        assert error_of(await api.http.get(f"{V1}{path}", headers=tokens.bearer)) == (404, "not_found"), path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/permissions/films:read/users?at=2030-01-01", "query.at must"),
        ("/permissions/films:read/users?limit=101", "query.limit"),
        ("/permissions/films:read/users?cursor=junk", "query.cursor"),
        ("/permissions/films:read/users?format=xml", "query.format"),
        ("/permissions/films:read/users?format=csv&limit=20", "format=csv is the whole list"),
        ("/grants?format=csv&cursor=" + "A" * 40, "format=csv is the whole list"),
        ("/grants?state=expired", "query.state must be"),
        ("/grants?sort=password_hash", "query.sort"),
        ("/grants?role=Admin", "query.role"),
        ("/grants?ends_since=2030-01-02T00:00:00Z&ends_until=2030-01-01T00:00:00Z", "ends_since must not lie after"),
        ("/grants?cursor=" + "A" * 40, "query.cursor is not one that this service gave"),
        ("/grants?cursor=" + "_" * 119, "query.cursor is not one that this service gave"),
    ],
)
async def test_adm_1_only_listed_filters_and_limits(api: Api, path: str, words: str) -> None:
    _, tokens = await api.as_role("admin")
    answer = await api.http.get(f"{V1}{path}", headers=tokens.bearer)
    assert error_of(answer) == (422, "validation_error")
    assert words in answer.json()["detail"]


async def test_a_cursor_belongs_to_its_order(api: Api) -> None:
    _, tokens = await api.as_role("admin")
    await api.create_user()
    page = (await api.http.get(f"{V1}/grants?limit=1", headers=tokens.bearer)).json()
    for state, status in (("active", 200), ("ended", 422), ("coming", 422)):
        asked = {"cursor": page["next_cursor"], "state": state}
        assert (await api.http.get(f"{V1}/grants", params=asked, headers=tokens.bearer)).status_code == status


async def test_the_list_and_the_check_agree(api: Api) -> None:
    """Of a code that somebody gets by a wildcard, by inheritance and by a grant that is to come."""
    _, root = await api.as_role("superuser")
    resource = unique("room")
    code = await create_permission(api, root, resource=resource)
    wide = await create_role(api, root, f"{resource}:*")
    child = await create_role(api, root, parents=(wide,))
    cast: list[tuple[Tokens, str, bool]] = []
    for role, dates in (
        (wide, {}),
        (child, {}),
        (child, {"valid_from": moment(hours=1)}),
        (wide, {"valid_from": moment(hours=-2), "valid_until": moment(hours=-1)}),
    ):
        account, tokens = await api.as_role()
        await grant(api, root, account.id, role, **dates)
        cast.append((tokens, str(account.id), (await api.check(tokens, code))["allowed"]))
    assert [allowed for *_, allowed in cast] == [True, True, False, False]
    now = {item["id"] for item in await all_pages(api, root, f"/permissions/{code}/users")}
    assert now & {user_id for _, user_id, _ in cast} == {user_id for _, user_id, allowed in cast if allowed}
    later = {item["id"] for item in await all_pages(api, root, f"/permissions/{code}/users", at=moment(hours=2))}
    assert later == now | {cast[2][1]}
