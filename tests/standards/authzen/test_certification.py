"""The certification scenario of the AuthZEN working group: Basic, Batch and Search Core, and Discovery.

`HELD` has a row for each of its sections. One of them does not hold, and says so here: a resource search names no
resource, since a permission is for all resources of its type.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from auth_service.config import Settings
from tests.conftest import Fresh, running_app
from tests.support.api import Api
from tests.support.authzen_world import ACCESS, World, world_of

HELD = {
    "2.2.1 a permit": "test_basic_core",
    "2.2.2 a deny": "test_basic_core",
    "2.2.3 with context": "test_basic_core",
    "2.2.8 with properties": "test_basic_core",
    "2.2.9 with unknown fields": "test_basic_core",
    "2.3 the form of an answer; 5 JSON": "test_every_call",
    "2.4.1 and 2.4.2 what is missing": "test_basic_core_a_wrong_request_is_a_400",
    "2.4.3 another content type": "test_basic_core_what_is_no_json_is_a_400",
    "2.4.4 and 2.4.5 malformed, empty": "test_basic_core_what_is_no_json_is_a_400",
    "2.4.6 wrong types": "test_basic_core_a_wrong_request_is_a_400",  # of each field: test_hostile_questions.py
    "2.5.1 the request id comes back": "test_every_call",
    "2.5.2 none was sent": "test_every_call",
    "2.6 the same again": "test_every_call",
    "3.2.1, 3.2.5 and 3.2.6 arrays, defaults, context": "test_batch_core",
    "3.2.2 decisions; 3.3 length and order": "test_batch_core",
    "3.4.1 an item is wrong": "test_batch_core",
    "3.4.2 and 3.4.3 no array, an empty one": "test_batch_core",
    "4.2.1 subjects": "test_search_core_subjects_by_login",
    "4.2.2 subjects, with context": "test_search_core_subjects_by_login",
    "4.2.3 subjects, an id is ignored": "test_search_core_subjects_by_login",
    "4.3 resources: NOT FOUND by their ids": "test_search_core_resources_are_not_known_by_id",
    "4.4.1 actions": "test_search_core_actions",
    "4.4.2 actions, with context": "test_search_core_actions",
    "4.5.1 a limit": "test_search_core_pages",
    "4.5.2 the next page": "test_search_core_pages",
    "4.5.3 the form of a page": "test_search_core_pages",
    "4.6.1 unknown ids": "test_search_core_what_is_unknown_is_nothing",
    "4.6.2 unknown types": "test_search_core_what_is_unknown_is_nothing",
    "4.7.1 and 4.7.2 what is missing": "test_search_core_what_is_missing_is_a_400",
    "5 unknown fields": "test_every_call",
    "6.1 below a path of the host": "test_discovery_below_an_issuer_with_a_path",
    "6.2 to 6.5 the metadata": "test_discovery",
}
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


PATHS = {"evaluation": "decision", "evaluations": "evaluations"}
PATHS |= {f"search/{kind}": "results" for kind in ("subject", "resource", "action")}


@pytest.mark.parametrize("path", PATHS)
async def test_every_call(world: World, path: str) -> None:
    """Answers in JSON with the field of its kind, the same again, with the request id, and whatever else is sent."""
    body = {**ONE, "evaluations": [{}, {"action": WRITE}]} if path == "evaluations" else ONE
    given = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    first = await world.ask(path, world.ours(body), **{"X-Request-ID": given})
    again = await world.ask(path, world.ours({**body, "foo": "bar", "futureField": {"nested": True}}))
    for response in (first, again):
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert first.json() == again.json()
    assert isinstance(first.json()[PATHS[path]], bool if path == "evaluation" else list)
    assert isinstance(first.json().get("context", {}), dict)
    assert first.headers["x-request-id"] == given
    assert again.headers["x-request-id"] not in {"", given}


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
    token, first = None, world.ours(body)
    while token != "":
        response = await world.ask(path, first if token is None else {**first, "page": {"token": token}})
        assert response.status_code == 200, response.text
        results += response.json()["results"]
        token = response.json()["page"]["next_token"]
    return results


SUBJECTS = pytest.mark.parametrize(
    "body", [WHO, {**WHO, "context": CONTEXT}, {**WHO, "subject": ALICE}], ids=["plain", "context", "an id is ignored"]
)


@SUBJECTS
async def test_search_core_subjects(world: World, body: dict[str, Any]) -> None:
    expected = [{"type": "user", "id": str(world.people[name].id)} for name in ("alice", "bob")]
    assert [one for one in await found(world, "search/subject", body) if one in expected] == expected


@pytest.fixture(scope="module")
async def by_login(world: World, shared_settings: Settings) -> AsyncIterator[World]:
    """The same world, at a replica with AUTHZEN_SUBJECT_ID=login."""
    async with running_app(shared_settings.model_copy(update={"authzen_subject_id": "login"})) as api:
        yield replace(world, api=api)


@SUBJECTS
async def test_search_core_subjects_by_login(by_login: World, body: dict[str, Any]) -> None:
    """By what the scenario asks with; an evaluation takes each of them, and pages are in the same order."""
    expected = [{"type": "user", "id": by_login.people[name].login} for name in ("alice", "bob")]
    everybody = await found(by_login, "search/subject", body)
    assert [one for one in everybody if one in expected] == expected
    half = len(everybody) // 2
    assert await found(by_login, "search/subject", {**body, "page": {"limit": half}}) == everybody
    for subject in [*expected, everybody[0]]:
        assert await by_login.decision("evaluation", {**ONE, "subject": subject}) is True


async def test_search_core_services_are_found_by_id_all_the_same(by_login: World) -> None:
    client_id, _ = await by_login.api.create_service(by_login.root, [f"{by_login.types['record']}:read"])
    body = {**WHO, "subject": {"type": "service"}}
    assert {"type": "service", "id": client_id} in await found(by_login, "search/subject", body)


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


def test_each_section_is_held_by_a_test_that_is_there() -> None:
    assert {name for name in HELD.values() if not callable(globals().get(name))} == set()
