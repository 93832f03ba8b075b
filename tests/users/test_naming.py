"""An account is named by its id, its login or its e-mail address, wherever one is named; a service by id or name."""

from typing import Any

import pytest

from auth_service.audit.trail import Action as Act
from auth_service.audit.trail import Target, Who, operator, write_act
from tests.conftest import Fresh
from tests.support.access import create_role, grant
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, unique
from tests.support.command import Command
from tests.support.route_table import PATHS, TABLE, plain

OF_ACCOUNTS = sorted({(method, plain(path)) for method, path in TABLE if "{user_id}" in path})
READING = [path for method, path in OF_ACCOUNTS if method == "GET"]
AUDIT, EVENTS = f"{V1}/admin/audit", f"{V1}/admin/events"
NOBODY = "01980000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def root(api: Api) -> Tokens:
    _, tokens = await api.as_role("superuser")
    return tokens


@pytest.fixture(scope="module")
async def anna(api: Api) -> Account:
    return await api.create_user("moderator", login=unique("Anna-"))


def names_of(account: Account) -> list[str]:
    return [
        str(account.id),
        str(account.id).upper(),
        account.id.hex,
        account.login,
        account.login.upper(),
        account.email,
        account.email.upper(),
    ]


@pytest.mark.parametrize("path", READING)
async def test_each_name_reads_the_same(api: Api, root: Tokens, anna: Account, path: str) -> None:
    urls = [path.format(user_id=name, **PATHS) for name in names_of(anna)]
    query = {"at": "2090-01-01T00:00:00Z"} if "{code}" in path else {}  # an explanation says of which moment it is
    answers = [await api.http.get(url, params=query, headers=root.bearer) for url in urls]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


async def test_each_name_may_be_acted_on(api: Api, root: Tokens) -> None:
    for number in (0, 3, 5):
        account, tokens = await api.as_role()
        name = names_of(account)[number]

        async def call(method: str, path: str, body: Any = None, named: str = name) -> int:
            url = f"{V1}{path.format(named)}"
            return (await api.http.request(method, url, json=body, headers=root.bearer)).status_code

        assert await call("PUT", "/users/{}/roles/moderator") == 200
        assert (await api.check(tokens, "reviews:moderate"))["allowed"] is True
        assert await call("DELETE", "/users/{}/roles/moderator") == 204
        assert await call("PATCH", "/admin/users/{}", {"full_name": "Anna"}) == 200
        assert await call("POST", "/admin/users/{}/unlock") == 204
        assert await call("DELETE", f"/admin/users/{{}}/sessions/{tokens.session_id}") == 204
        assert error_of(await api.me(tokens)) == (401, "not_authenticated")
        assert await call("POST", "/admin/users/{}/delete", {"reason": "asked for it"}) == 204
        assert await call("GET", "/admin/users/{}") == 404


@pytest.mark.parametrize("name", ["nobody-has-this", "nobody@example.com", "@", "%", "junk!", "me", f"{NOBODY}0"])
async def test_a_name_that_nobody_has_is_404_on_every_route(api: Api, root: Tokens, name: str) -> None:
    for method, path in OF_ACCOUNTS:
        url = path.format(user_id=name.replace("%", "%25"), **PATHS)
        answer = await api.http.request(method, url, json={}, headers=root.bearer)
        assert error_of(answer) == (404, "not_found"), (method, path)
        assert name not in answer.text or len(name) < 3


async def test_an_address_names_nobody_to_those_who_may_not_see_addresses(
    api: Api, root: Tokens, anna: Account
) -> None:
    """Or trying would tell (docs/decisions.md): the answer is the same for one that exists."""
    account, reader = await api.as_role()
    codes = ("users:read", "audit:read", "roles:read", "roles:grant")
    await grant(api, root, account.id, await create_role(api, root, *codes))
    routes = [(m, p) for m, p in OF_ACCOUNTS if m == "GET"] + [("PUT", f"{V1}/users/{{user_id}}/roles/{{name}}")]
    urls = [(method, path.replace("{name}", "guest")) for method, path in routes]
    urls += [("GET", f"{AUDIT}?actor={{user_id}}"), ("GET", f"{AUDIT}?target={{user_id}}")]
    urls += [("GET", f"{EVENTS}?user_id={{user_id}}")]
    for method, url in urls:
        told = set()
        for address in (anna.email, anna.email.upper(), "nobody@example.com", "@", f"{anna.login}@"):
            answer = await api.http.request(
                method, url.format(user_id=address, **PATHS), json={}, headers=reader.bearer
            )
            assert error_of(answer) == (403, "permission_denied"), (method, url, address)
            told.add(answer.json()["detail"])
        assert told == {"To name an account by its e-mail address takes users:write."}
        by_login = await api.http.request(
            method, url.format(user_id=anna.login, **PATHS), json={}, headers=reader.bearer
        )
        assert by_login.status_code in {200, 403}
        assert "e-mail" not in by_login.text or by_login.status_code == 200


async def test_oneself_by_any_name(api: Api) -> None:
    account, tokens = await api.as_role()
    for path in ("roles", "permissions"):
        for name in names_of(account):
            assert (await api.http.get(f"{V1}/users/{name}/{path}", headers=tokens.bearer)).status_code == 200, name


async def test_an_id_is_never_a_login(api: Api, root: Tokens) -> None:
    """Or whoever takes a deleted user's id for a login would be granted what was meant for that one."""
    gone = await api.create_user()
    url = f"{V1}/admin/users/{gone.id}"
    assert (await api.http.post(f"{url}/delete", json={"reason": "gone"}, headers=root.bearer)).status_code == 204
    for look_alike in (str(gone.id), gone.id.hex):
        await api.create_user(login=look_alike)
        assert error_of(await api.http.get(url, headers=root.bearer)) == (404, "not_found")
        granted = await api.http.put(f"{V1}/users/{look_alike}/roles/guest", json={}, headers=root.bearer)
        assert error_of(granted) == (404, "not_found")
    words = await Command(api.resources.settings).refuses("roles", "grant", str(gone.id), "guest")
    assert words == f"There is no user {gone.id}.\n"


async def test_services_by_id_or_name(api: Api, root: Tokens) -> None:
    name = unique("player")
    made = await api.http.post(f"{V1}/services", json={"name": name}, headers=root.bearer)
    service_id = made.json()["id"]
    for named in (name, service_id):
        secret = await api.http.post(f"{V1}/services/{named}/secrets", headers=root.bearer)
        assert (secret.status_code, secret.json()["client_id"]) == (201, service_id)
        await api.service_token(service_id, secret.json()["client_secret"])
    assert error_of(await api.http.delete(f"{V1}/services/{name}x", headers=root.bearer)) == (404, "not_found")
    assert (await api.http.delete(f"{V1}/services/{name}", headers=root.bearer)).status_code == 204
    assert error_of(await api.http.delete(f"{V1}/services/{service_id}", headers=root.bearer)) == (404, "not_found")


# --- the audit trail and the events ---


@pytest.mark.long
async def test_the_trail_is_found_by_every_name(fresh: Fresh) -> None:
    api = await fresh.api()
    command = Command(api.resources.settings)
    boss, tokens = await api.as_role("superuser")
    viewer, gone = await api.create_user(), await api.create_user()
    name = unique("player")
    made = await api.http.post(
        f"{V1}/services", json={"name": name, "scopes": ["permissions:write"]}, headers=tokens.bearer
    )
    service = await api.service_token(made.json()["client_id"], made.json()["client_secret"])
    body = {"code": "thing:use", "title": "x"}
    assert (await api.http.post(f"{V1}/permissions", json=body, headers=service)).status_code == 201
    await command.does("users", "unlock", viewer.login)
    async with api.resources.db.begin() as session:
        system, hook = Who("system", "webhooks"), Target("webhook", NOBODY)
        write_act(session, system, Act.WEBHOOK_DISABLED, hook, at=api.resources.clock())
    url = f"{V1}/admin/users/{gone.login}/delete"
    assert (await api.http.post(url, json={"reason": "asked"}, headers=tokens.bearer)).status_code == 204

    async def found(**query: str) -> list[str]:
        answer = await api.http.get(AUDIT, params=query, headers=tokens.bearer)
        assert answer.status_code == 200, (query, answer.text)
        actions = [item["action"] for item in answer.json()["items"]]
        asked = [part for key, value in query.items() for part in (f"--{key}", value)]
        assert [row["action"] for row in (await command("audit", "list", "--json", *asked)).rows] == actions
        return actions

    async def nothing(**query: str) -> None:
        assert error_of(await api.http.get(AUDIT, params=query, headers=tokens.bearer)) == (404, "not_found"), query
        asked = [part for key, value in query.items() for part in (f"--{key}", value)]
        assert "There is no" in await command.refuses("audit", "list", *asked)

    for named in names_of(boss):
        assert await found(actor=named) == ["user.deleted", "service.created"]
        assert await found(target=named) == []
    for named in names_of(viewer):
        assert await found(target=named) == ["user.unlocked"]
    for named in (name, made.json()["id"]):
        assert await found(actor=named) == ["permission.created"]
        assert await found(target=named) == ["service.created"]
    for named in ("operator", operator().id):
        assert await found(actor=named) == ["user.unlocked"]
    for named in ("system", "webhooks"):
        assert await found(actor=named) == ["webhook.disabled"]
    assert await found(target=str(gone.id).upper()) == ["user.deleted"]
    assert await found(target=NOBODY) == ["webhook.disabled"]
    assert await found(target="thing:use") == ["permission.created"]
    assert await found(target="guest") == []  # a role that nobody has changed
    for unknown in (gone.login, gone.email, "nobody-has-this", NOBODY[:-1] + "9", "nobody@example.com"):
        await nothing(actor=unknown)
        if unknown != gone.login:
            await nothing(target=unknown)
    await nothing(actor="guest")


async def test_a_name_of_several_finds_what_is_of_each(fresh: Fresh) -> None:
    """Rows say by their kind whose they are; what is left out would look as if it had not been."""
    api = await fresh.api()
    _, tokens = await api.as_role("superuser")
    twin = await api.create_user(login="critic")
    role = {"name": "critic", "title": "Critic"}
    assert (await api.http.post(f"{V1}/roles", json=role, headers=tokens.bearer)).status_code == 201
    assert (await api.http.post(f"{V1}/admin/users/critic/unlock", headers=tokens.bearer)).status_code == 204
    items = (await api.http.get(AUDIT, params={"target": "critic"}, headers=tokens.bearer)).json()["items"]
    assert [(item["target_kind"], item["target_id"]) for item in items] == [("user", str(twin.id)), ("role", "critic")]


async def test_events_by_every_name(api: Api, root: Tokens) -> None:
    login = unique("heard")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    made = (await api.http.post(f"{V1}/auth/register", json=body)).json()

    async def kinds(name: str) -> list[str]:
        answer = await api.http.get(EVENTS, params={"user_id": name}, headers=root.bearer)
        assert answer.status_code == 200, answer.text
        return [item["type"] for item in answer.json()["items"]]

    first = await kinds(made["id"])
    assert first[0] == "auth.new_user"
    for name in (login, login.upper(), made["email"]):
        assert await kinds(name) == first
    url = f"{V1}/admin/users/{login}/delete"
    assert (await api.http.post(url, json={"reason": "asked"}, headers=root.bearer)).status_code == 204
    assert (await kinds(made["id"]))[-1] == "auth.user_deleted"
    for unknown in (login, made["email"], NOBODY):
        answer = await api.http.get(EVENTS, params={"user_id": unknown}, headers=root.bearer)
        assert error_of(answer) == (404, "not_found"), unknown


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (AUDIT, "action=user.delted"),
        (AUDIT, "actr=admin"),
        (EVENTS, "kind=new_usr"),
        (EVENTS, "knd=new_user"),
    ],
)
async def test_a_filter_that_cannot_match_is_refused(api: Api, root: Tokens, path: str, query: str) -> None:
    assert error_of(await api.http.get(f"{path}?{query}", headers=root.bearer)) == (422, "validation_error")
