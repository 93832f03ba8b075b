"""The examples of the Authorization API 1.0 (The OpenID Foundation), each with the answer that stands there.

A document of its own, where the answers differ by it, is a type of its own here: a role knows no single resource.
"""

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.authzen_world import World, world_of

ALICE = {"type": "user", "id": "alice@example.com"}
ACCOUNT = {"type": "account", "id": "123"}
CAN_READ, CAN_EDIT = {"name": "can_read"}, {"name": "can_edit"}
BOXCARRING, SUBJECTS, RESOURCES = (
    {"type": "document", "id": f"{name}.md"} for name in ("boxcarring", "subject-search", "resource-search")
)
TIME = {"time": "2024-05-31T15:22-07:00"}
REQUEST_ID = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"


@pytest.fixture(scope="module")
async def world(api: Api) -> World:
    things = {
        "account": ["can-read", "can-write"],
        "document": ["can-read", "can-edit"],
        "todo": ["can-read"],
        "document-1": ["read"],
        "document-2": ["read"],
        "document-3": ["read"],
    }
    alice = ["account:*", "document:can-read", "todo:can-read", "document-1:read", "document-3:read"]
    return await world_of(api, things, {"alice@example.com": alice, "bob@example.com": ["account:can-read"]})


@pytest.mark.parametrize(
    "body",
    [
        {
            "subject": ALICE,
            "resource": ACCOUNT,
            "action": {**CAN_READ, "properties": {"method": "GET"}},
            "context": {"time": "1985-10-26T01:22-07:00"},
        },
        {
            "subject": {**ALICE, "properties": {"ip_address": "172.217.22.14", "device_id": "8:65:ee:17:7e:0b"}},
            "resource": {**ACCOUNT, "properties": {"library_record": {"title": "AuthZEN in Action"}}},
            "action": CAN_READ,
            "context": {**TIME, "schema": "https://schema.example.com/access-request.schema.json"},
        },
        {"subject": ALICE, "resource": {"type": "todo", "id": "1"}, "action": CAN_READ, "context": TIME},
    ],
    ids=["6.1", "5.1 to 5.4", "10.1.4"],
)
async def test_evaluation(world: World, body: dict[str, Any]) -> None:
    response = await world.ask("evaluation", world.ours(body), **{"X-Request-ID": REQUEST_ID})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["x-request-id"] == REQUEST_ID
    assert response.json()["decision"] is True


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "evaluations": [
                    {"subject": ALICE, "action": CAN_READ, "resource": one, "context": TIME}
                    for one in (BOXCARRING, SUBJECTS, RESOURCES)
                ]
            },
            [True, True, True],
        ),
        (
            {
                "subject": ALICE,
                "context": TIME,
                "evaluations": [{"action": CAN_READ, "resource": one} for one in (BOXCARRING, SUBJECTS, RESOURCES)],
            },
            [True, True, True],
        ),
        (
            {
                "subject": ALICE,
                "context": TIME,
                "action": CAN_READ,
                "evaluations": [
                    {"resource": BOXCARRING},
                    {"resource": SUBJECTS},
                    {"action": CAN_EDIT, "resource": RESOURCES},
                ],
            },
            [True, True, False],
        ),
        (
            {
                "evaluations": [{"resource": {"type": "doc", "id": "1"}, "subject": {"type": "doc", "id": "2"}}],
                "options": {"evaluations_semantic": "execute_all", "another_option": "value"},
            },
            [False],  # it names no action
        ),
    ],
    ids=["7.1", "7.1.1 subject", "7.1.1 action", "7.1.2"],
)
async def test_evaluations(world: World, body: dict[str, Any], expected: list[bool]) -> None:
    assert await world.decision("evaluations", body) == expected


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
async def test_semantics(world: World, semantic: str, expected: list[bool]) -> None:
    body = {
        "subject": ALICE,
        "action": {"name": "read"},
        "options": {"evaluations_semantic": semantic},
        "evaluations": [{"resource": {"type": f"document-{number}", "id": f"{number}"}} for number in (1, 2, 3)],
    }
    assert await world.decision("evaluations", body) == expected


AT_NIGHT = {"time": "2024-10-26T01:22-07:00"}
WHO = {"subject": {"type": "user"}, "action": CAN_READ, "resource": ACCOUNT}
WHICH = {"subject": ALICE, "action": CAN_READ, "resource": {"type": "account"}}
WHAT = {"subject": ALICE, "resource": ACCOUNT, "context": AT_NIGHT}
BOTH = ["alice@example.com", "bob@example.com"]
ACTIONS = {"page": {"next_token": "", "count": 2}, "results": [{"name": "can-read"}, {"name": "can-write"}]}
NO_ACCOUNTS = {"page": {"next_token": "", "count": 0}, "context": {"reason": "granted"}, "results": []}
# By section, each request and its answer; that of a subject search as far as it is about people of the examples. The
# examples have resources with ids, which are not known here.
SEARCHES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "8.2.3 first page": ("resource", {**WHICH, "page": {"limit": 2}}, NO_ACCOUNTS),
    "8.2.3 second page": ("resource", {**WHICH, "page": {"token": "a3M9NDU2O3N6PTI="}}, 400),  # of another service
    "8.4": ("subject", {**WHO, "context": AT_NIGHT}, BOTH),
    "8.5": ("resource", WHICH, NO_ACCOUNTS),
    "8.6": ("action", WHAT, ACTIONS),
    "10.1.4 subject": ("subject", WHO, BOTH),
    "10.1.4 resource": ("resource", WHICH, NO_ACCOUNTS),
    "10.1.4 action": ("action", WHAT, ACTIONS),
}


@pytest.mark.parametrize("section", SEARCHES)
async def test_searches(world: World, section: str) -> None:
    kind, body, expected = SEARCHES[section]
    response = await world.ask(f"search/{kind}", world.ours(body), **{"X-Request-ID": REQUEST_ID})
    assert response.headers["x-request-id"] == REQUEST_ID
    assert response.headers["content-type"] == "application/json"
    if expected == 400:
        assert (response.status_code, response.json()["error"]) == (400, "validation_error")
    elif kind == "subject":
        known = {str(account.id): name for name, account in world.people.items()}
        found = response.json()["results"]
        assert {one["type"] for one in found} == {"user"}
        assert [known[one["id"]] for one in found if one["id"] in known] == expected
    else:
        assert response.json() == expected


async def test_a_subject_search_of_two_pages(world: World) -> None:
    whole = (await world.ask("search/subject", world.ours(WHO))).json()
    first = (await world.ask("search/subject", world.ours({**WHO, "page": {"limit": 2}}))).json()
    assert first["page"]["count"] == 2
    rest = {**WHO, "page": {"token": first["page"]["next_token"]}}
    second = (await world.ask("search/subject", world.ours(rest))).json()
    assert [*first["results"], *second["results"]] == whole["results"][:4]


async def test_the_examples_as_they_stand_are_understood(world: World) -> None:
    """No permission has a name with an underscore, and no account is called alice@example.com: a no, and no error."""
    seeing = await world.api.service_token(
        *await world.api.create_service(world.root, ["permissions:check", "users:write"])
    )
    body = {"subject": ALICE, "action": CAN_READ, "resource": ACCOUNT}
    for path in ("evaluation", "evaluations", "search/subject", "search/resource", "search/action"):
        response = await world.ask(path, body, **seeing)
        assert response.status_code == 200
        assert response.json().get("results", []) == []
    assert (await world.ask("evaluation", body, **seeing)).json()["decision"] is False
