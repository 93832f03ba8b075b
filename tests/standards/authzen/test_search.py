"""Searches: everybody whom an evaluation would allow and nobody else, page by page."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest

from auth_service.models import User, UserRole, new_id
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Api, error_of, unique
from tests.support.authzen_world import World, world_of


@pytest.fixture(scope="module")
async def world(api: Api) -> World:
    return await world_of(api, {"record": ["read", "write", "burn"]}, {})


def asked(code: str, **more: Any) -> dict[str, Any]:
    resource, _, action = code.partition(":")
    return {
        "subject": {"type": "user"},
        "action": {"name": action},
        "resource": {"type": resource, "id": "1"},
        **more,
    }


async def pages(world: World, path: str, body: dict[str, Any], limit: int | None = None) -> list[list[Any]]:
    """Walked to their end; a token takes the limit along."""
    found, page = [], {} if limit is None else {"limit": limit}
    while True:
        response = await world.ask(path, {**body, "page": page})
        assert response.status_code == 200, response.text
        answer = response.json()
        assert next(iter(answer)) == "page"  # section 8.3 recommends it
        assert answer["page"]["count"] == len(answer["results"])
        found.append(answer["results"])
        if not answer["page"]["next_token"]:
            return found
        page = {"token": answer["page"]["next_token"]}


async def test_all_whom_an_evaluation_allows_and_nobody_else(world: World) -> None:
    """Grants through parents and by wildcards; none that is over, or to come, or of a disabled account."""
    api, root = world.api, world.root
    code = await create_permission(api, root)
    parent = await create_role(api, root, code)
    roles = {
        "own": parent,
        "child": await create_role(api, root, parents=(parent,)),
        "grandchild": await create_role(api, root, parents=(await create_role(api, root, parents=(parent,)),)),
        "wildcard": await create_role(api, root, f"{code.partition(':')[0]}:*"),
        "other": await create_role(api, root, f"{world.types['record']}:read"),
    }
    people = {name: (await api.create_user()).id for name in (*roles, "ended", "to come", "disabled", "twice")}
    for name, role in roles.items():
        await grant(api, root, people[name], role)
    await grant(api, root, people["ended"], parent, valid_from=moment(days=-2), valid_until=moment(days=-1))
    await grant(api, root, people["to come"], parent, valid_from=moment(days=1))
    await grant(api, root, people["twice"], parent, valid_until=moment(days=1))
    await grant(api, root, people["twice"], roles["child"])
    await grant(api, root, people["disabled"], parent)
    body = {"is_active": False, "reason": "a test"}
    disabled = await api.http.patch(f"{V1}/admin/users/{people['disabled']}", json=body, headers=root.bearer)
    assert disabled.status_code == 200, disabled.text
    found = {one["id"] for page in await pages(world, "search/subject", asked(code)) for one in page}
    allowed = set()
    for user_id in people.values():
        evaluation = asked(code, subject={"type": "user", "id": str(user_id)})
        if (await world.ask("evaluation", evaluation)).json()["decision"]:
            allowed.add(str(user_id))
    assert allowed == {str(people[name]) for name in ("own", "child", "grandchild", "wildcard", "twice")}
    assert found & {str(user_id) for user_id in people.values()} == allowed
    for user_id in found - allowed:  # superusers of other tests
        evaluation = asked(code, subject={"type": "user", "id": user_id})
        assert (await world.ask("evaluation", evaluation)).json()["decision"] is True


async def many_with(world: World, role: str, count: int) -> list[str]:
    now = moment(days=-1)
    names = [unique("crowd") for _ in range(count)]
    users = [
        User(
            id=new_id(), login=name, login_key=name, email=f"{name}@x.org", email_key=f"{name}@x.org", password_hash="-"
        )
        for name in names
    ]
    async with world.api.resources.db.begin() as session:
        session.add_all(users)
        await session.flush()
        session.add_all([UserRole(user_id=user.id, role_name=role, valid_from=now, granted_at=now) for user in users])
    return [str(user.id) for user in users]


@pytest.mark.parametrize("limit", [999, 5000, None])
async def test_pages_of_some_thousands(world: World, limit: int | None, crowd: tuple[str, list[str]]) -> None:
    """Each once, in their order, on pages of at most 1,000 and usually 100."""
    code, users = crowd
    found = await pages(world, "search/subject", asked(code), limit)
    ids = [one["id"] for page in found for one in page]
    assert ids == sorted(ids, key=UUID)
    assert [user_id for user_id in ids if user_id in set(users)] == users
    assert {len(page) for page in found[:-1]} == {{999: 999, 5000: 1000, None: 100}[limit]}


@pytest.fixture(scope="module")
async def crowd(world: World) -> tuple[str, list[str]]:
    code = await create_permission(world.api, world.root)
    return code, await many_with(world, await create_role(world.api, world.root, code), 2100)


async def test_services_by_their_scopes(world: World) -> None:
    record = world.types["record"]
    ids = {}
    for scopes in (f"{record}:read", f"{record}:*", f"{record}:write"):
        client_id, _ = await world.api.create_service(world.root, [scopes])
        ids[scopes] = client_id
    body = asked(f"{record}:read", subject={"type": "service"})
    for limit in (None, 1):
        found = [one for page in await pages(world, "search/subject", body, limit) for one in page]
        assert found == [{"type": "service", "id": ids[scopes]} for scopes in (f"{record}:read", f"{record}:*")]
    client = {"type": "service", "id": ids[f"{record}:*"]}
    actions = await pages(world, "search/action", {"subject": client, "resource": {"type": record, "id": "1"}})
    assert actions == [[{"name": "burn"}, {"name": "read"}, {"name": "write"}]]


async def test_pages_of_actions(world: World) -> None:
    record = world.types["record"]
    account = await world.api.create_user()
    await grant(world.api, world.root, account.id, await create_role(world.api, world.root, f"{record}:*"))
    body = {"subject": {"type": "user", "id": account.login}, "resource": {"type": record, "id": "1"}}
    assert await pages(world, "search/action", body, 2) == [[{"name": "burn"}, {"name": "read"}], [{"name": "write"}]]
    # The name of a type is no pattern.
    for odd in ("%", f"{record[:-1]}_", "record:", "\x00"):
        assert await pages(world, "search/action", {**body, "resource": {"type": odd, "id": "1"}}) == [[]]


async def test_a_page_of_nothing_leads_to_the_first(world: World, crowd: tuple[str, list[str]]) -> None:
    body = asked(crowd[0])
    nothing = (await world.ask("search/subject", {**body, "page": {"limit": 0}})).json()
    assert nothing["results"] == []
    assert nothing["page"]["next_token"]
    again = (await world.ask("search/subject", {**body, "page": {"token": nothing["page"]["next_token"]}})).json()
    assert again == nothing


async def token_of(world: World, body: dict[str, Any]) -> str:
    answer = (await world.ask("search/subject", {**body, "page": {"limit": 2}})).json()
    return str(answer["page"]["next_token"])


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"type": "service"}},
        {"action": {"name": "other"}},
        {"resource": {"type": "films", "id": "1"}},
        {"resource": {"type": "record", "id": "2"}},
        {"context": {"time": "now"}},
        {"subject": {"type": "user", "properties": {"department": "Sales"}}},
        {"page": {"limit": 3}},
        {"page": {"limit": 2000}},
    ],
)
async def test_a_token_is_good_for_the_question_that_it_was_given_for(
    world: World, crowd: tuple[str, list[str]], change: dict[str, Any]
) -> None:
    token = await token_of(world, asked(crowd[0]))
    changed = {**asked(crowd[0]), **change}
    changed["page"] = {"token": token, **change.get("page", {})}
    assert error_of(await world.ask("search/subject", changed)) == (400, "validation_error")


async def test_what_is_ignored_may_change(world: World, crowd: tuple[str, list[str]]) -> None:
    body = asked(crowd[0])
    token = await token_of(world, body)
    same = {**body, "subject": {"id": "ignored", "type": "user"}, "future": 1, "page": {"limit": 2, "token": token}}
    assert (await world.ask("search/subject", same)).status_code == 200
    elsewhere = {**body, "subject": {"type": "user", "id": "x"}, "page": {"token": token}}
    assert error_of(await world.ask("search/resource", elsewhere)) == (400, "validation_error")


def made_up(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


DEEP = base64.urlsafe_b64encode(b"[" * 290).decode()


@pytest.mark.parametrize(
    "token", ["junk", "====", "я", "a" * 401, "W10=", DEEP, *map(made_up, ({}, [1, 2], "abc", None))]
)
async def test_a_token_that_nobody_gave_is_a_400(world: World, crowd: tuple[str, list[str]], token: str) -> None:
    response = await world.ask("search/subject", asked(crowd[0], page={"token": token}))
    assert error_of(response) == (400, "validation_error")


async def test_a_token_that_was_changed_is_a_400(world: World, crowd: tuple[str, list[str]]) -> None:
    body = asked(crowd[0])
    limit, last, question = json.loads(base64.urlsafe_b64decode(await token_of(world, body)))
    changed = [[wrong, last, question] for wrong in (-1, 1001, True, "1", None, 1.5)]
    changed += [[limit, wrong, question] for wrong in (5, [], "junk", "\x00")]
    changed += [[limit, last, wrong] for wrong in ("", question[1:], None, 5, [])]
    for value in changed:
        response = await world.ask("search/subject", {**body, "page": {"token": made_up(value)}})
        assert error_of(response) == (400, "validation_error"), value


@pytest.mark.parametrize("page", [5, [], "x", {"limit": -1}, {"limit": 1.5}, {"limit": True}, {"token": 5}])
async def test_a_page_that_is_wrong_is_a_400(world: World, page: Any) -> None:
    for path in ("search/subject", "search/resource", "search/action"):
        body = asked("films:watch", subject={"type": "user", "id": "x"}, page=page)
        assert error_of(await world.ask(path, body)) == (400, "validation_error")


@pytest.mark.parametrize("page", [None, {}, {"token": ""}, {"token": None, "limit": 2.0, "properties": {}, "x": 1}])
async def test_a_page_may_be_empty(world: World, page: Any) -> None:
    assert (await world.ask("search/subject", asked("films:watch", page=page))).status_code == 200


async def test_a_resource_search_says_whether_all_of_the_type_are_allowed(world: World) -> None:
    record = world.types["record"]
    account = await world.api.create_user()
    until = moment(days=1).replace(microsecond=0)
    role = await create_role(world.api, world.root, f"{record}:read")
    await grant(world.api, world.root, account.id, role, valid_until=until)
    for action, context in (
        ("read", {"reason": "granted", "valid_until": until.isoformat().replace("+00:00", "Z")}),
        ("write", {"reason": "no_grant"}),
    ):
        body = {
            "subject": {"type": "user", "id": str(account.id)},
            "action": {"name": action},
            "resource": {"type": record},
        }
        answer = (await world.ask("search/resource", body)).json()
        assert answer == {"page": {"next_token": "", "count": 0}, "context": context, "results": []}
