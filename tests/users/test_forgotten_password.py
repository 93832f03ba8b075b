"""A forgotten password: what the mailbox's owner can do with a link, and what nobody else can."""

import asyncio
import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from auth_service.users.forgotten_password import BUDGET
from tests.conftest import Fresh
from tests.support.access import create_role, grant
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of, unique
from tests.support.command import Command
from tests.support.mailbox import letters, newest
from tests.support.phone import enrol_phone

NEW = "nineteen-wooden-boats"
INVALID = (401, "invalid_mail_token")


async def forgot(api: Api, email: str, **headers: str) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/password/forgot", json={"email": email}, headers=headers)


async def reset(api: Api, token: str, new: str = NEW) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/password/reset", json={"token": token, "new_password": new})


async def reset_token(api: Api, account: Account) -> str:
    assert (await forgot(api, account.email)).status_code == 202
    return (await newest(api, account.email, "reset_password")).token


async def test_a_forgotten_password_is_replaced(api: Api) -> None:
    account, tokens = await api.as_role()
    letter_token = await reset_token(api, account)
    assert (await api.log_in_as(account.login, PASSWORD)).status_code == 200  # asking changes nothing
    assert (await api.me(tokens)).json()["email_verified"] is False
    done = await reset(api, letter_token)
    assert (done.status_code, done.json().keys()) == (200, {"device_token"})
    assert "set-cookie" not in done.headers
    assert error_of(await api.log_in_as(account.login, PASSWORD)) == (401, "invalid_credentials")
    again = tokens_of(await api.log_in_as(account.login, NEW))
    assert (await api.me(again)).json()["email_verified"] is True  # the link came through this mailbox


async def test_pwd_7_a_reset_ends_every_session_and_tells_the_user(fresh: Fresh) -> None:
    settings = await fresh.settings()
    api, replica = await fresh.on(settings), await fresh.on(settings)
    account, tokens = await api.as_role()
    other = await api.log_in(account)
    assert (await reset(api, await reset_token(api, account))).status_code == 200
    for dead in (tokens, other):
        assert error_of(await replica.me(dead)) == (401, "not_authenticated")
        assert error_of(await replica.refresh(dead.refresh)) == (401, "invalid_refresh_token")
    assert "was changed" in (await newest(api, account.email, "password_changed")).text


@pytest.mark.parametrize("way", ["own change", "operator"])
async def test_pwd_7_every_change_of_the_password_tells_the_user(api: Api, way: str) -> None:
    account, tokens = await api.as_role()
    if way == "own change":
        body = {"current_password": PASSWORD, "new_password": NEW}
        changed = await api.http.post(f"{V1}/users/me/password", json=body, headers=tokens.bearer)
        assert changed.status_code == 204
    else:
        await Command(api.resources.settings).does("users", "update-password", account.login, typed=NEW)
    assert len(await letters(api, account.email, "password_changed")) == 1


async def test_pwd_7_the_second_factor_tells_the_user_of_every_change(api: Api) -> None:
    account, tokens = await api.as_role()
    codes = await enrol_phone(api, tokens)

    async def told() -> list[str]:
        return [letter.kind for letter in reversed(await letters(api, account.email))]

    assert await told() == ["mfa_enabled"]
    body = {"current_password": PASSWORD, "code": codes[0]}
    assert (await api.http.post(f"{V1}/mfa/recovery-codes", json=body, headers=tokens.bearer)).status_code == 200
    assert await told() == ["mfa_enabled", "recovery_code_used", "recovery_codes_renewed"]
    _, root = await api.as_role("superuser")
    url = f"{V1}/admin/users/{account.id}/reset-mfa"
    assert (await api.http.post(url, json={"reason": "lost"}, headers=root.bearer)).status_code == 204
    assert (await told())[3:] == ["mfa_disabled"]


async def test_pwd_8_known_unknown_and_disabled_are_answered_alike(api: Api) -> None:
    known, disabled = await api.create_user(), await api.create_user(active=False)
    nobody = f"{unique('nobody')}@example.com"
    seen = set()
    for email in (known.email, nobody, disabled.email, known.email.upper()):
        before = await count(api)
        answer = await forgot(api, email, **{"X-Request-Id": "the-same-for-all"})
        headers = {name: value for name, value in answer.headers.items() if name != "date"}
        after = await count(api)
        # As many rows are written for nobody as for somebody.
        written = {table: after[table] - before[table] for table in after}
        seen.add((answer.status_code, answer.text, str(sorted(headers.items()))))
        assert written["mails"] == 1
        assert written["login_attempts"] == (0 if email == known.email.upper() else 1)
    assert len(seen) == 1
    assert len(await letters(api, known.email)) == 2
    for email in (nobody, disabled.email):
        assert await letters(api, email) == []
        dumped = await api.resources.hot.fetch("SELECT t::text FROM mailed_tokens t")
        assert email not in str(dumped)


async def count(api: Api) -> dict[str, int]:
    tables = ("mails", "mailed_tokens", "login_attempts")
    return {table: await api.resources.hot.fetchval(f"SELECT count(*) FROM {table}") for table in tables}  # noqa: S608


async def test_pwd_8_a_token_has_256_bits_and_is_kept_as_a_hash(api: Api) -> None:
    account = await api.create_user()
    token = await reset_token(api, account)
    secret = token.partition(".")[2]
    assert re.fullmatch(r"[0-9a-f]{32}\.[A-Za-z0-9_-]{43}", token)  # 43 characters of base64url: 32 bytes
    for row in await api.resources.hot.fetch("SELECT * FROM mailed_tokens WHERE user_id = $1", account.id):
        assert secret not in str([value.decode("latin-1") if isinstance(value, bytes) else value for value in row])


async def test_pwd_8_two_uses_at_once_are_one_success(api: Api) -> None:
    account = await api.create_user()
    token = await reset_token(api, account)
    passwords = [f"{NEW} {number}x" for number in range(6)]
    answers = await asyncio.gather(*(reset(api, token, new) for new in passwords))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5
    assert {error_of(answer) for answer in answers if answer.is_error} == {INVALID}
    winner = passwords[[answer.status_code for answer in answers].index(200)]
    assert [(await api.log_in_as(account.login, new)).status_code for new in (winner,)] == [200]
    assert error_of(await reset(api, token)) == INVALID


async def test_pwd_8_a_token_lives_thirty_minutes(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account = await api.create_user()
    token = await reset_token(api, account)
    clock.forward(minutes=30)
    assert error_of(await reset(api, token)) == INVALID
    token = await reset_token(api, account)
    clock.forward(minutes=29, seconds=59)
    assert (await reset(api, token)).status_code == 200


async def test_pwd_8_a_newer_link_voids_the_older_ones(api: Api) -> None:
    account = await api.create_user()
    first, second = await reset_token(api, account), await reset_token(api, account)
    assert error_of(await reset(api, first)) == INVALID
    assert (await reset(api, second)).status_code == 200


async def test_pwd_8_a_token_of_another_purpose_or_user_or_of_nobody_opens_nothing(api: Api) -> None:
    login = unique("purpose")
    body = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 201
    verify = (await newest(api, body["email"], "verify_email")).token
    assert error_of(await reset(api, verify)) == INVALID
    token = await reset_token(api, await api.create_user())
    confirmed = await api.http.post(f"{V1}/auth/email/confirm", json={"token": token})
    assert error_of(confirmed) == INVALID
    other = await reset_token(api, await api.create_user())
    crossed = f"{token.partition('.')[0]}.{other.partition('.')[2]}"
    for junk in (
        crossed,
        token[:-1],
        token + "A",
        token.upper(),
        other.partition(".")[2],
        "x",
        "e30.e30.e30",
        "п" * 76,
    ):
        assert error_of(await reset(api, junk)) == INVALID
    assert (await reset(api, token)).status_code == 200


async def test_pwd_8_a_password_that_breaks_the_rules_leaves_the_token(api: Api) -> None:
    account = await api.create_user()
    token = await reset_token(api, account)
    for bad in ("short", "password1", f"{account.login}1"):
        assert error_of(await reset(api, token, bad)) == (422, "validation_error")
    assert (await reset(api, token)).status_code == 200


async def test_pwd_8_a_change_of_the_password_voids_the_link(api: Api) -> None:
    account, tokens = await api.as_role()
    token = await reset_token(api, account)
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await api.http.post(f"{V1}/users/me/password", json=body, headers=tokens.bearer)).status_code == 204
    assert error_of(await reset(api, token, "what the finder wants")) == INVALID
    assert (await api.log_in_as(account.login, NEW)).status_code == 200


async def test_pwd_8_a_disabled_account_is_not_reset_by_an_older_link(api: Api) -> None:
    account = await api.create_user()
    token = await reset_token(api, account)
    await api.resources.hot.execute("UPDATE users SET is_active = false WHERE id = $1", account.id)
    assert error_of(await reset(api, token)) == INVALID


async def test_pwd_8_a_link_to_an_address_that_the_account_no_longer_has_is_dead(api: Api) -> None:
    account = await api.create_user()
    token = await reset_token(api, account)
    moved = f"{unique('moved')}@example.com"
    await api.resources.hot.execute("UPDATE users SET email = $2, email_key = $2 WHERE id = $1", account.id, moved)
    assert error_of(await reset(api, token)) == INVALID


async def test_pwd_8_the_second_factor_is_still_asked_for(api: Api) -> None:
    account, tokens = await api.as_role()
    await enrol_phone(api, tokens)
    assert (await reset(api, await reset_token(api, account))).status_code == 200
    asked = await api.log_in_as(account.login, NEW)
    assert asked.json()["mfa_required"] is True
    assert "access_token" not in asked.json()


async def test_pwd_8_the_link_is_built_from_settings_alone(fresh: Fresh) -> None:
    api = await fresh.api(allowed_hosts="*", account_url="https://www.cinema.example/me/", trusted_proxies="*")
    account = await api.create_user()
    evil = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "Origin": "https://evil.example",
        "Referer": "https://evil.example/",
    }
    for headers in ({}, evil):
        assert (await forgot(api, account.email, **headers)).status_code == 202
        link = (await newest(api, account.email, "reset_password")).link
        # In the fragment: it reaches no server's log.
        assert link.startswith("https://www.cinema.example/me/reset-password#token=")
        assert "evil" not in (await newest(api, account.email, "reset_password")).text


async def test_pwd_8_ten_mails_an_hour(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account = await api.create_user()
    for email in (account.email, "nobody@example.com"):
        answers = [await forgot(api, email) for _ in range(BUDGET + 3)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    assert len(await letters(api, account.email)) == BUDGET == 10
    newest_token = (await newest(api, account.email, "reset_password")).token
    clock.forward(hours=1, seconds=1)
    assert (await forgot(api, account.email)).status_code == 202
    assert len(await letters(api, account.email)) == BUDGET + 1
    assert error_of(await reset(api, newest_token)) == INVALID


async def test_log_3_the_link_gets_its_owner_in_while_the_account_is_locked(api: Api) -> None:
    account = await api.create_user()
    for _ in range(api.resources.settings.login_failure_limit):
        await api.log_in_as(account.login, "a wrong password")
    assert error_of(await api.log_in_as(account.login, PASSWORD)) == (401, "invalid_credentials")
    assert (await reset(api, await reset_token(api, account))).status_code == 200
    assert (await api.log_in_as(account.login, NEW)).status_code == 200


@pytest.mark.parametrize("look_alike", ["ı", "і", "ⅰ"], ids=["dotless i", "Cyrillic i", "Roman numeral"])
async def test_reg_3_a_look_alike_address_gets_no_mail(api: Api, look_alike: str) -> None:
    login = unique("mike")
    account = await api.create_user(login=login)
    typed = account.email.replace("i", look_alike, 1)
    assert typed != account.email
    answer = await forgot(api, typed)
    assert answer.status_code in {202, 422}
    assert await letters(api, typed) == []
    assert {letter.to for letter in await letters(api, account.email)} <= {account.email}


async def test_reg_3_mail_goes_to_the_stored_spelling(api: Api) -> None:
    account = await api.create_user()
    assert (await forgot(api, account.email.upper())).status_code == 202
    assert len(await letters(api, account.email)) == 1
    assert await letters(api, account.email.upper()) == []


async def test_reg_1_asking_for_a_password_does_not_tell_who_is_registered(api: Api) -> None:
    """Registration itself does tell; docs/decisions.md says why."""
    taken = await api.create_user()
    answers = [await forgot(api, email) for email in (taken.email, f"{unique('free')}@example.com")]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1


# --- started by an admin


async def start(api: Api, caller: Tokens, user_id: UUID) -> httpx.Response:
    return await api.http.post(f"{V1}/admin/users/{user_id}/send-password-reset", headers=caller.bearer)


async def test_pwd_8_an_admin_starts_it_and_sees_nothing(api: Api) -> None:
    account = await api.create_user()
    _, admin = await api.as_role("superuser")
    answer = await start(api, admin, account.id)
    assert answer.status_code == 202
    letter = await newest(api, account.email, "reset_password")
    assert letter.token not in answer.text
    assert (await api.log_in_as(account.login, PASSWORD)).status_code == 200
    assert (await reset(api, letter.token)).status_code == 200
    await Command(api.resources.settings).does("users", "send-password-reset", account.login)
    assert len(await letters(api, account.email, "reset_password")) == 2


async def test_rbac_1_who_starts_it_must_hold_all_that_the_user_holds(api: Api) -> None:
    root, root_tokens = await api.as_role("superuser")
    helper, helper_tokens = await api.as_role()
    await grant(api, root_tokens, helper.id, await create_role(api, root_tokens, "users:write"))
    assert error_of(await start(api, helper_tokens, root.id)) == (403, "exceeds_own_permissions")
    assert await letters(api, root.email) == []


async def test_it_is_refused_for_nobody_and_for_disabled_accounts(api: Api) -> None:
    disabled = await api.create_user(active=False)
    _, admin = await api.as_role("superuser")
    assert error_of(await start(api, admin, disabled.id)) == (409, "account_disabled")
    assert error_of(await start(api, admin, UUID(int=1))) == (404, "not_found")
    assert await letters(api, disabled.email) == []


@pytest.mark.parametrize(
    "body", [{}, {"email": "x"}, {"email": None}, {"email": ["a@example.com"]}, {"email": "a@example.com", "to": "b"}]
)
async def test_bodies_that_are_refused(api: Api, body: dict[str, Any]) -> None:
    assert error_of(await api.http.post(f"{V1}/auth/password/forgot", json=body)) == (422, "validation_error")


async def test_log_3_the_mailbox_opens_an_account_that_is_closed_to_strangers(fresh: Fresh) -> None:
    """Under an attack that goes on: a stranger's password is not looked at, that of the device at the mailbox is."""
    api = await fresh.api(login_failure_limit=3, login_total_failure_limit=3)
    account = await api.create_user()

    async def attack() -> None:
        for _ in range(3):
            await api.log_in_as(account.login, "a guess of a stranger")

    await attack()
    assert error_of(await api.log_in_as(account.login, account.password)) == (401, "invalid_credentials")
    token = (await reset(api, await reset_token(api, account))).json()["device_token"]
    await attack()
    assert error_of(await api.log_in_as(account.login, NEW)) == (401, "invalid_credentials")
    body = {"login": account.login, "password": NEW, "device_token": token}
    assert tokens_of(await api.http.post(f"{V1}/auth/login", json=body))


async def test_cke_1_a_page_gets_the_device_as_a_cookie(fresh: Fresh) -> None:
    api = await fresh.api()
    account = await api.create_user()
    body = {"token": await reset_token(api, account), "new_password": NEW}
    headers = {"X-Token-Transport": "cookie", "Origin": api.resources.settings.issuer}
    done = await api.http.post(f"{V1}/auth/password/reset", json=body, headers=headers)
    assert (done.status_code, done.json()) == (200, {})
    assert [name.partition("=")[0] for name in done.headers.get_list("set-cookie")] == ["auth_device"]
    assert "HttpOnly" in done.headers["set-cookie"]
