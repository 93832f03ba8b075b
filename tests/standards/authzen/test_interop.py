"""The public interop scenarios of the AuthZEN working group, by their own decision files, as far as roles alone decide.

What is asked is put into our names (see `World.ours`); in the Todo application what an editor may do to a todo depends
on who owns it, which no role says, so those questions are left out. In the search scenario it is so with each record;
there a record is a type of its own, and a user's role has what the tables of the scenario give.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.api import Api
from tests.support.authzen_world import World, world_of

FILES = Path(__file__).parent / "interop"
RICK, MORTY, SUMMER, BETH, JERRY = (
    f"CiRmZD{letter}2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs" for letter in "AEIMQ"
)
EDITORS = {MORTY, SUMMER}


def cases(name: str, kind: str) -> list[tuple[dict[str, Any], Any]]:
    found = json.loads((FILES / name).read_text(encoding="utf-8"))[kind]
    return [(case["request"], case["expected"]) for case in found]


@pytest.fixture(scope="module")
async def todo(api: Api) -> World:
    viewer = ["todo:can-read-todos", "user:can-read-user"]
    editor = [*viewer, "todo:can-create-todo"]
    actions = ["can-read-todos", "can-create-todo", "can-update-todo", "can-delete-todo"]
    return await world_of(
        api,
        {"todo": actions, "user": ["can-read-user"]},
        {
            RICK: [*editor, "todo:can-update-todo", "todo:can-delete-todo"],
            MORTY: editor,
            SUMMER: editor,
            BETH: viewer,
            JERRY: viewer,
        },
    )


def by_role(request: dict[str, Any]) -> bool:
    owned = {"can_update_todo", "can_delete_todo"}
    return not (request["subject"]["id"] in EDITORS and request["action"]["name"] in owned)


async def test_the_todo_application(todo: World) -> None:
    asked = [case for case in cases("todo.json", "evaluation") if by_role(case[0])]
    assert len(asked) == 32
    for request, expected in asked:
        assert await todo.decision("evaluation", request) is expected, request


async def test_the_todo_application_in_one_call(todo: World) -> None:
    asked = [case for case in cases("todo.json", "evaluations") if by_role(case[0])]
    assert len(asked) == 2
    for request, expected in asked:
        assert await todo.decision("evaluations", request) == [item["decision"] for item in expected]


async def test_api_gateways(api: Api) -> None:
    viewer = ["route:get"]
    editor = [*viewer, "route:post", "route:put", "route:delete"]
    gateway = await world_of(
        api,
        {"route": ["get", "post", "put", "delete"]},
        {RICK: ["route:*"], MORTY: editor, SUMMER: editor, BETH: viewer, JERRY: viewer},
    )
    asked = cases("api_gateway.json", "evaluation")
    assert len(asked) == 25
    for request, expected in asked:
        assert await gateway.decision("evaluation", request) is expected, request


@pytest.mark.long
async def test_the_searches(api: Api) -> None:
    """By id, whatever the scenario calls them; it fixes no order."""
    actions, subjects = (cases(f"search_{kind}.json", "evaluation") for kind in ("action", "subject"))
    assert (len(actions), len(subjects)) == (120, 60)
    may: dict[str, list[str]] = {}
    for request, expected in actions:
        found = may.setdefault(request["subject"]["id"], [])
        found += [f"record-{request['resource']['id']}:{one['name']}" for one in expected["results"]]
    records = {f"record-{number}": ["view", "edit", "delete"] for number in range(101, 121)}
    world = await world_of(api, records, may)
    for request, expected in actions:
        assert await results(world, "action", request) == sorted(one["name"] for one in expected["results"])
    cast = {account.id: name for name, account in world.people.items()}
    for request, expected in subjects:
        found = [cast[user] for one in await results(world, "subject", request) if (user := UUID(one)) in cast]
        assert sorted(found) == [one["id"] for one in expected["results"]]


async def results(world: World, kind: str, request: dict[str, Any]) -> list[str]:
    resource = {"type": f"record-{request['resource']['id']}", "id": "1"}
    response = await world.ask(f"search/{kind}", world.ours({**request, "resource": resource}))
    assert response.status_code == 200, response.text
    return [one["name"] if kind == "action" else one["id"] for one in response.json()["results"]]
