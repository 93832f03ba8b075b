"""One's own sessions and an admin's view of them: listed, ended, and never more than the limit."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.conftest import Fresh
from tests.support.access import create_permission, grant, moment, role_body
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of

SESSIONS = f"{V1}/users/me/sessions"
REFUSED = (401, "not_authenticated")
INVALID = (401, "invalid_refresh_token")
EXCEEDS = (403, "exceeds_own_permissions")
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"


async def sessions_of(api: Api, tokens: Tokens, path: str = SESSIONS) -> list[dict[str, Any]]:
    answer = await api.http.get(path, headers=tokens.bearer)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def end(api: Api, tokens: Tokens, session_id: str) -> httpx.Response:
    return await api.http.delete(f"{SESSIONS}/{session_id}", headers=tokens.bearer)


def of_user(account: Account, path: str) -> str:
    return f"{V1}/admin/users/{account.id}/{path}"


async def assert_dead(api: Api, *dead: Tokens) -> None:
    for tokens in dead:
        assert error_of(await api.me(tokens)) == REFUSED
        assert error_of(await api.refresh(tokens.refresh)) == INVALID


# --- SES-2: see and end


async def test_ses_2_sessions_are_listed_in_words_the_one_used_last_first(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, first = await api.as_role()
    body = {"login": account.login, "password": account.password, "device_name": "Desk"}
    second = tokens_of(await api.http.post(f"{V1}/auth/login", json=body, headers={"User-Agent": CHROME}))
    clock.forward(seconds=60)
    refreshed = tokens_of(await api.refresh(first.refresh))
    newest, older = await sessions_of(api, second)
    assert older == {
        "id": second.session_id,
        "ip": "127.0.0.1",
        "user_agent": CHROME,
        "browser": "Chrome 129",
        "system": "Linux",
        "device_id": str(UUID(str(second.device_token).partition(".")[0])),
        "device_name": "Desk",
        "created_at": older["last_seen_at"],
        "last_seen_at": older["created_at"],
        "expires_at": older["expires_at"],
        "second_factor": False,
        "current": True,
    }
    assert (newest["id"], newest["current"]) == (refreshed.session_id, False)
    assert newest["last_seen_at"] > newest["created_at"]
    text = (await api.http.get(SESSIONS, headers=second.bearer)).text
    for tokens in (first, second, refreshed):
        for secret in (tokens.access, tokens.refresh, tokens.refresh.rpartition(".")[2]):
            assert secret not in text
    assert str(second.device_token).partition(".")[2] not in text


async def test_ses_2_only_live_sessions_of_oneself_are_listed(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, session_idle_seconds=600, session_absolute_seconds=3000)
    account, idle = await api.as_role()
    clock.forward(seconds=400)
    ended, here = await api.log_in(account), await api.log_in(account)
    await api.as_role()
    assert (await end(api, here, ended.session_id)).status_code == 204
    assert [item["id"] for item in await sessions_of(api, here)] == [here.session_id, idle.session_id]
    clock.forward(seconds=200)
    assert [item["id"] for item in await sessions_of(api, here)] == [here.session_id]


async def test_ses_2_an_ended_session_is_dead_at_once_and_everywhere(fresh: Fresh) -> None:
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    account, here = await one.as_role()
    there = await two.log_in(account)
    assert (await two.me(there)).status_code == 200
    assert (await end(one, here, there.session_id)).status_code == 204
    await assert_dead(two, there)
    await assert_dead(one, there)
    assert (await two.me(here)).status_code == 200
    assert error_of(await end(one, here, there.session_id)) == (404, "not_found")
    assert (await end(one, here, here.session_id)).status_code == 204
    await assert_dead(two, here)


async def test_ses_2_somebody_elses_session_looks_like_none_at_all(api: Api) -> None:
    _, stranger = await api.as_role()
    _, tokens = await api.as_role()
    answers = []
    for session_id in (stranger.session_id, "01980000-0000-7000-8000-000000000000"):
        path = f"{SESSIONS}/{session_id}"
        answers.append(await api.http.delete(path, headers=tokens.bearer | {"X-Request-Id": "the-same-each-time"}))
    assert error_of(answers[0]) == (404, "not_found")
    assert answers[0].content == answers[1].content
    assert (await api.me(stranger)).status_code == 200


async def test_log_9_ending_another_session_takes_a_fresh_one(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, there = await api.as_role()
    here = await api.log_in(account)
    clock.forward(seconds=300)
    assert error_of(await end(api, here, there.session_id)) == (403, "step_up_required")
    here = tokens_of(await api.refresh(here.refresh))
    assert error_of(await end(api, here, there.session_id)) == (403, "step_up_required"), "a refresh shows nothing"
    assert (await api.me(there)).status_code == 200
    assert (await end(api, here, here.session_id)).status_code == 204, "one's own at any time"
    fresh_one = await api.log_in(account)
    clock.forward(seconds=299)
    assert (await end(api, fresh_one, there.session_id)).status_code == 204


async def test_ses_2_admins_see_and_end_the_sessions_of_others(api: Api) -> None:
    account, one = await api.as_role()
    two, three = await api.log_in(account), await api.log_in(account)
    _, admin = await api.as_role("admin")
    shown = await sessions_of(api, admin, of_user(account, "sessions"))
    assert [item["id"] for item in shown] == [three.session_id, two.session_id, one.session_id]
    assert {item["current"] for item in shown} == {False}
    path = of_user(account, f"sessions/{one.session_id}")
    assert (await api.http.delete(path, headers=admin.bearer)).status_code == 204
    await assert_dead(api, one)
    assert error_of(await api.http.delete(path, headers=admin.bearer)) == (404, "not_found")
    _, others = await api.as_role()
    foreign = await api.http.delete(of_user(account, f"sessions/{others.session_id}"), headers=admin.bearer)
    assert error_of(foreign) == (404, "not_found"), "the session is not of that user"
    assert (await api.http.post(of_user(account, "logout-all"), headers=admin.bearer)).status_code == 204
    await assert_dead(api, two, three)
    assert await sessions_of(api, admin, of_user(account, "sessions")) == []
    assert (await api.me(others)).status_code == 200
    assert (await api.me(await api.log_in(account))).status_code == 200, "only logged out"
    nobody = Account(UUID(int=1), "nobody", "nobody@example.com")
    for method, what in (("GET", "sessions"), ("POST", "logout-all"), ("POST", "unlock")):
        answer = await api.http.request(method, of_user(nobody, what), headers=admin.bearer)
        assert error_of(answer) == (404, "not_found")


async def test_ses_2_nobody_throws_out_those_above_them(api: Api) -> None:
    boss, tokens = await api.as_role("superuser")
    _, admin = await api.as_role("admin")
    for method, what in (("DELETE", f"sessions/{tokens.session_id}"), ("POST", "logout-all"), ("POST", "unlock")):
        answer = await api.http.request(method, of_user(boss, what), headers=admin.bearer)
        assert error_of(answer) == (403, "exceeds_own_permissions")
    assert (await api.me(tokens)).status_code == 200


# --- SES-1: never more than the limit


async def test_ses_1_of_thirty_parallel_logins_the_ten_newest_live(fresh: Fresh) -> None:
    settings = await fresh.settings(session_limit=10)
    replicas = [await fresh.on(settings) for _ in range(2)]
    account = await replicas[0].create_user()
    body = {"login": account.login, "password": account.password}
    answers = await asyncio.gather(*(replicas[n % 2].http.post(f"{V1}/auth/login", json=body) for n in range(30)))
    issued = {tokens.session_id: tokens for tokens in map(tokens_of, answers)}
    assert len(issued) == 30
    assert sum(answer.json()["ended_sessions"] for answer in answers) == 20, "each is told what it cost"
    rows = await replicas[0].resources.hot.fetch(
        "SELECT id, revoked_at IS NULL AS live, revoked_reason FROM sessions WHERE user_id = $1"
        " ORDER BY created_at DESC, id DESC",
        account.id,
    )
    assert [row["live"] for row in rows] == [True] * 10 + [False] * 20
    assert {row["revoked_reason"] for row in rows[10:]} == {"session_limit"}
    for row in rows:
        tokens = issued[str(row["id"])]
        for replica in replicas:
            assert (await replica.me(tokens)).status_code == (200 if row["live"] else 401)
    await assert_dead(replicas[1], *(issued[str(row["id"])] for row in rows[10:]))


async def test_ses_1_a_login_never_ends_its_own_session(fresh: Fresh) -> None:
    """Not even on a replica whose clock is behind."""
    settings = await fresh.settings(session_limit=2)
    ahead, behind = StoppedClock(), StoppedClock()
    ahead.forward(seconds=20)
    one, two = await fresh.on(settings, ahead), await fresh.on(settings, behind)
    account = await one.create_user()
    earlier = [await one.log_in(account) for _ in range(2)]
    late = await two.log_in(account)
    assert (await two.me(late)).status_code == 200
    assert [(await one.me(tokens)).status_code for tokens in earlier] == [401, 200]


async def test_ses_1_a_lowered_limit_ends_the_surplus_at_the_next_login(fresh: Fresh) -> None:
    settings = await fresh.settings(session_limit=4)
    api = await fresh.on(settings)
    account = await api.create_user()
    before = [await api.log_in(account) for _ in range(4)]
    lowered = await fresh.on(settings.model_copy(update={"session_limit": 1}))
    body = {"login": account.login, "password": account.password}
    answer = await lowered.http.post(f"{V1}/auth/login", json=body)
    assert answer.json()["ended_sessions"] == 4
    await assert_dead(api, *before)
    assert (await api.me(tokens_of(answer))).status_code == 200


async def create_role(api: Api, root: Tokens, limit: int | None = None, parents: tuple[str, ...] = ()) -> str:
    body = role_body(parents=parents) | {"session_limit": limit}
    answer = await api.http.post(f"{V1}/roles", json=body, headers=root.bearer)
    assert (answer.status_code, answer.json()["session_limit"]) == (201, limit)
    return str(body["name"])


async def live_after(api: Api, account: Account, logins: int) -> int:
    for _ in range(logins):
        tokens = await api.log_in(account)
    return len(await sessions_of(api, tokens))


@pytest.fixture(scope="module")
async def root(api: Api) -> Tokens:
    return (await api.as_role("superuser"))[1]


async def test_ses_1_a_roles_limit_counts_and_what_it_does_not_say_its_parents_do(api: Api, root: Tokens) -> None:
    one, three = await create_role(api, root, 1), await create_role(api, root, 3)
    says_nothing = await create_role(api, root, None, (await create_role(api, root, None, (one,)),))
    smaller = await create_role(api, root, 2, (three,))
    larger = await create_role(api, root, 2, (one,))
    for role, live in ((one, 1), (says_nothing, 1), (smaller, 2), (larger, 2)):
        account = await api.create_user(role)
        assert await live_after(api, account, 3) == live


async def test_ses_1_the_largest_of_several_roles_counts_and_no_ended_or_coming_one(api: Api, root: Tokens) -> None:
    one, two, many = [await create_role(api, root, limit) for limit in (1, 2, 50)]
    account = await api.create_user(one, two)
    await grant(api, root, account.id, many, valid_from=moment(days=-2), valid_until=moment(days=-1))
    assert await live_after(api, account, 3) == 2
    await grant(api, root, account.id, many, valid_from=moment(days=1))
    assert await live_after(api, account, 1) == 2
    await grant(api, root, account.id, many)
    assert await live_after(api, account, 1) == 3


async def test_rbac_1_an_admin_ends_no_sessions_of_a_superuser_by_a_roles_limit(fresh: Fresh) -> None:
    """Every superuser is a viewer too; ending their sessions by logout-all is refused to that admin."""
    api = await fresh.api()
    boss, first = await api.as_role("superuser")
    _, admin = await api.as_role("admin")
    await grant(api, admin, boss.id, await create_role(api, admin, 1))
    changed = await api.http.patch(f"{V1}/roles/viewer", json={"session_limit": 1}, headers=first.bearer)
    assert changed.status_code == 200
    assert await live_after(api, boss, 2) == 3
    assert (await api.me(first)).status_code == 200


async def test_rbac_1_a_limit_for_everybody_takes_a_superuser(fresh: Fresh) -> None:
    """However it is set: at the default role, at its ancestors, or by a parent that it gets."""
    api = await fresh.api()
    _, root = await api.as_role("superuser")
    _, admin = await api.as_role("admin")
    one = await create_role(api, admin, 1)
    ways: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("viewer", {"session_limit": 1}, {"session_limit": None}),
        ("guest", {"session_limit": 1000}, {"session_limit": None}),
        ("viewer", {"parents": ["guest", one]}, {"parents": ["guest"]}),
    ]
    for role, change, back in ways:
        path = f"{V1}/roles/{role}"
        assert error_of(await api.http.patch(path, json=change, headers=admin.bearer)) == EXCEEDS, change
        for allowed in (change, back, {"title": "Renamed"}):
            assert (await api.http.patch(path, json=allowed, headers=root.bearer)).status_code == 200, allowed
        assert (await api.http.patch(path, json={"title": "Again"}, headers=admin.bearer)).status_code == 200
    # Where the default role says something itself, its ancestors change nothing for everybody.
    assert (await api.http.patch(f"{V1}/roles/viewer", json={"session_limit": 9}, headers=root.bearer)).is_success
    assert (await api.http.patch(f"{V1}/roles/guest", json={"session_limit": 1}, headers=admin.bearer)).is_success


async def test_rbac_1_a_limit_takes_what_ending_sessions_takes(api: Api, root: Tokens) -> None:
    """users:write, and all that the role and whoever inherits the limit have."""
    code = await create_permission(api, root)
    role = await create_role(api, root, 3)
    child = role_body(code, parents=(role,))
    assert (await api.http.post(f"{V1}/roles", json=child, headers=root.bearer)).status_code == 201
    path, change = f"{V1}/roles/{role}", {"session_limit": 1}
    for tools, status in (
        (["roles:*"], 403),
        (["roles:*", "users:write"], 403),
        (["roles:*", "users:write", code], 200),
    ):
        body = role_body(*tools)
        assert (await api.http.post(f"{V1}/roles", json=body, headers=root.bearer)).status_code == 201
        account, clerk = await api.as_role()
        await grant(api, root, account.id, str(body["name"]))
        assert (await api.http.patch(path, json=change, headers=clerk.bearer)).status_code == status, tools
        assert (await api.http.patch(path, json={"title": "Renamed"}, headers=clerk.bearer)).status_code == 200
        # A new role of its own is no way around it, but a child of a limited role is no new limit.
        for limit in (None, 2):
            body = role_body(parents=(role,)) | {"session_limit": limit}
            made = await api.http.post(f"{V1}/roles", json=body, headers=clerk.bearer)
            assert made.status_code == (201 if limit is None or "users:write" in tools else 403), (tools, limit)


async def test_ses_1_a_roles_limit_is_changed_and_taken_away(api: Api, root: Tokens) -> None:
    role = await create_role(api, root, 1)
    path = f"{V1}/roles/{role}"
    account = await api.create_user(role)
    assert await live_after(api, account, 2) == 1
    for change, limit, live in (
        ({"title": "Renamed"}, 1, 1),
        ({"session_limit": 2}, 2, 2),
        ({"session_limit": None}, None, 3),
    ):
        changed = await api.http.patch(path, json=change, headers=root.bearer)
        assert (changed.status_code, changed.json()["session_limit"]) == (200, limit)
        assert await live_after(api, account, 1) == live
    for wrong in (0, 1001, -1, "2", True, 1.5, [2]):
        answer = await api.http.patch(path, json={"session_limit": wrong}, headers=root.bearer)
        assert error_of(answer) == (422, "validation_error"), wrong
