"""Roles: made, read, changed, deleted; inheritance without cycles; what is in use or built in stays."""

import asyncio
from typing import Any

import httpx
import pytest

from auth_service.config import Settings
from auth_service.roles import repository
from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, patterns_of, put_grant, revoke, role_body
from tests.support.api import V1, Api, Tokens, error_of, unique

ROLES = f"{V1}/roles"


async def patch(api: Api, actor: Tokens, name: str, **changes: Any) -> httpx.Response:
    return await api.http.patch(f"{ROLES}/{name}", json=changes, headers=actor.bearer)


async def post(api: Api, actor: Tokens, body: dict[str, Any]) -> httpx.Response:
    return await api.http.post(ROLES, json=body, headers=actor.bearer)


async def delete(api: Api, actor: Tokens, name: str) -> httpx.Response:
    return await api.http.delete(f"{ROLES}/{name}", headers=actor.bearer)


async def read(api: Api, actor: Tokens, name: str) -> dict[str, Any]:
    response = await api.http.get(f"{ROLES}/{name}", headers=actor.bearer)
    assert response.status_code == 200, response.text
    role: dict[str, Any] = response.json()
    return role


async def test_life_of_a_role(api: Api) -> None:
    _, admin = await api.as_role("admin")
    name = unique("critic")
    body = {"name": name, "title": "Критик", "permissions": ["reviews:write", "films:read"], "parents": ["guest"]}
    created = await post(api, admin, body)
    assert created.status_code == 201
    shown = created.json()
    assert shown["permissions"] == ["films:read", "reviews:write"]
    assert (shown["title"], shown["description"], shown["built_in"], shown["parents"]) == (
        "Критик",
        "",
        False,
        ["guest"],
    )
    assert await read(api, admin, name) == shown

    changed = await patch(api, admin, name, title="Critic", permissions=["ratings:write"])
    assert changed.status_code == 200
    assert (changed.json()["title"], changed.json()["permissions"]) == ("Critic", ["ratings:write"])
    assert changed.json()["parents"] == ["guest"]  # what was not sent stays
    assert changed.json()["updated_at"] > shown["updated_at"]
    assert changed.json()["created_at"] == shown["created_at"]
    assert (await patch(api, admin, name, parents=[])).json()["parents"] == []

    assert (await delete(api, admin, name)).status_code == 204
    assert error_of(await api.http.get(f"{ROLES}/{name}", headers=admin.bearer)) == (404, "not_found")


async def test_list_has_the_roles_of_the_cinema(api: Api) -> None:
    _, admin = await api.as_role("admin")
    roles = {role["name"]: role for role in (await api.http.get(ROLES, headers=admin.bearer)).json()}
    assert roles.keys() >= {"guest", "viewer", "subscriber", "moderator", "content-manager", "admin", "superuser"}
    assert roles["superuser"]["built_in"] is True
    assert roles["superuser"]["permissions"] == ["*"]
    assert roles["admin"]["parents"] == ["content-manager", "moderator", "subscriber"]


async def test_changes_of_a_role_reach_those_who_have_it_and_its_children(api: Api) -> None:
    _, root = await api.as_role("superuser")
    first, second = await create_permission(api, root), await create_permission(api, root)
    parent = await create_role(api, root, first)
    child = await create_role(api, root, parents=(parent,))
    account, tokens = await api.as_role()
    await grant(api, root, account.id, child)
    assert (await api.check(tokens, first))["allowed"] is True
    await patch(api, root, parent, permissions=[second])
    assert (await api.check(tokens, first))["allowed"] is False
    assert (await api.check(tokens, second))["allowed"] is True
    await patch(api, root, child, parents=[])
    assert (await api.check(tokens, second))["allowed"] is False


async def test_what_one_role_gives_is_what_the_graph_of_all_says(api: Api) -> None:
    """Roles that meet again above, and one that gives nothing of its own."""
    _, root = await api.as_role("superuser")
    codes = [await create_permission(api, root) for _ in range(3)]
    top = await create_role(api, root, codes[0])
    left, right = [await create_role(api, root, code, parents=(top,)) for code in codes[1:]]
    bottom = await create_role(api, root, parents=(left, right))
    async with api.resources.db() as session:
        hierarchy = await repository.load_hierarchy(session)
        for name in (top, left, right, bottom, "superuser", "moderator", "viewer", "guest"):
            assert await repository.effective_patterns(session, name) == hierarchy.effective(name), name
        assert await repository.effective_patterns(session, bottom) == set(codes)
        assert await repository.effective_patterns(session, "nobody") == frozenset()


async def test_a_second_role_of_the_name_is_409(api: Api) -> None:
    _, admin = await api.as_role("admin")
    name = await create_role(api, admin)
    assert error_of(await post(api, admin, role_body(name=name))) == (409, "role_exists")
    assert error_of(await post(api, admin, role_body(name="superuser"))) == (409, "role_exists")


async def test_twenty_at_once_make_one_role(api: Api) -> None:
    _, admin = await api.as_role("admin")
    body = role_body("films:read")
    answers = await asyncio.gather(*(post(api, admin, body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Critic"},
        {"name": "c"},
        {"name": "1critic"},
        {"name": "critic_of_films"},
        {"name": "критик"},
        {"name": "c" * 65},
        {"name": ""},
        {"name": None},
        {"title": ""},
        {"title": "x" * 201},
        {"permissions": "films:read"},
        {"permissions": ["films"]},
        {"permissions": ["Films:read"]},
        {"permissions": ["films:re*"]},
        {"permissions": ["f*:read"]},
        {"permissions": ["*:*"]},
        {"permissions": ["films:read:all"]},
        {"permissions": ["films:read "]},
        {"permissions": ["films:.*"]},
        {"permissions": ["films:read"] * 501},
        {"permissions": ["films:unheard-of"]},
        {"permissions": ["unheard-of:*"]},
        {"parents": ["unheard-of"]},
        {"parents": ["guest", "unheard-of"]},
        {"parents": ["Guest"]},
        {"built_in": True},
        {"created_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_roles_with_wrong_fields_are_422(api: Api, change: dict[str, Any]) -> None:
    _, root = await api.as_role("superuser")
    body = role_body("films:read") | change
    assert error_of(await post(api, root, body)) == (422, "validation_error")
    if "name" not in change:
        name = await create_role(api, root, "films:read")
        assert error_of(await patch(api, root, name, **change)) == (422, "validation_error")
        assert (await read(api, root, name))["permissions"] == ["films:read"]


async def test_rbac_5_bare_star_is_for_the_built_in_role_only(api: Api) -> None:
    _, root = await api.as_role("superuser")
    assert error_of(await post(api, root, role_body("*"))) == (422, "validation_error")
    name = await create_role(api, root, "films:read")
    assert error_of(await patch(api, root, name, permissions=["*"])) == (422, "validation_error")
    service = {"name": unique("service"), "scopes": ["*"]}
    refused = await api.http.post(f"{V1}/services", json=service, headers=root.bearer)
    assert error_of(refused) == (422, "validation_error")


async def test_repeated_names_in_a_list_count_once(api: Api) -> None:
    _, admin = await api.as_role("admin")
    body = role_body("films:read", "films:read", parents=("guest", "guest"))
    created = await post(api, admin, body)
    assert (created.json()["permissions"], created.json()["parents"]) == (["films:read"], ["guest"])


async def test_unknown_roles_are_404(api: Api) -> None:
    _, root = await api.as_role("superuser")
    account = await api.create_user()
    for name in ("unheard-of", "UPPER", "%00", "..", "a b", "x" * 300):
        assert (await api.http.get(f"{ROLES}/{name}", headers=root.bearer)).status_code in {400, 404}
    assert error_of(await patch(api, root, "unheard-of", title="x")) == (404, "not_found")
    assert error_of(await delete(api, root, "unheard-of")) == (404, "not_found")
    assert error_of(await put_grant(api, root, account.id, "unheard-of")) == (404, "not_found")
    assert error_of(await revoke(api, root, account.id, "unheard-of")) == (404, "not_found")


async def test_rbac_4_built_in_role_is_immutable_even_for_a_superuser(api: Api) -> None:
    _, root = await api.as_role("superuser")
    before = await read(api, root, "superuser")
    changes: list[dict[str, Any]] = [{"title": "x"}, {"permissions": []}, {"parents": ["guest"]}, {}]
    for change in changes:
        assert error_of(await patch(api, root, "superuser", **change)) == (409, "role_built_in")
    assert error_of(await delete(api, root, "superuser")) == (409, "role_built_in")
    assert await read(api, root, "superuser") == before


async def test_rbac_4_role_in_use_cannot_be_deleted(api: Api) -> None:
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "films:read")
    child = await create_role(api, root, parents=(role,))
    account = await api.create_user()
    assert error_of(await delete(api, root, role)) == (409, "role_in_use")
    await patch(api, root, child, parents=[])
    await grant(api, root, account.id, role)
    assert error_of(await delete(api, root, role)) == (409, "role_in_use")
    assert (await revoke(api, root, account.id, role)).status_code == 204
    assert (await delete(api, root, role)).status_code == 204


async def test_rbac_4_role_that_new_users_get_cannot_be_deleted(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    _, root = await api.as_role("superuser")
    newcomer = await create_role(api, root, "films:read")
    configured = await fresh.on(shared_settings.model_copy(update={"default_role": newcomer}))
    assert error_of(await delete(configured, root, newcomer)) == (409, "role_in_use")


async def test_rbac_4_no_role_is_its_own_ancestor(api: Api) -> None:
    _, root = await api.as_role("superuser")
    first = await create_role(api, root)
    second = await create_role(api, root, parents=(first,))
    third = await create_role(api, root, parents=(second,))
    own_name = unique("role")
    assert error_of(await post(api, root, role_body(parents=(own_name,), name=own_name)))[0] in {409, 422}
    for role, parent in ((first, first), (first, second), (first, third), (second, third)):
        assert error_of(await patch(api, root, role, parents=[parent])) == (409, "role_cycle")
    assert (await read(api, root, first))["parents"] == []


async def test_rbac_4_opposite_links_at_once_never_close_a_cycle(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    replica = await fresh.on(shared_settings)
    _, root = await api.as_role("superuser")
    for _ in range(10):
        left, right = await create_role(api, root), await create_role(api, root)
        answers = await asyncio.gather(
            patch(api, root, left, parents=[right]), patch(replica, root, right, parents=[left])
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_rbac_4_ancestry_is_ten_deep_at_most(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    chain = [await create_role(api, root, code)]
    while len(chain) < 10:
        chain.append(await create_role(api, root, parents=(chain[-1],)))
    account, tokens = await api.as_role()
    await grant(api, root, account.id, chain[-1])
    assert (await api.check(tokens, code))["allowed"] is True
    assert error_of(await post(api, root, role_body(parents=(chain[-1],)))) == (409, "role_cycle")
    above = await create_role(api, root)
    assert error_of(await patch(api, root, chain[0], parents=[above])) == (409, "role_cycle")


@pytest.mark.long
async def test_rbac_4_delete_against_assign_leaves_one_consistent_outcome(
    api: Api, fresh: Fresh, shared_settings: Settings
) -> None:
    replica = await fresh.on(shared_settings)
    _, root = await api.as_role("superuser")
    account, tokens = await api.as_role()
    seen = set()
    for turn in range(24):
        role = await create_role(api, root, "payments:refund")
        calls = [put_grant(api, root, account.id, role), delete(replica, root, role)]
        ordered = calls if turn % 2 else calls[::-1]
        # Each of them is the first once. After that chance has its say.
        answers = [await call for call in ordered] if turn < 2 else await asyncio.gather(*ordered)
        granted, deleted = answers if turn % 2 else reversed(answers)
        outcome = (granted.status_code, deleted.status_code)
        assert outcome in {(200, 409), (404, 204)}
        seen.add(outcome)
        has_it = "payments:refund" in await patterns_of(api, tokens, account.id)
        exists = (await api.http.get(f"{ROLES}/{role}", headers=root.bearer)).status_code == 200
        assert has_it is exists is (outcome == (200, 409))
        if exists:
            await revoke(api, root, account.id, role)
    assert len(seen) == 2


async def test_permission_in_use_cannot_be_deleted(api: Api) -> None:
    _, root = await api.as_role("superuser")
    url = f"{V1}/permissions/"
    in_role, in_service, by_wildcard = [await create_permission(api, root) for _ in range(3)]
    role = await create_role(api, root, in_role)
    client_id, _ = await api.create_service(root, [in_service])
    await create_role(api, root, f"{by_wildcard.partition(':')[0]}:*")
    for code in (in_role, in_service):
        assert error_of(await api.http.delete(url + code, headers=root.bearer)) == (409, "permission_in_use")
    assert (await api.http.delete(url + by_wildcard, headers=root.bearer)).status_code == 204
    await delete(api, root, role)
    await api.http.delete(f"{V1}/services/{client_id}", headers=root.bearer)
    for code in (in_role, in_service):
        assert (await api.http.delete(url + code, headers=root.bearer)).status_code == 204
        assert error_of(await api.http.delete(url + code, headers=root.bearer)) == (404, "not_found")


async def test_life_of_a_permission(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = await create_permission(api, root)
    url = f"{V1}/permissions"
    again = await api.http.post(url, json={"code": code, "title": "x"}, headers=root.bearer)
    assert error_of(again) == (409, "permission_exists")
    changed = await api.http.patch(f"{url}/{code}", json={"title": "Новое"}, headers=root.bearer)
    assert (changed.json()["title"], changed.json()["code"]) == ("Новое", code)
    listed = (await api.http.get(url, headers=root.bearer)).json()
    assert [item["code"] for item in listed] == sorted(item["code"] for item in listed)
    assert changed.json() in listed
    assert (await api.http.get(f"{url}/{code}", headers=root.bearer)).json() == changed.json()
    for wrong in (
        "Films:read",
        "films:*",
        "*",
        "films",
        "films:read:all",
        "-films:read",
        "f:" + "x" * 64,
    ):
        refused = await api.http.post(url, json={"code": wrong, "title": "x"}, headers=root.bearer)
        assert error_of(refused) == (422, "validation_error"), wrong


@pytest.mark.parametrize(("typed", "expected"), [("5", 5), ("5.0", 5), ("1e3", 1000), ("5.5", None), ("true", None)])
async def test_a_whole_number_is_one_in_each_spelling(api: Api, typed: str, expected: int | None) -> None:
    """JSON Schema section 4.2.3: 5.0 is an integer."""
    _, admin = await api.as_role("superuser")
    body = f'{{"name": "{unique("role")}", "title": "Five", "session_limit": {typed}}}'
    headers = {"Content-Type": "application/json", **admin.bearer}
    answer = await api.http.post(f"{V1}/roles", content=body, headers=headers)
    assert answer.status_code == (422 if expected is None else 201), answer.text
    assert answer.json().get("session_limit") == expected
