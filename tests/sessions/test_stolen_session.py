"""What a stolen session can do without the password: not throw its owner out, and not outlive the owner's acts."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from auth_service.users.service import set_active
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of, unique
from tests.support.mailbox import newest
from tests.support.other_worker import unfinished, user_locked, waits_for_a_lock
from tests.support.phone import shown_at
from tests.support.viewer import Viewer, Watch, enrol

Act = Callable[[], Awaitable[httpx.Response]]

GONE = (401, "not_authenticated")


async def send(api: Api, tokens: Tokens, method: str, path: str, **body: Any) -> httpx.Response:
    return await api.http.request(method, f"{V1}{path}", json=body or None, headers=tokens.bearer)


async def test_log_9_ending_all_other_sessions_takes_a_fresh_session(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, stolen = await api.as_role()
    clock.forward(minutes=5)
    owner = await api.log_in(account)
    refused = await send(api, stolen, "POST", "/auth/logout-others")
    assert error_of(refused) == (403, "step_up_required")
    assert (await api.me(owner)).status_code == 200
    shown = tokens_of(await send(api, stolen, "POST", "/auth/step-up", current_password=PASSWORD))
    assert (await send(api, shown, "POST", "/auth/logout-others")).status_code == 204
    assert error_of(await api.me(owner)) == GONE


async def test_ref_5_a_step_up_that_overlaps_a_logout_leaves_no_session(fresh: Fresh) -> None:
    api = await fresh.api()
    _, tokens = await api.as_role()
    end = "UPDATE sessions SET revoked_at = now(), revoked_reason = 'logout' WHERE id = $1"
    async with unfinished(api, end, tokens.session_id):
        step_up = asyncio.create_task(send(api, tokens, "POST", "/auth/step-up", current_password=PASSWORD))
        await waits_for_a_lock(api)
    assert error_of(await step_up) == GONE
    assert not await api.resources.hot.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")


async def overtaken_by_new_password(api: Api, owner: Tokens, account: Account, act: Act) -> httpx.Response:
    """The answer to what a thief began before the owner's change of the password, and what needs a turn after it."""
    body = {"current_password": PASSWORD, "new_password": "nineteen wooden boats"}
    async with user_locked(api, account.id):
        change = asyncio.create_task(send(api, owner, "POST", "/users/me/password", **body))
        await waits_for_a_lock(api)
        late = asyncio.ensure_future(act())
        await waits_for_a_lock(api, 2)
    assert (await change).status_code == 204
    return await late


ACTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "another login": ("POST", "/users/me/login", {"login": "taken.over"}),
    "another address": ("POST", "/users/me/email", {"email": "thief@example.com"}),
    "an authenticator": ("POST", "/mfa/totp", {}),
    "no account": ("DELETE", "/users/me", {}),
}


@pytest.mark.parametrize("act", ACTS)
async def test_pwd_7_what_the_former_password_began_ends_with_it(fresh: Fresh, act: str) -> None:
    api = await fresh.api()
    account, stolen = await api.as_role()
    owner = await api.log_in(account)
    before = (await api.me(owner)).json()
    method, path, body = ACTS[act]
    refused = await overtaken_by_new_password(
        api, owner, account, lambda: send(api, stolen, method, path, current_password=PASSWORD, **body)
    )
    assert error_of(refused) == (409, "password_changed")
    after = (await api.me(owner)).json()
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}


async def test_pwd_7_an_authenticator_of_a_thief_is_not_confirmed_after_it(fresh: Fresh) -> None:
    """Ten recovery codes are hashed meanwhile; it would lock the owner out."""
    api = await fresh.api(watch := Watch())
    account, stolen = await api.as_role()
    owner = await api.log_in(account)
    secret = (await send(api, stolen, "POST", "/mfa/totp", current_password=PASSWORD)).json()["secret"]
    code = shown_at(secret, watch.now)
    refused = await overtaken_by_new_password(
        api, owner, account, lambda: send(api, stolen, "POST", "/mfa/totp/confirm", code=code)
    )
    assert error_of(refused) == GONE
    assert (await send(api, owner, "GET", "/mfa")).json()["enabled"] is False


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/mfa/totp"), ("POST", "/mfa/recovery-codes")])
async def test_pwd_7_nor_is_the_owners_one_changed_after_it(fresh: Fresh, method: str, path: str) -> None:
    watch = Watch()
    viewer = await enrol(await fresh.api(watch), watch)
    stolen = await viewer.log_in()
    before = (await viewer.send("GET", "/mfa")).json()
    body = {"current_password": PASSWORD, "code": viewer.code()}
    refused = await overtaken_by_new_password(
        viewer.api, viewer.tokens, viewer.account, lambda: send(viewer.api, stolen, method, path, **body)
    )
    assert error_of(refused) == (409, "password_changed")
    assert (await viewer.send("GET", "/mfa")).json() == before
    assert tokens_of(await viewer.answer(await new_challenge(viewer), viewer.codes[0]))


async def new_challenge(viewer: Viewer) -> str:
    viewer.account = dataclasses.replace(viewer.account, password="nineteen wooden boats")
    return await viewer.challenge()


async def by_command(api: Api, account: Account, *, active: bool) -> None:
    await set_active(api.resources, account.id, active)


async def by_admin(api: Api, account: Account, *, active: bool) -> None:
    _, admin = await api.as_role("superuser")
    body = {"is_active": active, "reason": "a thief"}
    assert (await send(api, admin, "PATCH", f"/admin/users/{account.id}", **body)).status_code == 200


@pytest.mark.parametrize("switch", [by_command, by_admin])
async def test_log_10_a_disabled_account_forgets_what_waits_for_a_mailbox(
    api: Api, switch: Callable[..., Awaitable[None]]
) -> None:
    """A thief's change of the address, which is why it was disabled, must not be confirmed once it is open again."""
    account, stolen = await api.as_role()
    foreign = f"{unique('thief')}@example.com"
    asked = await send(api, stolen, "POST", "/users/me/email", email=foreign, current_password=PASSWORD)
    assert (asked.status_code, asked.json()["waiting_for"]) == (202, ["new"])
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})).status_code == 202
    await switch(api, account, active=False)
    await switch(api, account, active=True)
    change, reset = await newest(api, foreign, "email_change_new"), await newest(api, account.email, "reset_password")
    confirmed = await api.http.post(f"{V1}/auth/email/confirm", json={"token": change.token})
    assert error_of(confirmed) == (401, "invalid_mail_token")
    body = {"token": reset.token, "new_password": "nineteen wooden boats"}
    assert error_of(await api.http.post(f"{V1}/auth/password/reset", json=body)) == (401, "invalid_mail_token")
    assert (await api.me(await api.log_in(account))).json()["email"] == account.email
