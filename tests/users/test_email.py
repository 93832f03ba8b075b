"""Whose mailbox it is: confirmed after registration, and at both ends before an address changes."""

import asyncio
from typing import Any

import httpx
import pytest

from auth_service.users.email import BUDGET, delete_expired
from tests.conftest import Fresh
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, Tokens, error_of, tokens_of, unique
from tests.support.mailbox import letters, newest
from tests.support.phone import enrol_phone

INVALID = (401, "invalid_mail_token")
NEW_PASSWORD = "nineteen-wooden-boats"


async def register(api: Api, email: str | None = None) -> tuple[Account, Tokens]:
    login = unique("mailbox")
    body = {"login": login, "email": email or f"{login}@example.com", "password": PASSWORD}
    response = await api.http.post(f"{V1}/auth/register", json=body)
    assert response.status_code == 201, response.text
    account = Account(response.json()["id"], login, body["email"])
    return account, await api.log_in(account)


async def confirm(api: Api, token: str) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/email/confirm", json={"token": token})


async def send_again(api: Api, tokens: Tokens) -> httpx.Response:
    return await api.http.post(f"{V1}/users/me/email/verify", headers=tokens.bearer)


async def ask(api: Api, tokens: Tokens, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"email": email, "current_password": password}
    return await api.http.post(f"{V1}/users/me/email", json=body, headers=tokens.bearer)


async def verified(api: Api) -> tuple[Account, Tokens]:
    account, tokens = await register(api)
    confirmed = await confirm(api, (await newest(api, account.email, "verify_email")).token)
    assert confirmed.status_code == 200, confirmed.text
    return account, tokens


async def change(api: Api, tokens: Tokens, account: Account, email: str) -> tuple[str, str]:
    """The tokens of the old and of the new end."""
    asked = await ask(api, tokens, email)
    assert (asked.status_code, asked.json()) == (202, {"email": email, "waiting_for": ["old", "new"]})
    old = (await newest(api, account.email, "email_change_old")).token
    return old, (await newest(api, email, "email_change_new")).token


async def address_of(api: Api, tokens: Tokens) -> tuple[str, bool]:
    shown = (await api.me(tokens)).json()
    return shown["email"], shown["email_verified"]


# --- after the registration


async def test_a_registration_is_confirmed(api: Api) -> None:
    account, tokens = await register(api)
    assert await address_of(api, tokens) == (account.email, False)
    letter = await newest(api, account.email, "verify_email")
    assert letter.link.startswith("http://localhost:8000/confirm-email#token=")
    confirmed = await confirm(api, letter.token)
    assert confirmed.json() == {"email": account.email, "verified": True, "waiting_for": []}
    assert await address_of(api, tokens) == (account.email, True)
    assert error_of(await send_again(api, tokens)) == (409, "email_verified")


async def test_a_refused_registration_mails_nothing(api: Api) -> None:
    account = await api.create_user()
    body = {"login": account.login, "email": f"{unique('free')}@example.com", "password": PASSWORD}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 409
    assert await letters(api, body["email"]) == []


async def test_the_link_is_sent_again_and_only_the_newest_works(api: Api) -> None:
    account, tokens = await register(api)
    first = (await newest(api, account.email, "verify_email")).token
    assert (await send_again(api, tokens)).status_code == 202
    second = (await newest(api, account.email, "verify_email")).token
    assert error_of(await confirm(api, first)) == INVALID
    assert (await confirm(api, second)).status_code == 200


async def test_ten_links_an_hour(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, tokens = await register(api)
    for _ in range(BUDGET):
        assert (await send_again(api, tokens)).status_code == 202
    refused = await send_again(api, tokens)
    assert error_of(refused) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "3600"
    assert len(await letters(api, account.email)) == 1 + BUDGET
    clock.forward(hours=1, seconds=1)
    again = await api.log_in(account)
    assert (await send_again(api, again)).status_code == 202


async def test_reg_4_two_redemptions_at_once_are_one_success(api: Api) -> None:
    account, _ = await register(api)
    token = (await newest(api, account.email, "verify_email")).token
    answers = await asyncio.gather(*(confirm(api, token) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5
    assert {error_of(answer) for answer in answers if answer.is_error} == {INVALID}


async def test_reg_4_a_link_lives_a_day(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, _ = await register(api)
    token = (await newest(api, account.email, "verify_email")).token
    clock.forward(hours=24)
    assert error_of(await confirm(api, token)) == INVALID


async def test_reg_4_who_registered_with_a_foreign_address_loses_it_to_the_mailbox(api: Api) -> None:
    """Password, sessions, and the way out by a change of the address to an own one."""
    victim = f"{unique('victim')}@example.com"
    thief, thief_tokens = await register(api, victim)
    own = f"{unique('thief')}@example.com"
    asked = await ask(api, thief_tokens, own)
    assert asked.json()["waiting_for"] == ["new"]
    thiefs_link = (await newest(api, own, "email_change_new")).token

    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": victim})).status_code == 202
    token = (await newest(api, victim, "reset_password")).token
    body = {"token": token, "new_password": NEW_PASSWORD}
    assert (await api.http.post(f"{V1}/auth/password/reset", json=body)).status_code == 200

    assert error_of(await api.log_in_as(thief.login, PASSWORD)) == (401, "invalid_credentials")
    assert error_of(await api.me(thief_tokens)) == (401, "not_authenticated")
    assert error_of(await api.refresh(thief_tokens.refresh)) == (401, "invalid_refresh_token")
    assert error_of(await confirm(api, thiefs_link)) == INVALID
    owner = tokens_of(await api.log_in_as(victim, NEW_PASSWORD))
    assert await address_of(api, owner) == (victim, True)


async def test_reg_4_a_link_confirms_only_the_address_that_it_was_sent_to(api: Api) -> None:
    account, tokens = await register(api)
    token = (await newest(api, account.email, "verify_email")).token
    other = f"{unique('other')}@example.com"
    await api.resources.hot.execute("UPDATE users SET email = $2, email_key = $2 WHERE id = $1", account.id, other)
    assert error_of(await confirm(api, token)) == INVALID
    assert await address_of(api, tokens) == (other, False)


# --- the change


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
async def test_an_address_changes_when_both_ends_have_confirmed(api: Api, order: tuple[str, str]) -> None:
    account, tokens = await verified(api)
    email = f"{unique('next')}@example.com"
    ends = dict(zip(("old", "new"), await change(api, tokens, account, email), strict=True))
    half = await confirm(api, ends[order[0]])
    assert half.json() == {"email": email, "verified": False, "waiting_for": [order[1]]}
    assert await address_of(api, tokens) == (account.email, True)
    assert error_of(await confirm(api, ends[order[0]])) == INVALID
    done = await confirm(api, ends[order[1]])
    assert done.json() == {"email": email, "verified": True, "waiting_for": []}
    assert await address_of(api, tokens) == (email, True)
    assert (await api.log_in_as(email, PASSWORD)).status_code == 200
    assert error_of(await api.log_in_as(account.email, PASSWORD)) == (401, "invalid_credentials")
    notice = await newest(api, account.email, "email_changed")
    assert email in notice.text
    assert await letters(api, email, "email_changed") == []


async def test_both_ends_at_once_change_it_once(api: Api) -> None:
    account, tokens = await verified(api)
    email = f"{unique('next')}@example.com"
    answers = await asyncio.gather(*(confirm(api, token) for token in await change(api, tokens, account, email)))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert sorted(answer.json()["verified"] for answer in answers) == [False, True]
    assert await address_of(api, tokens) == (email, True)
    assert len(await letters(api, account.email, "email_changed")) == 1


async def test_an_address_that_was_never_confirmed_has_no_say(api: Api) -> None:
    account, tokens = await register(api)
    email = f"{unique('next')}@example.com"
    asked = await ask(api, tokens, email)
    assert asked.json() == {"email": email, "waiting_for": ["new"]}
    assert await letters(api, account.email, "email_change_old") == []
    assert (await confirm(api, (await newest(api, email, "email_change_new")).token)).json()["verified"] is True
    assert await address_of(api, tokens) == (email, True)
    # The link of the registration went to the former address.
    assert error_of(await confirm(api, (await newest(api, account.email, "verify_email")).token)) == INVALID


async def test_links_sent_to_the_former_address_are_dead(api: Api) -> None:
    account, tokens = await verified(api)
    assert (await api.http.post(f"{V1}/auth/password/forgot", json={"email": account.email})).status_code == 202
    reset = (await newest(api, account.email, "reset_password")).token
    for token in await change(api, tokens, account, f"{unique('next')}@example.com"):
        assert (await confirm(api, token)).status_code == 200
    body = {"token": reset, "new_password": NEW_PASSWORD}
    assert error_of(await api.http.post(f"{V1}/auth/password/reset", json=body)) == INVALID


async def test_a_taken_address_is_refused_when_asked_for(api: Api) -> None:
    taken = await api.create_user()
    account, tokens = await verified(api)
    for email in (taken.email, taken.email.upper(), account.email):
        assert error_of(await ask(api, tokens, email)) == (409, "email_taken")
    assert await letters(api, taken.email) == []


async def test_ones_own_address_in_other_letters_is_a_change_that_both_ends_confirm(api: Api) -> None:
    """To its mail server it may be another mailbox."""
    account, tokens = await verified(api)
    email = account.email.replace("mailbox", "MailBox")
    old, new = await change(api, tokens, account, email)
    assert (await confirm(api, new)).json() == {"email": email, "verified": False, "waiting_for": ["old"]}
    assert await address_of(api, tokens) == (account.email, True)
    assert (await confirm(api, old)).json() == {"email": email, "verified": True, "waiting_for": []}
    assert await address_of(api, tokens) == (email, True)
    assert email in (await newest(api, account.email, "email_changed")).text
    assert (await api.log_in_as(account.email, PASSWORD)).status_code == 200
    assert error_of(await ask(api, tokens, email)) == (409, "email_taken"), "nothing to change"
    _, boss = await api.as_role("superuser")
    path = f"{V1}/admin/users/{account.id}"
    patched = await api.http.patch(path, json={"email": account.email}, headers=boss.bearer)
    assert (patched.status_code, patched.json()["email"]) == (200, account.email)


async def test_an_address_that_is_taken_meanwhile_changes_nothing(api: Api) -> None:
    account, tokens = await verified(api)
    email = f"{unique('next')}@example.com"
    old, new = await change(api, tokens, account, email)
    assert (await confirm(api, old)).status_code == 200
    await register(api, email)
    assert error_of(await confirm(api, new)) == (409, "email_taken")
    assert await address_of(api, tokens) == (account.email, True)
    assert await letters(api, account.email, "email_changed") == []


async def test_it_asks_for_the_password_within_the_budget_of_logins(api: Api) -> None:
    account, tokens = await verified(api)
    email = f"{unique('next')}@example.com"
    assert error_of(await ask(api, tokens, email, "wrong password")) == (403, "wrong_password")
    for _ in range(api.resources.settings.login_failure_limit):
        await ask(api, tokens, email, "wrong password")
    assert error_of(await ask(api, tokens, email)) == (403, "wrong_password")
    assert await letters(api, email) == []
    assert account.email == (await api.me(tokens)).json()["email"]


async def test_ten_changes_an_hour(api: Api) -> None:
    _, tokens = await register(api)
    emails = [f"{unique('next')}@example.com" for _ in range(BUDGET + 1)]
    answers = [await ask(api, tokens, email) for email in emails]
    assert [answer.status_code for answer in answers] == [202] * BUDGET + [429]
    assert await letters(api, emails[-1]) == []


async def test_asking_again_replaces_what_waits(api: Api) -> None:
    account, tokens = await verified(api)
    first, second = (f"{unique('next')}@example.com" for _ in range(2))
    before = await change(api, tokens, account, first)
    after = await change(api, tokens, account, second)
    for token in before:
        assert error_of(await confirm(api, token)) == INVALID
    assert (await confirm(api, after[0])).json()["waiting_for"] == ["new"]
    assert (await confirm(api, after[1])).status_code == 200
    assert await address_of(api, tokens) == (second, True)


async def test_a_change_is_cancelled(api: Api) -> None:
    account, tokens = await verified(api)
    ends = await change(api, tokens, account, f"{unique('next')}@example.com")
    for _ in range(2):
        cancelled = await api.http.delete(f"{V1}/users/me/email", headers=tokens.bearer)
        assert cancelled.status_code == 204
    for token in ends:
        assert error_of(await confirm(api, token)) == INVALID
    assert await address_of(api, tokens) == (account.email, True)


async def test_a_new_password_cancels_a_change(api: Api) -> None:
    account, tokens = await verified(api)
    ends = await change(api, tokens, account, f"{unique('thief')}@example.com")
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await api.http.post(f"{V1}/users/me/password", json=body, headers=tokens.bearer)).status_code == 204
    for token in ends:
        assert error_of(await confirm(api, token)) == INVALID


async def test_a_change_waits_a_day(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, tokens = await verified(api)
    old, new = await change(api, tokens, account, "next@example.com")
    clock.forward(hours=23, minutes=59)
    assert (await confirm(api, old)).status_code == 200
    clock.forward(minutes=1)
    assert error_of(await confirm(api, new)) == INVALID


async def test_what_has_run_out_is_tidied_away(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account, tokens = await verified(api)
    await change(api, tokens, account, "next@example.com")
    for hours, left in ((23, 1), (2, 0)):
        clock.forward(hours=hours)
        async with api.resources.db.begin() as session:
            await delete_expired(session, clock.now)
        for table in ("mailed_tokens", "email_changes"):
            rows = await api.resources.hot.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
            assert (rows > 0) is bool(left), table


async def test_a_disabled_account_confirms_nothing(api: Api) -> None:
    account, tokens = await verified(api)
    ends = await change(api, tokens, account, f"{unique('next')}@example.com")
    await api.resources.hot.execute("UPDATE users SET is_active = false WHERE id = $1", account.id)
    for token in ends:
        assert error_of(await confirm(api, token)) == INVALID


async def test_the_second_factor_stays_with_the_account(api: Api) -> None:
    account, tokens = await verified(api)
    await enrol_phone(api, tokens)
    for token in await change(api, tokens, account, f"{unique('next')}@example.com"):
        assert (await confirm(api, token)).status_code == 200
    assert (await api.log_in_as(account.login, PASSWORD)).json()["mfa_required"] is True


@pytest.mark.parametrize("token", ["", "x", "п" * 76, "a" * 201, None, 7, ["x"]])
async def test_junk_is_refused(api: Api, token: Any) -> None:
    answer = await api.http.post(f"{V1}/auth/email/confirm", json={"token": token})
    assert error_of(answer) in {INVALID, (422, "validation_error")}


async def test_twenty_links_an_hour_to_one_mailbox_over_all_accounts(fresh: Fresh) -> None:
    """Else new accounts, or one that is deleted and made again, would flood a stranger with our mails."""
    clock = StoppedClock()
    api = await fresh.api(clock)
    victim = "victim@example.com"
    answers = []
    for _ in range(3):
        _, tokens = await register(api)
        answers += [(await ask(api, tokens, victim)).status_code for _ in range(BUDGET)]
    assert answers == [202] * 2 * BUDGET + [429] * BUDGET
    assert len(await letters(api, victim)) == 2 * BUDGET
    account, tokens = await register(api, email="Victim@Example.com")
    assert error_of(await send_again(api, tokens)) == (429, "rate_limited")
    assert len(await letters(api, "Victim@example.com")) == 0, "an account without a mail: its link can be had later"
    clock.forward(hours=1, seconds=1)
    assert (await send_again(api, await api.log_in(account))).status_code == 202
