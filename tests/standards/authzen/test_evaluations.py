"""Many evaluations in one call: defaults, the three semantics, and items that are wrong."""

from typing import Any

import pytest

from tests.support.api import Api, error_of
from tests.support.authzen_world import World, world_of

ALICE = {"type": "user", "id": "alice"}
YES = {"action": {"name": "read"}, "resource": {"type": "record", "id": "1"}}
NO = {"action": {"name": "write"}, "resource": {"type": "record", "id": "1"}}
WRONG = {"action": {"name": "read"}, "resource": {"type": "record"}}
GRANTED = {"decision": True, "context": {"reason": "granted"}}
DENIED = {"decision": False, "context": {"reason": "no_grant"}}
FAILED = {"decision": False, "context": {"error": {"status": 400, "message": "resource.id is required"}}}


@pytest.fixture(scope="module")
async def world(api: Api) -> World:
    return await world_of(api, {"record": ["read", "write"], "film": ["read"]}, {"alice": ["record:read"]})


async def answers(world: World, body: dict[str, Any]) -> Any:
    response = await world.ask("evaluations", world.ours(body))
    assert response.status_code == 200, response.text
    assert response.json().keys() == {"evaluations"}  # section 7.2: no `decision` beside them
    return response.json()["evaluations"]


@pytest.mark.parametrize(
    ("semantic", "items", "expected"),
    [
        ("execute_all", [YES, NO, WRONG, YES], [GRANTED, DENIED, FAILED, GRANTED]),
        (None, [NO, YES, NO], [DENIED, GRANTED, DENIED]),
        ("deny_on_first_deny", [YES, NO, YES], [GRANTED, DENIED]),
        ("deny_on_first_deny", [YES, WRONG, YES], [GRANTED, FAILED]),
        ("deny_on_first_deny", [YES, YES], [GRANTED, GRANTED]),
        ("deny_on_first_deny", [NO, YES], [DENIED]),
        ("permit_on_first_permit", [YES, NO, YES], [GRANTED]),
        ("permit_on_first_permit", [NO, WRONG, YES, NO], [DENIED, FAILED, GRANTED]),
        ("permit_on_first_permit", [NO, NO], [DENIED, DENIED]),
    ],
)
async def test_semantics(world: World, semantic: str | None, items: list[Any], expected: list[Any]) -> None:
    options = {"options": {"evaluations_semantic": semantic, "another_option": "value"}} if semantic else {}
    assert await answers(world, {"subject": ALICE, "evaluations": items, **options}) == expected


@pytest.mark.parametrize("options", [{}, {"evaluations_semantic": None}, None, {"other": 1}])
async def test_options_may_be_empty(world: World, options: Any) -> None:
    assert await answers(world, {"subject": ALICE, "evaluations": [NO, YES], "options": options}) == [DENIED, GRANTED]


@pytest.mark.parametrize("options", [{"evaluations_semantic": "all"}, {"evaluations_semantic": 1}, "execute_all", []])
async def test_a_semantic_that_is_none_is_a_400(world: World, options: Any) -> None:
    response = await world.ask("evaluations", {"subject": ALICE, "evaluations": [YES], "options": options})
    assert error_of(response) == (400, "validation_error")


async def test_a_key_of_an_item_replaces_the_default_whole(world: World) -> None:
    """Nothing of the default shows through: an item's resource without an id has none."""
    body = {
        "subject": ALICE,
        **YES,
        "evaluations": [
            {},
            {"action": {"name": "write"}},
            {"resource": {"type": "record"}},
            {"resource": {"id": "1"}},
            {"resource": None},
            {"subject": {"type": "user", "id": "nobody-of-this-name"}},
            {"resource": {"type": "film", "id": "1"}, "future": {"nested": True}},
        ],
    }
    told = await answers(world, body)
    assert told[:3] == [GRANTED, DENIED, FAILED]
    assert told[3]["context"]["error"]["message"] == "resource.type is required"
    assert told[4:] == [GRANTED, DENIED, DENIED]


async def test_a_default_that_every_item_replaces_may_be_anything(world: World) -> None:
    """The Todo application of the working group sends an empty one."""
    assert await answers(world, {"subject": ALICE, "resource": {}, "evaluations": [YES, NO]}) == [GRANTED, DENIED]


@pytest.mark.parametrize("item", [None, 5, "read", [], True])
async def test_an_item_that_is_no_object_is_denied(world: World, item: Any) -> None:
    wrong = {"decision": False, "context": {"error": {"status": 400, "message": "the item must be a JSON object"}}}
    assert await answers(world, {"subject": ALICE, **YES, "evaluations": [item, {}]}) == [wrong, GRANTED]


@pytest.mark.parametrize(
    "wrong",
    [{"subject": "alice"}, {"context": 1}, {"evaluations": {}}, {"evaluations": "all"}, {"evaluations": [{}] * 1001}],
)
async def test_what_is_wrong_for_all_is_a_400(world: World, wrong: dict[str, Any]) -> None:
    body = {"subject": ALICE, **YES, "evaluations": [{}], **wrong}
    assert error_of(await world.ask("evaluations", body)) == (400, "validation_error")


@pytest.mark.parametrize("evaluations", [[], None])
async def test_without_items_it_is_one_evaluation(world: World, evaluations: Any) -> None:
    response = await world.ask("evaluations", world.ours({"subject": ALICE, **YES, "evaluations": evaluations}))
    assert response.json() == GRANTED


async def test_a_thousand_at_once(world: World) -> None:
    told = await answers(world, {"subject": ALICE, "evaluations": [YES, NO] * 500})
    assert told == [GRANTED, DENIED] * 500


async def test_users_and_services_in_one_call(world: World) -> None:
    nobody = {"type": "service", "id": "nobody"}
    subjects = [{"subject": subject} for subject in (nobody, ALICE, {"type": "spaceship", "id": "x"}, nobody, ALICE)]
    told = await answers(world, {**YES, "evaluations": subjects})
    assert told == [DENIED, GRANTED, DENIED, DENIED, GRANTED]
