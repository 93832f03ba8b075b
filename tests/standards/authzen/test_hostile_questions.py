"""Hostile input where unknown fields are ignored and texts may be anything: refused or denied, never broken by."""

import json
from typing import Any

import pytest

from tests.support.api import Api, error_of
from tests.support.authzen_world import ACCESS, World, world_of
from tests.support.hostile import BROKEN_JSON, ODD_TEXTS, WRONG_TYPES

# RFC 7493 lets a text have them; a raw one in a string is no JSON.
CONTROLS = {"NUL escaped", "bell", "escaped line break", "ANSI escape", "DEL"}
PATHS = ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"]
TEXTS = [("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"), ("resource", "id")]


def question(entity: str = "", key: str = "", value: Any = None) -> dict[str, Any]:
    body = {
        "subject": {"type": "user", "id": "nobody-of-this-name"},
        "action": {"name": "watch"},
        "resource": {"type": "films", "id": "1"},
    }
    if entity:
        body[entity][key] = value
    return body


NAMES = [text for text in ODD_TEXTS if "@" not in text]  # an address is another thing


@pytest.fixture(scope="module")
async def world(api: Api) -> World:
    return await world_of(api, {}, {})


@pytest.mark.parametrize("path", PATHS)
async def test_edg_5_what_is_no_strict_json_is_a_400(world: World, path: str) -> None:
    whole = json.dumps(question("subject", "id", "-raw-")).encode()
    headers = world.pep | {"content-type": "application/json"}
    for name, raw in BROKEN_JSON.items():
        bodies = [
            raw,
            whole.replace(b'"-raw-"', raw),
            whole.replace(b'{"subject"', b'{"context": {"a": %b}, "subject"' % raw),
        ]
        for body in bodies:
            answer = await world.api.http.post(f"{ACCESS}/{path}", content=body, headers=headers)
            if name in CONTROLS:
                assert answer.status_code in {200, 400}, (name, answer.text)
                assert answer.status_code == 200 or answer.json()["error"] == "validation_error"
            else:
                assert error_of(answer) == (400, "invalid_json"), (name, answer.text)


@pytest.mark.parametrize("path", PATHS)
async def test_edg_5_odd_texts_name_nothing(world: World, path: str) -> None:
    for entity, key in TEXTS:
        for text in NAMES[::7]:
            answer = await world.ask(path, question(entity, key, text))
            assert answer.status_code == 200, (entity, key, text, answer.text)
            assert answer.json().get("decision", False) is False
            if (entity, key) != ("resource", "id") and path != "search/subject":
                assert answer.json().get("results", []) == []


async def test_edg_5_odd_texts_name_nothing_in_one_call(world: World) -> None:
    items = [question(entity, key, text) for entity, key in TEXTS for text in NAMES if len(text) < 5000]
    answer = await world.ask("evaluations", {"evaluations": items})
    assert answer.status_code == 200, answer.text
    reasons = {(item["decision"], item["context"].get("reason")) for item in answer.json()["evaluations"]}
    assert reasons == {(False, "no_grant"), (False, "unknown_permission")}


@pytest.mark.parametrize("path", PATHS)
async def test_edg_5_other_types_are_a_400(world: World, path: str) -> None:
    for name, (_, value) in WRONG_TYPES.items():
        for body in (value, question() | {"subject": value}, question() | {"resource": value}):
            if not isinstance(value, dict) or body is value:
                answer = await world.ask(path, body)
                assert error_of(answer) == (400, "validation_error"), (name, answer.text)
        for entity, key in TEXTS[:: 1 if path == "evaluation" else 2]:
            searched = (path, entity) in {("search/subject", "subject"), ("search/resource", "resource")}
            if (searched and key == "id") or (path, entity) == ("search/action", "action"):
                continue  # which is ignored
            answer = await world.ask(path, question(entity, key, value))
            assert error_of(answer) == (400, "validation_error"), (entity, key, name, answer.text)
