"""The certification scenario of the AuthZEN working group: Basic, Batch and Search Core, and Discovery.

Its sections are named. Two things of it we cannot do, and say so here: results name a user by id, where the scenario
looks for the login that it asked by; and a resource search names no resource.
"""

from typing import Any

import httpx
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh
from tests.support.api import Api
from tests.support.authzen_world import ACCESS, World, world_of

ALICE, BOB = {"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}
READ, WRITE = {"name": "read"}, {"name": "write"}
RECORD, SECOND = {"type": "record", "id": "record-1"}, {"type": "record", "id": "record-2"}
ONE = {"subject": ALICE, "action": READ, "resource": RECORD}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}


@pytest.fixture(scope="module")
async def world(api: Api) -> World:
    things = {"record": ["read", "write", "delete"]}
    return await world_of(api, things, {"alice": ["record:read", "record:write"], "bob": ["record:read"]})


def without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    key, *rest = path
    if rest:
        return {**body, key: without(body[key], *rest)}
    return {name: value for name, value in body.items() if name != key}


PROPERTIES = {
    "subject": {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
    "action": {**READ, "properties": {"method": "GET"}},
    "resource": {**RECORD, "properties": {"status": "active", "owner": "bob"}},
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ONE, True),
        ({**ONE, "action": WRITE}, True),
        ({**ONE, "subject": BOB}, True),
        ({**ONE, "subject": BOB, "action": WRITE}, False),
        ({**ONE, "context": CONTEXT}, True),
        (PROPERTIES, True),
        ({**ONE, "foo": "bar", "futureField": {"nested": True}}, True),
        ({**ONE, "subject": {**ALICE, "future": 1}, "resource": {**RECORD, "future": None}}, True),
    ],
    ids=["rule 1", "rule 2", "rule 3", "rule 4", "context", "properties", "unknown fields", "unknown fields within"],
)
async def test_basic_core(world: World, body: dict[str, Any], expected: bool) -> None:
    for _ in range(2):  # section "Idempotency"
        assert await world.decision("evaluation", body) is expected


WRONG = [
    *(without(ONE, key) for key in ONE),
    *(without(ONE, *path) for path in (("subject", "type"), ("subject", "id"), ("action", "name"))),
    *(without(ONE, "resource", key) for key in RECORD),
    {**ONE, "subject": "alice"},
    {**ONE, "action": {"name": 123}},
]


@pytest.mark.parametrize("body", WRONG)
@pytest.mark.parametrize("path", ["evaluation", "evaluations"])
async def test_basic_core_a_wrong_request_is_a_400(world: World, path: str, body: dict[str, Any]) -> None:
    response = await world.ask(path, world.ours(body))
    assert (response.status_code, response.json()["error"]) == (400, "validation_error")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b'{"a": 1}', "text/plain"), (b'{"a": 1}', None), (b'{"a"', "application/json"), (b"", "application/json")],
    ids=["media type", "no media type", "malformed", "empty"],
)
@pytest.mark.parametrize("path", ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"])
async def test_basic_core_what_is_no_json_is_a_400(
    world: World, path: str, content: bytes, media_type: str | None
) -> None:
    headers = world.pep | ({"content-type": media_type} if media_type else {})
    response = await world.api.http.post(f"{ACCESS}/{path}", content=content, headers=headers)
    assert response.status_code == 400, response.text


async def test_basic_core_the_request_id_comes_back(world: World) -> None:
    given = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    response = await world.ask("evaluation", world.ours(ONE), **{"X-Request-ID": given})
    assert response.headers["x-request-id"] == given
    assert (await world.ask("evaluation", world.ours(ONE))).headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**without(ONE, "resource"), "evaluations": [{"resource": RECORD}, {"resource": SECOND}]}, [True, True]),
        (
            {"subject": BOB, "resource": RECORD, "evaluations": [{"action": READ}, {"action": WRITE}]},
            [True, False],
        ),
        ({"evaluations": [ONE, {"subject": BOB, "action": WRITE, "resource": RECORD}]}, [True, False]),
        (
            {
                **without(ONE, "resource"),
                "context": CONTEXT,
                "evaluations": [{"resource": RECORD}, {"resource": SECOND, "context": {"source": "override"}}],
            },
            [True, True],
        ),
        (
            {
                **without(ONE, "resource"),
                "options": {"evaluations_semantic": "execute_all"},
                "evaluations": [{"resource": RECORD}, {}],
            },
            [True, False],
        ),
        (ONE, True),
        ({**ONE, "evaluations": []}, True),
        ({**ONE, "evaluations": [{}, {"action": {"name": "delete"}}]}, [True, False]),
    ],
    ids=["array", "order", "no defaults", "context", "an item is wrong", "no array", "empty array", "an empty item"],
)
async def test_batch_core(world: World, body: dict[str, Any], expected: Any) -> None:
    assert await world.decision("evaluations", body) == expected


WHO = {"subject": {"type": "user"}, "action": READ, "resource": RECORD}
WHAT = {"subject": ALICE, "resource": RECORD}
WHICH = {"subject": ALICE, "action": READ, "resource": {"type": "record"}}


async def found(world: World, path: str, body: dict[str, Any]) -> list[dict[str, str]]:
    """On every page: the tests before these left people who may do everything."""
    results: list[dict[str, str]] = []
    token = None
    while token != "":
        response = await world.ask(path, world.ours(body if token is None else {**body, "page": {"token": token}}))
        assert response.status_code == 200, response.text
        results += response.json()["results"]
        token = response.json()["page"]["next_token"]
    return results


@pytest.mark.parametrize(
    "body", [WHO, {**WHO, "context": CONTEXT}, {**WHO, "subject": ALICE}], ids=["plain", "context", "an id is ignored"]
)
async def test_search_core_subjects(world: World, body: dict[str, Any]) -> None:
    expected = [{"type": "user", "id": str(world.people[name].id)} for name in ("alice", "bob")]
    assert [one for one in await found(world, "search/subject", body) if one in expected] == expected


@pytest.mark.parametrize("body", [WHAT, {**WHAT, "context": CONTEXT}], ids=["plain", "context"])
async def test_search_core_actions(world: World, body: dict[str, Any]) -> None:
    assert await found(world, "search/action", body) == [READ, WRITE]


@pytest.mark.parametrize(
    "body", [WHICH, {**WHICH, "context": CONTEXT}, {**WHICH, "resource": RECORD}], ids=["plain", "context", "id"]
)
async def test_search_core_resources_are_not_known_by_id(world: World, body: dict[str, Any]) -> None:
    """And the answer says that all of them are allowed."""
    response = await world.ask("search/resource", world.ours(body))
    assert response.status_code == 200
    assert response.json() == {
        "page": {"next_token": "", "count": 0},
        "context": {"reason": "granted"},
        "results": [],
    }


async def test_search_core_pages(world: World) -> None:
    first = (await world.ask("search/subject", world.ours({**WHO, "page": {"limit": 1}}))).json()
    assert first["page"]["count"] == len(first["results"]) == 1
    seen = first["results"]
    token = first["page"]["next_token"]
    while token:
        page = (await world.ask("search/subject", world.ours({**WHO, "page": {"token": token}}))).json()
        seen += page["results"]
        token = page["page"]["next_token"]
    assert seen == await found(world, "search/subject", WHO)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search/action", {**WHAT, "subject": {"type": "user", "id": "nonexistent-user"}}),
        ("search/action", {**WHAT, "subject": {"type": "spaceship", "id": "alice"}}),
        ("search/action", {**WHAT, "resource": {"type": "spaceship", "id": "1"}}),
        ("search/subject", {**WHO, "subject": {"type": "spaceship"}}),
        ("search/subject", {**WHO, "resource": {"type": "spaceship", "id": "1"}}),
        ("search/subject", {**WHO, "action": {"name": "fly"}}),
        ("search/resource", {**WHICH, "subject": {"type": "user", "id": "nonexistent-user"}}),
        ("search/resource", {**WHICH, "resource": {"type": "spaceship"}}),
    ],
)
async def test_search_core_what_is_unknown_is_nothing(world: World, path: str, body: dict[str, Any]) -> None:
    assert await found(world, path, body) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search/subject", without(WHO, "action")),
        ("search/subject", {**WHO, "resource": {"type": "record"}}),
        ("search/resource", without(WHICH, "subject")),
        ("search/resource", {**WHICH, "subject": {"type": "user"}}),
        ("search/action", without(WHAT, "resource")),
        ("search/action", {**WHAT, "subject": {"type": "user"}}),
        ("search/action", {**WHAT, "resource": {"type": "record"}}),
    ],
)
async def test_search_core_what_is_missing_is_a_400(world: World, path: str, body: dict[str, Any]) -> None:
    assert (await world.ask(path, world.ours(body))).status_code == 400


async def test_discovery(api: Api) -> None:
    issuer = api.resources.settings.issuer
    response: httpx.Response = await api.http.get("/.well-known/authzen-configuration")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["cache-control"] == "public, max-age=3600"
    metadata = response.json()
    assert metadata.pop("policy_decision_point") == issuer
    assert metadata == {
        "access_evaluation_endpoint": f"{issuer}{ACCESS}/evaluation",
        "access_evaluations_endpoint": f"{issuer}{ACCESS}/evaluations",
        "search_subject_endpoint": f"{issuer}{ACCESS}/search/subject",
        "search_action_endpoint": f"{issuer}{ACCESS}/search/action",
    }


async def test_discovery_below_an_issuer_with_a_path(fresh: Fresh, shared_settings: Settings) -> None:
    issuer = "https://cinema.example/auth/"
    api = await fresh.on(shared_settings.model_copy(update={"issuer": issuer}))
    metadata = (await api.http.get("/.well-known/authzen-configuration")).json()
    assert metadata["policy_decision_point"] == issuer
    assert metadata["access_evaluation_endpoint"] == f"https://cinema.example/auth{ACCESS}/evaluation"
