"""An account is deleted while somebody is doing something with it: nothing breaks, and nothing stays."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest

from auth_service.users.attempts import forget_old
from auth_service.users.service import delete_user
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.dump import dump
from tests.support.other_worker import user_locked, waits_for_a_lock
from tests.support.outbox import kinds_of
from tests.support.phone import shown_at
from tests.support.viewer import Viewer, Watch, enrol

Act = Callable[[], Awaitable[httpx.Response]]


async def overtaken_by_deletion(api: Api, account: Account, tokens: Tokens, act: Act) -> httpx.Response:
    """The answer to what began before the deletion and needs the user's row after it."""
    body = {"current_password": PASSWORD}
    async with user_locked(api, account.id):
        path = f"{V1}/users/me"
        deletion = asyncio.create_task(api.http.request("DELETE", path, json=body, headers=tokens.bearer))
        await waits_for_a_lock(api)
        late = asyncio.ensure_future(act())
        await waits_for_a_lock(api, 2)
    assert (await deletion).status_code == 204
    answer = await late
    left = await dump(api)
    del left["denials"], left["outbox"]
    assert not any(str(account.id) in text for text in left.values())
    assert (await kinds_of(api, account.id))[-1] == "user_deleted"  # consumers have erased it: nothing comes after
    return answer


@pytest.fixture
async def viewer(fresh: Fresh) -> Viewer:
    watch = Watch()
    return await enrol(await fresh.api(watch), watch)


GONE = (404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/mfa/totp"), ("POST", "/mfa/recovery-codes")])
async def test_a_second_factor_is_changed_or_gone(viewer: Viewer, method: str, path: str) -> None:
    answer = await overtaken_by_deletion(
        viewer.api,
        viewer.account,
        viewer.tokens,
        lambda: viewer.send(method, path, current_password=PASSWORD, code=viewer.code()),
    )
    assert error_of(answer) == GONE


async def test_a_recovery_code_of_a_deleted_account_lets_nobody_in(viewer: Viewer) -> None:
    challenge = await viewer.challenge()
    answer = await overtaken_by_deletion(
        viewer.api, viewer.account, viewer.tokens, lambda: viewer.answer(challenge, viewer.codes[0])
    )
    assert error_of(answer) == (401, "invalid_code")


async def test_a_password_of_a_deleted_account_opens_no_challenge(viewer: Viewer) -> None:
    answer = await overtaken_by_deletion(viewer.api, viewer.account, viewer.tokens, viewer.give_password)
    assert error_of(answer) == (401, "invalid_credentials")


@pytest.mark.parametrize("step", ["started", "confirmed"])
async def test_an_enrolment_of_a_deleted_account(fresh: Fresh, step: str) -> None:
    api = await fresh.api(watch := Watch())
    account, tokens = await api.as_role()

    async def start() -> httpx.Response:
        return await api.http.post(f"{V1}/mfa/totp", json={"current_password": PASSWORD}, headers=tokens.bearer)

    async def confirm() -> httpx.Response:
        code = {"code": shown_at(secret, watch.now)}
        return await api.http.post(f"{V1}/mfa/totp/confirm", json=code, headers=tokens.bearer)

    secret = (await start()).json()["secret"]
    answer = await overtaken_by_deletion(api, account, tokens, start if step == "started" else confirm)
    assert error_of(answer) == (GONE if step == "started" else (401, "not_authenticated"))


async def test_the_failure_that_closes_a_deleted_account_is_one_like_others(fresh: Fresh) -> None:
    """Its owner, who would be told by mail, is no more."""
    api = await fresh.api(login_total_failure_limit=3)
    account, tokens = await api.as_role()
    wrong = "a wrong password"
    for _ in range(2):
        await api.log_in_as(account.login, wrong)
    answer = await overtaken_by_deletion(api, account, tokens, lambda: api.log_in_as(account.login, wrong))
    assert error_of(answer) == (401, "invalid_credentials")


async def test_a_device_revoked_during_its_login_is_a_stranger_in_the_second_step(viewer: Viewer) -> None:
    known = await viewer.log_in()
    api = viewer.api
    device_id = await api.resources.hot.fetchval("SELECT device_id FROM sessions WHERE id = $1", known.session_id)
    async with user_locked(api, viewer.account.id):
        path = f"/users/me/devices/{device_id}"
        revocation = asyncio.create_task(viewer.send("DELETE", path))
        await waits_for_a_lock(api)
        login = asyncio.create_task(viewer.give_password(known.device_token))
        await waits_for_a_lock(api, 2)
    assert (await revocation).status_code == 204
    challenge = (await login).json()["challenge"]
    assert tokens_of(await viewer.answer(challenge, viewer.code())).device_token not in {None, known.device_token}


async def test_a_failure_counted_after_the_deletion_is_forgotten(fresh: Fresh) -> None:
    """The login has read the user and waits for a core; failures of an account that exists are kept for ever."""
    clock = StoppedClock()
    api = await fresh.api(clock, hash_workers=1)
    account, kept = await api.create_user(), await api.create_user()
    await api.log_in_as(kept.login, "a wrong password")
    async with api.resources.hasher.slot():
        login = asyncio.create_task(api.log_in_as(account.login, "a wrong password"))
        async with asyncio.timeout(20):
            while api.resources.hasher.inside < 2:  # noqa: ASYNC110  it has no event for it
                await asyncio.sleep(0.01)
        await delete_user(api.resources, account.id)
    assert error_of(await login) == (401, "invalid_credentials")
    clock.forward(days=31)
    await forget_old(api.resources, clock() - timedelta(hours=1))
    rows = await api.resources.hot.fetch("SELECT key FROM login_attempts WHERE key NOT LIKE 'address:%'")
    assert [row["key"] for row in rows] == [str(kept.id)]
