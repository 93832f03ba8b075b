"""What an evaluation answers: the check's decision, whoever is named and however; and who may ask."""

from typing import Any

import httpx
import pytest
import structlog

from tests.conftest import Fresh
from tests.support.access import create_permission, create_role, grant, moment
from tests.support.api import V1, Account, Api, Tokens, error_of, unique
from tests.support.authzen_world import ACCESS, World, world_of
from tests.support.check_cast import CHECK, cast_of
from tests.support.logged import until_logged
from tests.support.viewer import Watch, enrol

PATHS = ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"]
FILM = {"type": "films", "id": "casablanca"}


@pytest.fixture(scope="module")
async def world(api: Api) -> World:
    return await world_of(api, {"record": ["read", "write"]}, {"alice": ["record:*"], "bob": []})


def question(subject_id: str, code: str, subject_type: str = "user", **properties: str) -> dict[str, Any]:
    resource, _, action = code.partition(":")
    subject = {"type": subject_type, "id": subject_id} | ({"properties": properties} if properties else {})
    return {"subject": subject, "action": {"name": action}, "resource": {"type": resource, "id": "any"}}


async def answer(world: World, *asked: str, **properties: str) -> dict[str, Any]:
    response = await world.ask("evaluation", question(*asked, **properties))
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_chk_1_every_answer_is_the_one_of_the_check(api: Api) -> None:
    """Of callers of every kind, about everybody: the same decision, and the same refusals."""
    cast = await cast_of(api)
    seen = set()
    for caller in ("holder", "root", "service", "poor service", "logged out", "none"):
        headers = {"authorization": cast.callers[caller]} if cast.callers[caller] else {}
        for user in cast.users:
            for code in cast.codes:
                body = {"permission": code, "user_id": user}
                check = await cast.api.http.post(f"{V1}{CHECK}", json=body, headers=headers)
                told = await cast.api.http.post(f"{ACCESS}/evaluation", json=question(user, code), headers=headers)
                assert told.status_code == check.status_code
                if check.status_code == 200:
                    expected = check.json()
                    assert told.json() == {"decision": expected.pop("allowed"), "context": expected}
                    seen.add(expected["reason"])
                else:
                    assert error_of(told) == error_of(check)
                    assert told.headers.get("www-authenticate") == check.headers.get("www-authenticate")
    assert seen == {"granted", "no_grant", "grant_expired", "step_up_required", "unknown_permission"}


async def test_the_answer_says_until_when_it_holds(world: World) -> None:
    until = moment(days=1).replace(microsecond=0)
    role = await create_role(world.api, world.root, f"{world.types['record']}:read")
    account = await world.api.create_user()
    await grant(world.api, world.root, account.id, role, valid_until=until)
    told = await answer(world, str(account.id), f"{world.types['record']}:read")
    assert told == {
        "decision": True,
        "context": {"reason": "granted", "valid_until": until.isoformat().replace("+00:00", "Z")},
    }


async def test_a_user_is_named_by_id_or_login(world: World) -> None:
    alice, code = world.people["alice"], f"{world.types['record']}:read"
    for name in (str(alice.id), alice.id.hex, alice.login, alice.login.upper()):
        assert (await answer(world, name, code))["decision"] is True, name
    for name in (unique("nobody"), "", " ", "\x00", "a\nb", "я" * 300):
        assert await answer(world, name, code) == {"decision": False, "context": {"reason": "no_grant"}}, name


async def test_an_address_is_a_name_for_those_who_see_addresses(world: World) -> None:
    """Else whoever may ask could find out who is there."""
    alice, code = world.people["alice"], f"{world.types['record']}:read"
    for address in (alice.email, f"{unique('nobody')}@example.com"):
        for path in ("evaluation", "evaluations", "search/action", "search/resource"):
            assert error_of(await world.ask(path, question(address, code))) == (403, "permission_denied")
    pep = await world.api.service_token(
        *await world.api.create_service(world.root, ["permissions:check", "users:write"])
    )
    seeing = World(world.api, world.root, pep, world.types, world.people)
    assert (await answer(seeing, alice.email, code))["decision"] is True
    assert (await answer(seeing, f"{unique('nobody')}@example.com", code))["decision"] is False


async def test_a_service_is_judged_by_its_scopes(world: World) -> None:
    record = world.types["record"]
    name = unique("service")
    body = {"name": name, "scopes": [f"{record}:*"]}
    client_id = (await world.api.http.post(f"{V1}/services", json=body, headers=world.root.bearer)).json()["client_id"]
    for subject in (client_id, name):
        told = await answer(world, subject, f"{record}:write", "service")
        assert told == {"decision": True, "context": {"reason": "granted"}}
        told = await answer(world, subject, f"{record}:burn", "service")
        assert told == {"decision": False, "context": {"reason": "unknown_permission"}}
        told = await answer(world, subject, "films:watch", "service")
        assert told == {"decision": False, "context": {"reason": "no_grant"}}
    for nobody in (unique("nobody"), str(world.people["alice"].id), "\x00"):
        assert (await answer(world, nobody, f"{record}:write", "service"))["context"] == {"reason": "no_grant"}
    assert (await answer(world, client_id, f"{record}:write"))["context"] == {"reason": "no_grant"}  # is no user
    assert (await world.api.http.delete(f"{V1}/services/{client_id}", headers=world.root.bearer)).status_code == 204
    assert (await answer(world, client_id, f"{record}:write", "service"))["context"] == {"reason": "no_grant"}


@pytest.mark.parametrize(
    ("resource", "action"),
    [("FILMS", "watch"), ("films", "*"), ("films:watch", ""), ("", "films:watch"), ("films", "wa\x00tch"), ("*", "*")],
)
async def test_rbac_5_what_no_permission_is_called_is_unknown(world: World, resource: str, action: str) -> None:
    alice = str(world.people["alice"].id)
    body = {
        "subject": {"type": "user", "id": alice},
        "action": {"name": action},
        "resource": {"type": resource, "id": "1"},
    }
    assert (await world.ask("evaluation", body)).json()["context"] == {"reason": "unknown_permission"}
    assert (await world.ask("search/subject", body)).json()["results"] == []
    assert (await world.ask("search/resource", body)).json()["context"] == {"reason": "unknown_permission"}


async def test_log_9_the_session_is_a_property_of_the_subject(fresh: Fresh) -> None:
    watch = Watch()
    api = await fresh.api(watch)
    viewer = await enrol(api, watch)
    world = await world_of(api, {}, {})
    marked = await create_permission(api, world.root)
    step_up = {"step_up": True}
    await api.http.patch(f"{V1}/permissions/{marked}", json=step_up, headers=world.root.bearer)
    await grant(api, world.root, viewer.account.id, await create_role(api, world.root, marked))
    tokens = await viewer.log_in()
    user = str(viewer.account.id)
    told = await answer(world, user, marked, session_id=tokens.session_id)
    assert told["decision"] is True
    assert "valid_until" in told["context"]
    for properties in ({}, {"session_id": "junk"}):
        told = await answer(world, user, marked, **properties)
        assert told == {"decision": False, "context": {"reason": "step_up_required"}}
    # A search tells what the second factor is still wanted for.
    for subject, expected in (
        ({"type": "user", "id": user}, {"step_up_required": ["use"]}),
        ({"type": "user", "id": user, "properties": {"session_id": tokens.session_id}}, None),
    ):
        body = {"subject": subject, "resource": {"type": marked.partition(":")[0], "id": "1"}}
        actions = (await world.ask("search/action", body)).json()
        assert actions["results"] == [{"name": "use"}]
        assert actions.get("context") == expected
    who = (await world.ask("search/subject", question("", marked))).json()
    assert {"type": "user", "id": user} in who["results"]
    assert who["context"] == {"step_up_required": ["use"]}


@pytest.fixture(scope="module")
async def viewer(api: Api) -> tuple[Account, Tokens]:
    return await api.as_role()


@pytest.mark.parametrize("path", PATHS)
async def test_chk_1_who_may_not_ask_is_refused(world: World, viewer: tuple[Account, Tokens], path: str) -> None:
    poor = await world.api.service_token(*await world.api.create_service(world.root, ["roles:read"]))
    alice = world.people["alice"]
    for name in (str(alice.id), alice.login, unique("nobody")):
        for subject_type in ("user", "service", "spaceship"):
            body = question(name, "films:watch", subject_type)
            refused = await world.api.http.post(f"{ACCESS}/{path}", json=body)
            assert error_of(refused) == (401, "not_authenticated")
            assert refused.headers["www-authenticate"].startswith("Bearer")
            for headers in (poor, viewer[1].bearer):
                refused = await world.api.http.post(f"{ACCESS}/{path}", json=body, headers=headers)
                assert error_of(refused) == (403, "permission_denied"), (subject_type, name)


async def test_chk_1_everybody_may_ask_about_the_own_account(world: World, viewer: tuple[Account, Tokens]) -> None:
    account, tokens = viewer
    for name in (str(account.id), account.login):
        for path in ("evaluation", "evaluations", "search/resource", "search/action"):
            told = await world.api.http.post(
                f"{ACCESS}/{path}", json=question(name, "films:read"), headers=tokens.bearer
            )
            assert told.status_code == 200, path
    refused = await world.api.http.post(
        f"{ACCESS}/evaluations",
        json={
            **question(account.login, "films:read"),
            "evaluations": [{}, {"subject": {"type": "user", "id": unique("nobody")}}],
        },
        headers=tokens.bearer,
    )
    assert error_of(refused) == (403, "permission_denied")


@pytest.mark.parametrize(
    "given",
    [
        b"x",
        b"two words",
        b"\ttab",
        b"caf\xc3\xa9",
        b"\x9b31m",
        b'"quoted"; rm -rf',
        b"i" * 4000,
        b"%0d%0aset-cookie: a=b",
    ],
    ids=["short", "spaces", "tab", "utf-8", "escape", "quotes", "long", "escaped line end"],
)
async def test_aud_3_any_request_id_comes_back_and_ends_no_line(world: World, given: bytes) -> None:
    headers = [(b"x-request-id", given), *((name.encode(), value.encode()) for name, value in world.pep.items())]
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        body = question(world.people["alice"].login, "films:watch")
        told = await world.api.http.post(f"{ACCESS}/evaluation", json=body, headers=headers)
        refused = await world.api.http.post(f"{ACCESS}/evaluation", json={}, headers=headers)
        await until_logged(lines, "request")
    for response, status in ((told, 200), (refused, 400)):
        assert response.status_code == status
        assert [value for name, value in response.headers.raw if name == b"x-request-id"] == [given]
    logged = {line["request_id"] for line in lines if line["event"] == "request"}
    assert len(logged) == 1
    (logged_id,) = logged
    assert logged_id.isascii()
    assert len(logged_id) <= 4 * 64  # a byte that is escaped takes four


@pytest.mark.parametrize("given", [b"a\r\nset-cookie: a=b", b"a\nb", b"a\x00b", b"a\x7fb", b""])
async def test_aud_3_what_no_header_can_have_is_replaced(world: World, given: bytes) -> None:
    """The HTTP parser lets none of it through; whoever stands in its place may."""
    response = await world.api.http.post(f"{ACCESS}/evaluation", json={}, headers=[(b"x-request-id", given)])
    assert len(response.headers["x-request-id"]) == 16


async def test_elsewhere_the_own_rules_hold(world: World) -> None:
    response: httpx.Response = await world.api.http.post(
        f"{V1}{CHECK}", json={"permission": "films:watch", "more": 1}, headers=world.pep | {"x-request-id": "two words"}
    )
    assert error_of(response) == (422, "validation_error")
    assert response.headers["x-request-id"] != "two words"
    controls = await world.api.http.post(f"{V1}{CHECK}", json={"permission": "a\tb"}, headers=world.pep)
    assert error_of(controls) == (400, "invalid_json")


async def test_properties_and_context_may_be_any_json(world: World) -> None:
    anything = {"text": "one\ntwo\t\x00", "number": -1.5e300, "nothing": None, "list": [[{}], True]}
    body = question(world.people["alice"].login, f"{world.types['record']}:read")
    body |= {"context": anything, "resource": {**body["resource"], "properties": anything}}
    assert (await world.ask("evaluation", body)).json()["decision"] is True


@pytest.mark.parametrize(
    "content", [b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}"]
)
async def test_edg_5_what_parsers_read_in_two_ways_is_refused_here_too(world: World, content: bytes) -> None:
    headers = world.pep | {"content-type": "application/json"}
    response = await world.api.http.post(f"{ACCESS}/evaluation", content=content, headers=headers)
    assert error_of(response) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("path", "size", "status"), [("evaluation", 65, 413), ("evaluations", 255, 400), ("evaluations", 257, 413)]
)
async def test_edg_3_bodies_have_a_limit(world: World, path: str, size: int, status: int) -> None:
    response = await world.ask(path, {"padding": "x" * size * 1024})
    assert response.status_code == status


@pytest.mark.parametrize(
    "headers", [{"content-type": "application/json; charset=latin-1"}, {"content-encoding": "gzip"}]
)
async def test_edg_3_another_charset_or_coding_is_a_415(world: World, headers: dict[str, str]) -> None:
    given = world.pep | {"content-type": "application/json"} | headers
    response = await world.api.http.post(f"{ACCESS}/evaluation", content=b"{}", headers=given)
    assert error_of(response) == (415, "unsupported_media_type")


async def test_other_methods_are_not_there(world: World) -> None:
    response = await world.api.http.get(f"{ACCESS}/evaluation", headers=world.pep)
    assert error_of(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
