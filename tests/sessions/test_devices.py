"""Devices: known by a token that they get once, trusted for a time, and strangers again when revoked."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from auth_service.admin import support as admin
from auth_service.mail.outbox import open_letter
from auth_service.models import Mail
from auth_service.permissions.actor import OPERATOR
from auth_service.sessions.devices import KEEP_UNSEEN, MOST_DEVICES, delete_unseen
from auth_service.users.service import set_active, set_password
from tests.conftest import Fresh
from tests.support.api import V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of
from tests.support.viewer import Viewer, Watch, enrol, set_up

DEVICES = f"{V1}/users/me/devices"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)


async def devices_of(api: Api, tokens: Tokens) -> list[dict[str, Any]]:
    answer = await api.http.get(DEVICES, headers=tokens.bearer)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def log_in_with(api: Api, account: Account, user_agent: str, **more: Any) -> Tokens:
    body = {"login": account.login, "password": account.password, **more}
    return tokens_of(await api.http.post(f"{V1}/auth/login", json=body, headers={"User-Agent": user_agent}))


async def revoke(api: Api, tokens: Tokens, device_id: str) -> httpx.Response:
    return await api.http.delete(f"{DEVICES}/{device_id}", headers=tokens.bearer)


def device_of(tokens: Tokens) -> str:
    assert tokens.device_token is not None
    return str(UUID(tokens.device_token.partition(".")[0]))


# --- known


async def test_a_device_gets_its_token_at_its_first_login_and_is_known_by_it(api: Api) -> None:
    account = await api.create_user()
    first = await api.log_in(account, device_name="Kitchen")
    assert first.device_token is not None
    assert re.fullmatch(r"[0-9a-f]{32}\.[A-Za-z0-9_-]{43}", first.device_token)
    again = await api.log_in(account, device_token=first.device_token, device_name="Another name")
    assert again.device_token is None
    ((device),) = await devices_of(api, again)
    assert (device["id"], device["name"], device["current"]) == (device_of(first), "Kitchen", True)
    assert device["last_seen_at"] > device["created_at"]
    stranger = await api.log_in(account)
    assert stranger.device_token not in {None, first.device_token}
    assert [item["current"] for item in await devices_of(api, stranger)] == [True, False]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "junk",
        lambda token: token.upper(),
        lambda token: f" {token}",
        lambda token: f"{token}\u200b",
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: f"{'0' * 32}.{token.partition('.')[2]}",
        lambda token: f"{token.partition('.')[0]}.{'A' * 43}",
        lambda token: "." * 8192,
    ],
)
async def test_a_token_that_is_not_ours_is_that_of_a_stranger(api: Api, spoil: Callable[[str], str]) -> None:
    account, tokens = await api.as_role()
    assert tokens.device_token is not None
    other = await api.log_in(account, device_token=spoil(tokens.device_token))
    assert other.device_token is not None
    assert len(await devices_of(api, tokens)) == 2


async def test_mfa_8_another_users_token_has_no_effect(viewer: Viewer) -> None:
    trusted = await viewer.log_in(trust_device=True)
    other = await enrol(viewer.api, viewer.watch)
    tokens = await other.log_in(trusted.device_token, trust_device=True)
    assert tokens.device_token is not None, "to them it is a new device"
    viewer.tokens = trusted
    assert device_of(tokens) not in {item["id"] for item in await devices_of(viewer.api, trusted)}
    assert await asks_for_a_code(viewer, tokens.device_token)
    guess = {"login": other.account.login, "password": "wrong password", "device_token": trusted.device_token}
    assert (await viewer.api.http.post(f"{V1}/auth/login", json=guess)).status_code == 401
    failed = await viewer.api.resources.hot.fetch(
        "SELECT key FROM login_attempts WHERE failures > 0 AND key NOT LIKE 'address:%'"
    )
    assert [row["key"] for row in failed] == [str(other.account.id)], "a stranger's failure"


async def test_mfa_8_a_devices_secret_is_kept_only_as_a_hash(viewer: Viewer) -> None:
    tokens = await viewer.log_in(trust_device=True)
    assert tokens.device_token is not None
    secret = tokens.device_token.partition(".")[2]
    hot = viewer.api.resources.hot
    stored = await hot.fetchval("SELECT secret_hash FROM devices WHERE id = $1", UUID(device_of(tokens)))
    assert stored == hashlib.sha256(secret.encode()).digest()
    for table in ("devices", "sessions", "login_history", "login_challenges", "login_attempts", "mails"):
        rows = await hot.fetch(f"SELECT t::text FROM {table} t")  # noqa: S608
        assert not [row for row in rows if secret in row[0]]
    assert secret not in (await viewer.api.http.get(DEVICES, headers=tokens.bearer)).text


async def test_a_user_has_fifty_devices_at_most(fresh: Fresh) -> None:
    """Also while the clock stands still: the newest is never the one to go."""
    api = await fresh.api(StoppedClock())
    account, oldest = await api.as_role()
    await api.resources.hot.execute(
        "INSERT INTO devices (id, user_id, secret_hash, last_seen_at)"
        " SELECT gen_random_uuid(), $1, 'x', $2 FROM generate_series(1, $3)",
        account.id,
        api.resources.clock() + timedelta(seconds=1),
        MOST_DEVICES - 1,
    )
    newest = await api.log_in(account)
    known = [item["id"] for item in await devices_of(api, newest)]
    assert len(known) == MOST_DEVICES == 50
    assert device_of(newest) in known
    assert device_of(oldest) not in known
    assert (await api.me(oldest)).status_code == 200, "its session goes on"


async def test_a_device_unseen_for_half_a_year_is_forgotten(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, old = await api.as_role()
    clock.forward(days=KEEP_UNSEEN.days - 1)
    seen = await api.log_in(account)
    clock.forward(days=2)
    async with api.resources.db.begin() as session:
        await delete_unseen(session, clock() - KEEP_UNSEEN)
    now = await api.log_in(account, device_token=old.device_token)
    assert {item["id"] for item in await devices_of(api, now)} == {device_of(seen), device_of(now)}


# --- told


async def letters_to(api: Api, account: Account, kind: str) -> list[Any]:
    async with api.resources.db() as session:
        mails = await session.scalars(select(Mail).where(Mail.user_id == account.id, Mail.kind == kind))
        return [open_letter(api.resources, mail) for mail in mails]


async def test_a_mail_tells_of_a_second_different_device_only(api: Api) -> None:
    account = await api.create_user()
    first = await log_in_with(api, account, FIREFOX)
    await log_in_with(api, account, FIREFOX, device_token=first.device_token)
    await log_in_with(api, account, FIREFOX)
    assert await letters_to(api, account, "new_device") == []
    await log_in_with(api, account, SAFARI)
    (letter,) = await letters_to(api, account, "new_device")
    assert letter.to == account.email
    assert "Mobile Safari 17 on iOS 17" in letter.text
    assert "127.0.0.1" in letter.text
    sealed = await api.resources.hot.fetchval("SELECT sealed FROM mails WHERE user_id = $1", account.id)
    assert account.email.encode() not in sealed


# --- trusted


@pytest.fixture
async def viewer(fresh: Fresh) -> Viewer:
    watch = Watch()
    return await enrol(await fresh.api(watch), watch)


async def asks_for_a_code(viewer: Viewer, device_token: str | None) -> bool:
    answer = await viewer.give_password(device_token)
    assert answer.status_code == 200, answer.text
    return "mfa_required" in answer.json()


async def test_mfa_8_a_trusted_device_needs_no_code_for_thirty_days(viewer: Viewer) -> None:
    trusted = (await viewer.log_in(trust_device=True)).device_token
    viewer.watch.turn(timedelta(days=15))
    assert not await asks_for_a_code(viewer, trusted), "and that use makes it no longer"
    viewer.watch.turn(timedelta(days=14, hours=23, minutes=59))
    assert not await asks_for_a_code(viewer, trusted)
    viewer.watch.turn(timedelta(minutes=1))
    assert await asks_for_a_code(viewer, trusted)
    await viewer.log_in(trusted, trust_device=True)
    assert not await asks_for_a_code(viewer, trusted), "trusted anew"


async def test_mfa_8_trust_is_of_that_device_alone_and_only_if_asked_for(viewer: Viewer) -> None:
    untrusted = (await viewer.log_in()).device_token
    await viewer.log_in(trust_device=True)
    assert await asks_for_a_code(viewer, untrusted)
    assert await asks_for_a_code(viewer, None)
    refused = await viewer.answer(await viewer.challenge(), "000000", trust_device=True)
    assert error_of(refused) == (401, "invalid_code")
    assert await asks_for_a_code(viewer, None)


async def test_mfa_8_trust_skips_the_code_and_not_the_password(viewer: Viewer) -> None:
    tokens = await viewer.log_in(trust_device=True)
    body = {"login": viewer.account.login, "password": "wrong password", "device_token": tokens.device_token}
    refused = await viewer.api.http.post(f"{V1}/auth/login", json=body)
    assert error_of(refused) == (401, "invalid_credentials")
    viewer.tokens = tokens_of(await viewer.give_password(tokens.device_token))
    (mine,) = [item for item in (await viewer.send("GET", "/users/me/sessions")).json()["items"] if item["current"]]
    assert mine["second_factor"] is False, "nobody showed one in this session"


async def change_of_the_password(viewer: Viewer) -> None:
    new = "another horse of the battery"
    done = await viewer.send("POST", "/users/me/password", current_password=viewer.account.password, new_password=new)
    assert done.status_code == 204
    viewer.account = Account(viewer.account.id, viewer.account.login, viewer.account.email, new)


async def password_of_the_operator(viewer: Viewer) -> None:
    new = "a horse that support has chosen"
    await set_password(viewer.api.resources, viewer.account.id, new)
    viewer.account = Account(viewer.account.id, viewer.account.login, viewer.account.email, new)


async def another_authenticator(viewer: Viewer) -> None:
    done = await viewer.send("DELETE", "/mfa/totp", current_password=viewer.account.password, code=viewer.code())
    assert done.status_code == 204
    viewer.watch.turn()
    ((here),) = await devices_of(viewer.api, viewer.tokens)
    assert (here["current"], here["trusted_until"]) == (True, None), "before another one is set up"
    viewer.secret, viewer.codes = await set_up(viewer.api, viewer.watch, viewer.tokens)


async def reset_by_an_admin(viewer: Viewer) -> None:
    _, boss = await viewer.api.as_role("admin")
    path = f"{V1}/admin/users/{viewer.account.id}/reset-mfa"
    done = await viewer.api.http.post(path, json={"reason": "lost phone"}, headers=boss.bearer)
    assert done.status_code == 204
    viewer.tokens = await viewer.api.log_in(viewer.account, device_token=viewer.tokens.device_token)
    assert viewer.tokens.device_token is not None, "a stranger, before another one is set up"
    viewer.secret, viewer.codes = await set_up(viewer.api, viewer.watch, viewer.tokens)


async def deactivation(viewer: Viewer) -> None:
    for active in (False, True):
        await set_active(viewer.api.resources, viewer.account.id, active)


async def logout_by_an_admin(viewer: Viewer) -> None:
    _, boss = await viewer.api.as_role("admin")
    path = f"{V1}/admin/users/{viewer.account.id}/logout-all"
    assert (await viewer.api.http.post(path, headers=boss.bearer)).status_code == 204


async def revocation(viewer: Viewer) -> None:
    assert (await revoke(viewer.api, viewer.tokens, device_of(viewer.tokens))).status_code == 204


TRIGGERS: list[Callable[[Viewer], Awaitable[None]]] = [
    change_of_the_password,
    password_of_the_operator,
    another_authenticator,
    reset_by_an_admin,
    deactivation,
    logout_by_an_admin,
    revocation,
]


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_mfa_8_after_each_trigger_the_next_login_asks_for_a_code(
    viewer: Viewer, trigger: Callable[[Viewer], Awaitable[None]]
) -> None:
    viewer.tokens = await viewer.log_in(trust_device=True)
    device_token = viewer.tokens.device_token
    assert not await asks_for_a_code(viewer, device_token)
    await trigger(viewer)
    assert await asks_for_a_code(viewer, device_token)
    assert (await viewer.log_in(device_token)).access


async def test_mfa_8_a_login_by_trust_that_overlaps_the_revocation_leaves_no_live_session(fresh: Fresh) -> None:
    watch = Watch()
    settings = await fresh.settings()
    viewer = await enrol(await fresh.on(settings, watch), watch)
    other = await fresh.on(settings, watch)
    for number in range(6):
        here = await viewer.log_in()
        trusted = await viewer.log_in(trust_device=True)
        login = asyncio.create_task(viewer.give_password(trusted.device_token))
        await asyncio.sleep(0.012 * number)
        assert (await revoke(other, here, device_of(trusted))).status_code == 204
        answer = await login
        if answer.status_code == 200 and "mfa_required" not in answer.json():
            assert error_of(await other.me(tokens_of(answer))) == (401, "not_authenticated")
        elif answer.status_code != 200:
            assert error_of(answer) == (401, "invalid_credentials")


async def test_mfa_8_a_challenge_does_not_outlive_its_device(viewer: Viewer) -> None:
    lost = await viewer.log_in()
    challenge = await viewer.challenge(lost.device_token)
    here = await viewer.log_in()
    assert (await revoke(viewer.api, here, device_of(lost))).status_code == 204
    late = await viewer.answer(challenge, viewer.code(), trust_device=True)
    assert error_of(late) == (401, "invalid_challenge")


# --- one's own list


async def test_devices_are_listed_in_words(viewer: Viewer) -> None:
    api, account = viewer.api, viewer.account
    body = {"login": account.login, "password": account.password, "device_name": "Desk"}
    given = await api.http.post(f"{V1}/auth/login", json=body, headers={"User-Agent": FIREFOX})
    code = {"challenge": given.json()["challenge"], "code": viewer.code(), "trust_device": True}
    answered = await api.http.post(f"{V1}/auth/login/mfa", json=code, headers={"User-Agent": FIREFOX})
    tokens = tokens_of(answered)
    desk, first = await devices_of(api, tokens)
    now = viewer.watch.now.isoformat().replace("+00:00", "Z")
    assert desk == {
        "id": device_of(tokens),
        "name": "Desk",
        "ip": "127.0.0.1",
        "user_agent": FIREFOX,
        "browser": "Firefox 130",
        "system": "Windows 10",
        "created_at": now,
        "last_seen_at": now,
        "trusted_until": (viewer.watch.now + timedelta(days=30)).isoformat().replace("+00:00", "Z"),
        "current": True,
    }
    assert (first["current"], first["trusted_until"]) == (False, None)
    viewer.watch.turn(timedelta(days=30))
    later = await viewer.log_in(viewer.tokens.device_token)
    assert {item["trusted_until"] for item in await devices_of(api, later)} == {None}
    _, stranger = await api.as_role()
    assert len(await devices_of(api, stranger)) == 1


async def test_a_device_is_renamed_by_its_user_only(api: Api) -> None:
    _, tokens = await api.as_role()
    _, stranger = await api.as_role()
    path = f"{DEVICES}/{device_of(tokens)}"
    renamed = await api.http.patch(path, json={"name": "Кухня"}, headers=tokens.bearer)
    assert (renamed.status_code, renamed.json()["name"], renamed.json()["current"]) == (200, "Кухня", True)
    refused = await api.http.patch(path, json={"name": "Mine"}, headers=stranger.bearer)
    assert error_of(refused) == (404, "not_found")
    for wrong in ({"name": ""}, {"name": "x" * 101}, {"name": None}, {}, {"name": "a", "trusted_until": "2030"}):
        assert error_of(await api.http.patch(path, json=wrong, headers=tokens.bearer)) == (422, "validation_error")
    assert [item["name"] for item in await devices_of(api, tokens)] == ["Кухня"]


async def test_the_name_that_the_owner_gave_is_that_of_its_sessions_too(api: Api) -> None:
    account = await api.create_user()
    tokens, elsewhere = await api.log_in(account, device_name="iPhone"), await api.log_in(account, device_name="TV")
    path = f"{DEVICES}/{device_of(tokens)}"
    assert (await api.http.patch(path, json={"name": "Anna's"}, headers=tokens.bearer)).status_code == 200
    await api.log_in(account, device_token=tokens.device_token, device_name="iPhone")
    sessions = (await api.http.get(f"{V1}/users/me/sessions", headers=elsewhere.bearer)).json()["items"]
    assert [session["device_name"] for session in sessions] == ["Anna's", "TV", "Anna's"]
    history = (await api.http.get(f"{V1}/users/me/login-history", headers=elsewhere.bearer)).json()["items"]
    assert [login["device_name"] for login in history] == ["Anna's", "TV", "iPhone"], "that of its day"


async def test_log_9_revoking_a_device_takes_a_fresh_session(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, lost = await api.as_role()
    here = await api.log_in(account)
    clock.forward(seconds=299)
    assert error_of(await revoke(api, here, device_of(here)[:-4] + "0000")) == (404, "not_found")
    clock.forward(seconds=1)
    assert error_of(await revoke(api, here, device_of(lost))) == (403, "step_up_required")
    assert (await api.me(lost)).status_code == 200
    body = {"current_password": account.password}
    here = tokens_of(await api.http.post(f"{V1}/auth/step-up", json=body, headers=here.bearer))
    assert (await revoke(api, here, device_of(lost))).status_code == 204


async def test_a_revoked_devices_sessions_are_dead_at_once_and_everywhere(fresh: Fresh) -> None:
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    account, lost = await one.as_role()
    again = await two.log_in(account, device_token=lost.device_token)
    here = await two.log_in(account)
    _, stranger = await one.as_role()
    assert error_of(await revoke(one, stranger, device_of(lost))) == (404, "not_found")
    assert (await one.me(lost)).status_code == 200
    assert (await revoke(one, here, device_of(lost))).status_code == 204
    for replica in (two, one):
        for dead in (lost, again):
            assert error_of(await replica.me(dead)) == (401, "not_authenticated")
            assert error_of(await replica.refresh(dead.refresh)) == (401, "invalid_refresh_token")
        assert (await replica.me(here)).status_code == 200
    assert error_of(await revoke(one, here, device_of(lost))) == (404, "not_found")
    assert [item["id"] for item in await devices_of(one, here)] == [device_of(here)]
    assert (await one.log_in(account, device_token=lost.device_token)).device_token is not None, "a stranger again"


async def test_a_device_is_renamed_or_gone_but_nothing_breaks(api: Api) -> None:
    """Renaming and revoking at once."""
    for _ in range(8):
        account, lost = await api.as_role()
        here = await api.log_in(account)
        path = f"{DEVICES}/{device_of(lost)}"
        renaming = [api.http.patch(path, json={"name": str(n)}, headers=here.bearer) for n in range(4)]
        *renamed, revoked = await asyncio.gather(*renaming, revoke(api, here, device_of(lost)))
        assert {answer.status_code for answer in renamed} <= {200, 404}
        assert revoked.status_code == 204


async def test_an_unlock_by_an_admin_opens_the_devices_too(fresh: Fresh) -> None:
    api = await fresh.api(login_failure_limit=3)
    account, tokens = await api.as_role()
    right = {"login": account.login, "password": account.password, "device_token": tokens.device_token}
    for _ in range(3):
        await api.http.post(f"{V1}/auth/login", json=right | {"password": "wrong"})
    assert (await api.http.post(f"{V1}/auth/login", json=right)).status_code == 401
    await admin.unlock(api.resources, OPERATOR, account.id)
    assert (await api.http.post(f"{V1}/auth/login", json=right)).status_code == 200
