"""Step-up: what asks for a second factor gets it, in the session that asks, and not long ago."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from auth_service.config import Environment, Settings
from tests.conftest import Fresh, test_settings
from tests.support.access import create_role, grant
from tests.support.api import PASSWORD, V1, Account, Api, Tokens, error_of, tokens_of, unique
from tests.support.route_table import ACTORS, PATHS, STREAMS, TABLE, Actor, body_for, plain
from tests.support.viewer import Viewer, Watch, enrol

CHECK = f"{V1}/permissions/check"
REFUSED = (401, "not_authenticated")
STEP_UP_REQUIRED = (403, "step_up_required")
QUARTER = timedelta(minutes=15)


async def step_up(api: Api, tokens: Tokens, **shown: Any) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/step-up", json=shown, headers=tokens.bearer)


async def asks(api: Api, headers: dict[str, str], code: str, **more: Any) -> dict[str, Any]:
    answer = await api.http.post(CHECK, json={"permission": code, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture
async def viewer(fresh: Fresh) -> Viewer:
    watch = Watch()
    return await enrol(await fresh.api(watch), watch)


# --- permissions that are marked


async def marked_permission(api: Api, root: Tokens) -> str:
    body = {"code": f"{unique('vault')}:open", "title": "Of a test", "step_up": True}
    answer = await api.http.post(f"{V1}/permissions", json=body, headers=root.bearer)
    assert (answer.status_code, answer.json()["step_up"]) == (201, True)
    return body["code"]


async def granted(api: Api, account: Account, code: str, root: Tokens, **dates: datetime) -> None:
    await grant(api, root, account.id, await create_role(api, root, code), **dates)


DENIED = {"allowed": False, "reason": "step_up_required"}


async def test_log_9_a_marked_permission_needs_a_code_of_the_last_fifteen_minutes(viewer: Viewer) -> None:
    api, watch = viewer.api, viewer.watch
    _, root = await api.as_role("superuser")
    code = await marked_permission(api, root)
    await granted(api, viewer.account, code, root)
    here = await viewer.log_in()
    shown_at = watch.now - timedelta(seconds=30)
    answer = await api.check(here, code)
    assert (answer["allowed"], answer["reason"]) == (True, "granted")
    assert datetime.fromisoformat(answer["valid_until"]) == shown_at + QUARTER
    watch.now = shown_at + QUARTER - timedelta(seconds=1)
    assert (await api.check(here, code))["allowed"]
    watch.turn(timedelta(seconds=1))
    here = tokens_of(await api.refresh(here.refresh))
    assert await api.check(here, code) == DENIED, "a refresh shows nothing"
    here = tokens_of(await step_up(api, here, current_password=PASSWORD))
    assert await api.check(here, code) == DENIED, "nor is the password a second factor"
    here = tokens_of(await step_up(api, here, code=viewer.code()))
    assert (await api.check(here, code))["allowed"]


async def test_the_answer_ends_with_the_grant_where_that_comes_first(viewer: Viewer) -> None:
    api = viewer.api
    _, root = await api.as_role("superuser")
    code, end = await marked_permission(api, root), viewer.watch.now + timedelta(minutes=3)
    await granted(api, viewer.account, code, root, valid_until=end)
    answer = await api.check(await viewer.log_in(), code)
    assert datetime.fromisoformat(answer["valid_until"]) == end


async def test_a_step_up_gives_nothing_that_was_not_granted(viewer: Viewer) -> None:
    api = viewer.api
    _, root = await api.as_role("superuser")
    code = await marked_permission(api, root)
    here = await viewer.log_in()
    assert await api.check(here, code) == {"allowed": False, "reason": "no_grant"}
    assert (await api.check(here, "films:read"))["reason"] == "granted"
    assert "valid_until" not in await api.check(here, "films:read"), "what is not marked is as it was"


async def test_a_mark_is_put_on_and_taken_off(viewer: Viewer) -> None:
    api = viewer.api
    _, root = await api.as_role("superuser")
    code = await marked_permission(api, root)
    account, tokens = await api.as_role()
    await granted(api, account, code, root)
    assert await api.check(tokens, code) == DENIED
    for change, step_up, answer in (
        ({"title": "Renamed"}, True, DENIED),
        ({"step_up": False}, False, {"allowed": True, "reason": "granted"}),
        ({"step_up": True}, True, DENIED),
    ):
        changed = await api.http.patch(f"{V1}/permissions/{code}", json=change, headers=root.bearer)
        assert (changed.status_code, changed.json()["step_up"]) == (200, step_up)
        assert await api.check(tokens, code) == answer


async def test_rbac_1_only_who_holds_a_permission_changes_its_mark(api: Api) -> None:
    """Marking takes it from those without a second factor, and unmarking opens it to a stolen session."""
    _, root = await api.as_role("superuser")
    code = await marked_permission(api, root)
    clerk, tokens = await api.as_role()
    await granted(api, clerk, "permissions:write", root)
    path = f"{V1}/permissions/{code}"
    refused = await api.http.patch(path, json={"step_up": False}, headers=tokens.bearer)
    assert error_of(refused) == (403, "exceeds_own_permissions")
    for harmless in ({"title": "Renamed"}, {"step_up": True}):
        assert (await api.http.patch(path, json=harmless, headers=tokens.bearer)).json()["step_up"] is True
    await granted(api, clerk, code, root)
    assert (await api.http.patch(path, json={"step_up": False}, headers=tokens.bearer)).status_code == 200


async def test_chk_1_a_service_asks_about_one_session_and_no_other_one_helps(viewer: Viewer) -> None:
    api, account = viewer.api, viewer.account
    _, root = await api.as_role("superuser")
    code = await marked_permission(api, root)
    await granted(api, account, code, root)
    service = await api.service_token(*await api.create_service(root))
    shown = await viewer.log_in()
    other = await enrol(api, viewer.watch)
    await granted(api, other.account, code, root)
    others = await other.log_in()

    async def answer(session_id: str | None, user: Account = account) -> dict[str, Any]:
        return await asks(api, service, code, user_id=str(user.id), session_id=session_id)

    assert (await answer(shown.session_id))["allowed"]
    assert (await answer(others.session_id, other.account))["allowed"]
    for session_id in (None, others.session_id, "01980000-0000-7000-8000-000000000000"):
        assert await answer(session_id) == DENIED
    # An admin asking about somebody is no better, and one's own question is about one's own session.
    _, boss = await api.as_role("admin")
    assert await asks(api, boss.bearer, code, user_id=str(account.id)) == DENIED
    first = viewer.tokens
    assert (await api.http.post(f"{V1}/auth/logout-others", headers=shown.bearer)).status_code == 204
    assert error_of(await api.me(first)) == REFUSED
    assert await answer(first.session_id) == DENIED, "an ended session"
    plain_session = await without_a_code(viewer)
    assert await asks(api, plain_session.bearer, code, session_id=shown.session_id) == DENIED


async def without_a_code(viewer: Viewer) -> Tokens:
    """A session of the viewer in which no code was shown: from a trusted device."""
    trusted = await viewer.log_in(trust_device=True)
    return tokens_of(await viewer.give_password(trusted.device_token))


async def test_a_batch_and_an_explanation_say_the_same(viewer: Viewer) -> None:
    api, account = viewer.api, viewer.account
    _, root = await api.as_role("superuser")
    code = await marked_permission(api, root)
    await granted(api, account, code, root)
    service = await api.service_token(*await api.create_service(root))
    shown, bare = await viewer.log_in(), await without_a_code(viewer)
    ids = [shown.session_id, bare.session_id, None]
    checks = [{"permission": code, "user_id": str(account.id), "session_id": item} for item in ids]
    checks.append({"permission": "films:read", "user_id": str(account.id)})
    answer = await api.http.post(f"{V1}/permissions/check/batch", json={"checks": checks}, headers=service)
    reasons = [item["reason"] for item in answer.json()["results"]]
    assert reasons == ["granted", "step_up_required", "step_up_required", "granted"]
    for tokens, reason in ((shown, "granted"), (bare, "step_up_required")):
        explained = await asks(api, tokens.bearer, code, explain=True)
        assert explained["reason"] == reason
        assert [item["permission"] for item in explained["explanation"]] == [code], "the grant is there"


# --- the step-up itself


async def test_log_9_a_step_up_is_a_new_session_id_and_the_old_tokens_are_dead_at_once(fresh: Fresh) -> None:
    watch = Watch()
    settings = await fresh.settings()
    viewer = await enrol(await fresh.on(settings, watch), watch)
    replica = await fresh.on(settings, watch)
    old = await viewer.log_in()
    (before,) = [item for item in await my_sessions(replica, old) if item["current"]]
    watch.turn(timedelta(minutes=10))
    for shown in ({"current_password": PASSWORD}, {"code": viewer.code()}):
        answer = await step_up(viewer.api, old, **shown)
        new = tokens_of(answer)
        assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in", "session_id"}
        for app in (replica, viewer.api):
            assert error_of(await app.me(old)) == REFUSED
            assert error_of(await app.refresh(old.refresh)) == (401, "invalid_refresh_token")
            assert (await app.me(new)).status_code == 200
        (after,) = [item for item in await my_sessions(replica, new) if item["current"]]
        assert after.pop("id") == new.session_id != old.session_id
        kept = ("created_at", "expires_at", "device_id", "device_name", "user_agent", "ip", "second_factor")
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        old = tokens_of(await replica.refresh(new.refresh))
    assert len(await my_sessions(replica, old)) == 2, "one session stays one"


async def my_sessions(api: Api, tokens: Tokens) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.http.get(f"{V1}/users/me/sessions", headers=tokens.bearer)).json()["items"]
    return items


async def test_log_9_a_step_up_lengthens_no_life(fresh: Fresh) -> None:
    """A session that has run out lives on for no password, even while its access token does."""
    watch = Watch()
    api = await fresh.api(watch, session_absolute_seconds=1200, session_idle_seconds=600)
    _, tokens = await api.as_role()
    watch.turn(timedelta(seconds=599))
    tokens = tokens_of(await step_up(api, tokens, current_password=PASSWORD))
    watch.turn(timedelta(seconds=600))
    assert (await api.me(tokens)).status_code == 200, "the access token has 300 seconds left"
    assert error_of(await step_up(api, tokens, current_password=PASSWORD)) == REFUSED, "idle for too long"
    _, tokens = await api.as_role()
    for _ in range(3):
        watch.turn(timedelta(seconds=399))
        tokens = tokens_of(await step_up(api, tokens, current_password=PASSWORD))
    watch.turn(timedelta(seconds=3))
    assert (await api.me(tokens)).status_code == 200
    assert error_of(await step_up(api, tokens, current_password=PASSWORD)) == REFUSED, "over, whatever is shown"
    assert error_of(await api.refresh(tokens.refresh)) == (401, "invalid_refresh_token")


async def test_log_9_of_parallel_step_ups_one_succeeds(viewer: Viewer) -> None:
    tries = [step_up(viewer.api, viewer.tokens, current_password=PASSWORD) for _ in range(4)]
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_log_5_wrong_codes_of_a_step_up_take_from_the_budget_of_codes(viewer: Viewer) -> None:
    for _ in range(10):
        wrong = await step_up(viewer.api, viewer.tokens, code="000000")
        assert error_of(wrong) == (403, "wrong_code")
    assert error_of(await step_up(viewer.api, viewer.tokens, code=viewer.code())) == (403, "wrong_code")
    login = await viewer.answer(await viewer.challenge(), viewer.code())
    assert error_of(login) == (401, "invalid_code"), "the same ten tries an hour"
    assert (await viewer.api.me(viewer.tokens)).status_code == 200


async def test_mfa_2_a_code_of_a_login_is_used_up_for_the_step_up(viewer: Viewer) -> None:
    code = viewer.code()
    tokens = tokens_of(await viewer.answer(await viewer.challenge(), code))
    assert error_of(await step_up(viewer.api, tokens, code=code)) == (403, "wrong_code")
    viewer.watch.turn()
    assert (await step_up(viewer.api, tokens, code=viewer.code(), current_password=PASSWORD)).status_code == 200


async def test_a_step_up_shows_something_and_all_that_is_shown_is_right(viewer: Viewer) -> None:
    api, tokens = viewer.api, viewer.tokens
    assert error_of(await step_up(api, tokens)) == (422, "validation_error")
    assert error_of(await step_up(api, tokens, current_password=None, code=None)) == (422, "validation_error")
    wrong = await step_up(api, tokens, current_password="wrong password", code=viewer.code())
    assert error_of(wrong) == (403, "wrong_password")
    assert error_of(await step_up(api, tokens, current_password=PASSWORD, code="000000")) == (403, "wrong_code")
    _, without = await api.as_role()
    assert error_of(await step_up(api, without, code="000000")) == (409, "mfa_not_enabled")
    assert (await api.me(tokens)).status_code == 200
    recovered = await step_up(api, tokens, code=viewer.codes[0])
    assert recovered.status_code == 200


# --- MFA-7: administration


def admin_routes() -> list[tuple[str, str]]:
    """Those that an admin may call and a viewer may not; the stream of changes has its own test."""
    viewer, admin = ACTORS.index("viewer"), ACTORS.index("admin")
    columns = {route: row.split() for route, row in TABLE.items() if route[1] not in STREAMS}
    return [route for route, row in columns.items() if row[viewer] == "403" and row[admin] != "403"]


async def call(api: Api, actor: Actor, route: tuple[str, str], other: Account) -> httpx.Response:
    method, path = route
    body = await body_for(api, method, path, actor, other)
    url = plain(path).format(user_id=other.id, **PATHS)
    return await api.http.request(method, url, json=body, headers=actor.headers)


def reads(route: tuple[str, str]) -> bool:
    return route[0] == "GET" or plain(route[1]).startswith((CHECK, "/access/v1/"))


async def test_mfa_7_no_admin_route_is_open_without_a_second_factor(fresh: Fresh) -> None:
    api = await fresh.api(admin_mfa=True)
    other = await api.create_user()
    routes = admin_routes()
    assert len(routes) >= 24
    for role in ("admin", "superuser"):
        account, tokens = await api.as_role(role)
        for route in routes:
            answer = await call(api, Actor(tokens.bearer, account, tokens), route, other)
            assert error_of(answer) == STEP_UP_REQUIRED, route
        for own in ("/users/me", "/users/me/sessions", "/mfa", f"/users/{account.id}/permissions"):
            assert (await api.http.get(f"{V1}{own}", headers=tokens.bearer)).status_code == 200, own
        assert (await api.check(tokens, "roles:write"))["reason"] == "step_up_required"
        assert (await api.check(tokens, "films:delete"))["allowed"], "which is not of this service"


async def test_mfa_7_with_one_reading_is_open_and_writing_for_fifteen_minutes(fresh: Fresh) -> None:
    watch = Watch()
    api = await fresh.api(watch, admin_mfa=True)
    boss = await enrol(api, watch, "admin")
    other = await api.create_user()

    async def refused() -> list[tuple[str, str]]:
        actor = Actor(boss.tokens.bearer, boss.account, boss.tokens)
        answers = {route: await call(api, actor, route, other) for route in admin_routes()}
        assert not [answer.text for answer in answers.values() if answer.status_code in {401, 500}]
        return [route for route, answer in answers.items() if answer.status_code == 403 and is_step_up(answer)]

    assert await refused() == [], "the enrolment has just shown a code"
    watch.turn(QUARTER)
    boss.tokens = tokens_of(await api.refresh(boss.tokens.refresh))
    writes = [route for route in admin_routes() if not reads(route)]
    assert await refused() == writes
    boss.tokens = tokens_of(await step_up(api, boss.tokens, current_password=PASSWORD))
    assert await refused() == writes, "the password is no second factor"
    boss.tokens = tokens_of(await step_up(api, boss.tokens, code=boss.code()))
    assert await refused() == []
    watch.turn()
    boss.tokens = await without_a_code(boss)
    assert await refused() == admin_routes(), "a trusted device shows no second factor"


def is_step_up(answer: httpx.Response) -> bool:
    return error_of(answer) == STEP_UP_REQUIRED


async def test_mfa_7_services_have_scopes_and_no_second_factor(fresh: Fresh) -> None:
    watch = Watch()
    api = await fresh.api(watch, admin_mfa=True)
    boss = await enrol(api, watch, "superuser")
    service = await api.service_token(*await api.create_service(boss.tokens, ["permissions:check", "roles:write"]))
    watch.turn(timedelta(minutes=10))
    answer = await asks(api, service, "films:read", user_id=str(boss.account.id))
    assert answer["allowed"]
    made = await api.http.post(f"{V1}/roles", json={"name": unique("role"), "title": "x"}, headers=service)
    assert made.status_code == 201, made.text


@pytest.mark.parametrize(
    ("environment", "admin_mfa", "required"),
    [
        (Environment.PRODUCTION, None, True),
        (Environment.PRODUCTION, False, False),
        (Environment.TEST, None, False),
        (Environment.DEVELOPMENT, None, False),
        (Environment.DEVELOPMENT, True, True),
    ],
)
def test_mfa_7_production_asks_admins_for_a_second_factor(
    environment: Environment, admin_mfa: bool | None, required: bool
) -> None:
    production = {
        "database_url": "postgresql://auth:other@localhost:1/auth",
        "issuer": "https://auth.cinema.example",
        "allowed_hosts": ("localhost",),
    }
    settings: Settings = test_settings(app_env=environment, admin_mfa=admin_mfa, **production)
    assert settings.admin_mfa_required is required
