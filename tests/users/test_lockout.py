"""Budgets of failures: strangers cannot lock the owner out, and nobody gets more guesses than there are."""

import asyncio
import os
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from auth_service.core.passwords import hashing as passwords
from auth_service.mail.outbox import open_letter
from auth_service.models import Mail
from auth_service.users import attempts
from tests.conftest import Fresh
from tests.support.api import V1, Account, Api, StoppedClock, error_of, tokens_of, unique
from tests.support.viewer import Watch, enrol

WRONG = "not the password of anyone"
INVALID = (401, "invalid_credentials")
CLOSED = (429, "too_many_failures")
STRANGERS = int(os.environ.get("LOCKOUT_FAILURES", "200"))
PROXIED: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "login_address_failure_limit": 20}


async def try_login(
    api: Api, login: str, password: str = WRONG, *, ip: str = "192.0.2.1", device_token: str | None = None
) -> httpx.Response:
    """From an address that the proxy tells."""
    body = {"login": login, "password": password, "device_token": device_token}
    headers = {"X-Forwarded-For": ip, "X-Request-Id": "the-same-each-time"}
    return await api.http.post(f"{V1}/auth/login", json=body, headers=headers)


async def reasons_of(api: Api, account: Account) -> Counter[str | None]:
    rows = await api.resources.hot.fetch("SELECT reason FROM login_history WHERE user_id = $1", account.id)
    return Counter(row["reason"] for row in rows)


async def letters_of(api: Api, account: Account) -> list[Any]:
    async with api.resources.db() as session:
        mails = await session.scalars(select(Mail).where(Mail.user_id == account.id, Mail.kind == "many_failures"))
        return [open_letter(api.resources, mail) for mail in mails]


# --- LOG-4


async def test_log_4_two_hundred_strangers_do_not_keep_the_owner_out(fresh: Fresh) -> None:
    """LOCKOUT_FAILURES=1000 tries harder."""
    api = await fresh.api(StoppedClock(), **PROXIED)
    account, tokens = await api.as_role()
    guesses = asyncio.gather(
        *(try_login(api, account.login, f"{WRONG} {n}", ip=f"198.51.100.{n % 200}") for n in range(STRANGERS))
    )
    let_in = []
    for _ in range(20):
        let_in.append(await try_login(api, account.login, account.password, device_token=tokens.device_token))
    assert {error_of(answer) for answer in await guesses} == {INVALID}
    assert [answer.status_code for answer in let_in] == [200] * 20
    reasons = await reasons_of(api, account)
    limit = api.resources.settings.login_failure_limit
    assert reasons == {None: 21, "wrong_password": limit, "locked": STRANGERS - limit}
    stranger = await try_login(api, account.login, account.password, ip="203.0.113.9")
    assert error_of(stranger) == INVALID, "for strangers it is locked, whatever they know"


async def test_log_4_a_lock_of_strangers_outlives_the_owners_logins(fresh: Fresh) -> None:
    """Else every login of the owner would give the strangers a new budget at once."""
    api = await fresh.api(StoppedClock(), login_failure_limit=3)
    account, tokens = await api.as_role()
    for _ in range(4):
        for _ in range(3):
            await try_login(api, account.login)
        right = await try_login(api, account.login, account.password, device_token=tokens.device_token)
        assert right.status_code == 200
    assert (await reasons_of(api, account))["wrong_password"] == 3


async def test_log_4_a_devices_budget_is_its_own_and_locks_too(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, login_failure_limit=3, login_lock_seconds=60, login_total_failure_limit=5)
    account, tokens = await api.as_role()
    other = await api.log_in(account)
    for _ in range(4):
        assert error_of(await try_login(api, account.login, device_token=tokens.device_token)) == INVALID
    assert await reasons_of(api, account) == {None: 2, "wrong_password": 3, "locked": 1}

    async def status(device_token: str | None) -> int:
        return (await try_login(api, account.login, account.password, device_token=device_token)).status_code

    assert await status(tokens.device_token) == 401
    assert await status(other.device_token) == 200, "another device of the user"
    assert await status(None) == 200, "strangers"
    clock.forward(seconds=61)
    for _ in range(3):
        await try_login(api, account.login, device_token=tokens.device_token)
    clock.forward(days=2)
    assert (await reasons_of(api, account))["wrong_password"] == 5
    assert await status(tokens.device_token) == 401, "five in a row were the most"
    assert await status(None) == 200


async def test_log_2_parallel_guesses_from_a_known_device_never_exceed_its_budget(fresh: Fresh) -> None:
    settings = await fresh.settings(login_failure_limit=5)
    replicas = [await fresh.on(settings) for _ in range(2)]
    account, tokens = await replicas[0].as_role()
    guesses = [
        try_login(replicas[n % 2], account.login, device_token=tokens.device_token if n % 5 else None)
        for n in range(50)
    ]
    assert {error_of(answer) for answer in await asyncio.gather(*guesses)} == {INVALID}
    assert await reasons_of(replicas[0], account) == {None: 1, "wrong_password": 5 + 5, "locked": 40}
    for device_token in (tokens.device_token, None):
        late = await try_login(replicas[1], account.login, account.password, device_token=device_token)
        assert error_of(late) == INVALID, "the right one among them, but too late"


# --- LOG-3


async def closed_account(api: Api, clock: StoppedClock) -> tuple[Account, str | None]:
    """(the account, the token of a device that it knows): strangers have used up all that they get in a row."""
    account, tokens = await api.as_role()
    for _ in range(5):
        for _ in range(3):
            await try_login(api, account.login)
        clock.forward(seconds=61)
    return account, tokens.device_token


LOW: dict[str, Any] = {"login_failure_limit": 3, "login_lock_seconds": 60, "login_total_failure_limit": 7}


async def test_log_3_after_the_most_in_a_row_strangers_are_locked_out_for_good(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, **LOW)
    account, known = await closed_account(api, clock)
    assert (await reasons_of(api, account))["wrong_password"] == 7
    for days in (1, 40, 400):
        clock.forward(days=days)
        await attempts.forget_old(api.resources, clock() - timedelta(hours=1))
        assert error_of(await try_login(api, account.login, account.password)) == INVALID, f"after {days} more days"
    assert (await reasons_of(api, account))["wrong_password"] == 7, "over any time"
    (letter,) = await letters_of(api, account)
    assert letter.to == account.email
    # The owner comes from a known device, and the account is open again.
    right = await try_login(api, account.login, account.password, device_token=known)
    assert right.status_code == 200
    assert (await try_login(api, account.login, account.password)).status_code == 200
    assert len(await letters_of(api, account)) == 1


async def test_log_3_an_admin_opens_what_strangers_have_closed(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, **LOW)
    account, _ = await closed_account(api, clock)
    assert error_of(await try_login(api, account.login, account.password)) == INVALID
    _, boss = await api.as_role("admin")
    unlocked = await api.http.post(f"{V1}/admin/users/{account.id}/unlock", headers=boss.bearer)
    assert unlocked.status_code == 204
    assert (await try_login(api, account.login, account.password)).status_code == 200


async def test_log_3_a_known_devices_login_counts_the_row_anew(fresh: Fresh) -> None:
    """Wrong passwords of strangers add up only while the owner stays away."""
    clock = StoppedClock()
    api = await fresh.api(clock, **LOW)
    account, tokens = await api.as_role()
    for _ in range(4):
        for _ in range(3):
            await try_login(api, account.login)
        await try_login(api, account.login, account.password, device_token=tokens.device_token)
        clock.forward(seconds=61)
    assert (await reasons_of(api, account))["wrong_password"] == 12
    assert await letters_of(api, account) == []
    assert (await try_login(api, account.login, account.password)).status_code == 200


# --- LOG-7


async def test_log_7_one_password_over_many_accounts_is_stopped_by_the_address(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, **(PROXIED | {"login_address_failure_limit": 5}))
    people = [await api.create_user() for _ in range(40)]
    answers = [await try_login(api, person.login) for person in people[:20]]
    answers += await asyncio.gather(*(try_login(api, person.login) for person in people[20:]))
    answers.append(await try_login(api, unique("nobody")))
    assert [error_of(answer) for answer in answers] == [INVALID] * 5 + [CLOSED] * 36
    assert {answer.headers["retry-after"] for answer in answers[5:]} == {"900"}
    assert len({answer.content for answer in answers[5:]}) == 1
    evaluated = "SELECT count(*) FROM login_history WHERE reason IN ('wrong_password', 'unknown_login')"
    assert await api.resources.hot.fetchval(evaluated) == 5
    person = people[7]
    assert error_of(await try_login(api, person.login, person.password)) == CLOSED, "the right one neither"
    assert (await try_login(api, person.login, person.password, ip="192.0.2.2")).status_code == 200
    clock.forward(minutes=14, seconds=59)
    assert error_of(await try_login(api, person.login, person.password)) == CLOSED
    clock.forward(seconds=1)
    assert (await try_login(api, person.login, person.password)).status_code == 200


async def test_log_7_parallel_tries_of_one_address_never_exceed_its_budget(fresh: Fresh) -> None:
    settings = await fresh.settings(**(PROXIED | {"login_address_failure_limit": 5}))
    replicas = [await fresh.on(settings) for _ in range(2)]
    people = [await replicas[0].create_user() for _ in range(30)]
    tries = [try_login(replicas[n % 2], person.login) for n, person in enumerate(people)]
    answers = Counter(error_of(answer) for answer in await asyncio.gather(*tries))
    assert answers == {INVALID: 5, CLOSED: 25}


async def test_log_7_an_ipv6_network_of_64_bits_is_one_address(fresh: Fresh) -> None:
    api = await fresh.api(**(PROXIED | {"login_address_failure_limit": 4}))
    account = await api.create_user()
    inside = [await try_login(api, unique("nobody"), ip=f"2001:db8:1:2:{n:x}::{n:x}") for n in range(1, 7)]
    assert [error_of(answer) for answer in inside] == [INVALID] * 4 + [CLOSED] * 2
    assert error_of(await try_login(api, account.login, ip="2001:db8:1:2:ffff::1")) == CLOSED
    for outside in ("2001:db8:1:3::1", "192.0.2.1"):
        assert (await try_login(api, account.login, account.password, ip=outside)).status_code == 200


async def test_log_7_known_devices_and_right_passwords_do_not_use_it_up(fresh: Fresh) -> None:
    """A cinema's own network has one address, and all of its people behind it."""
    api = await fresh.api(**(PROXIED | {"login_address_failure_limit": 3}))
    account, tokens = await api.as_role()
    for _ in range(6):
        assert (await try_login(api, account.login, account.password)).status_code == 200
    for _ in range(5):
        await try_login(api, account.login, device_token=tokens.device_token)
    for _ in range(2):
        assert error_of(await try_login(api, unique("nobody"))) == INVALID
    assert (await try_login(api, account.login, account.password)).status_code == 200, "gives back its own try only"
    assert error_of(await try_login(api, unique("nobody"))) == INVALID
    assert error_of(await try_login(api, account.login, account.password)) == CLOSED
    right = await try_login(api, account.login, account.password, device_token=tokens.device_token)
    assert right.status_code == 200


async def test_log_7_wrong_codes_of_strangers_count_for_their_address(fresh: Fresh) -> None:
    watch = Watch()
    api = await fresh.api(watch, **(PROXIED | {"login_address_failure_limit": 4}))
    viewer = await enrol(api, watch)
    known = (await viewer.log_in()).device_token

    async def answer(device_token: str | None, code: str) -> httpx.Response:
        right = await try_login(api, viewer.account.login, viewer.account.password, device_token=device_token)
        if right.status_code != 200:
            return right
        body = {"challenge": right.json()["challenge"], "code": code}
        return await api.http.post(f"{V1}/auth/login/mfa", json=body, headers={"X-Forwarded-For": "192.0.2.1"})

    # The password before each code takes a try too, and gives it back.
    answers = [error_of(await answer(None, "000000")) for _ in range(5)]
    assert answers == [(401, "invalid_code")] * 4 + [CLOSED]
    assert (await answer(known, viewer.code())).status_code == 200


# --- LOG-6


async def test_log_6_what_is_no_failure_takes_nothing(fresh: Fresh) -> None:
    """Parallel right passwords, "a code is due", and a request for a step-up."""
    watch = Watch()
    settings = await fresh.settings(hash_workers=2, login_address_failure_limit=4, login_failure_limit=4)
    replicas = [await fresh.on(settings, watch) for _ in range(2)]
    account = await replicas[0].create_user()
    viewer = await enrol(replicas[0], watch)
    tries = [try_login(replicas[n % 2], account.login, account.password) for n in range(16)]
    tries += [try_login(replicas[n % 2], viewer.account.login, viewer.account.password) for n in range(8)]
    assert [answer.status_code for answer in await asyncio.gather(*tries)] == [200] * 24
    watch.turn(timedelta(minutes=5))
    tokens = tokens_of(await viewer.api.refresh(viewer.tokens.refresh))
    path = f"{V1}/users/me/devices/{account.id}"
    for _ in range(5):
        refused = await viewer.api.http.delete(path, headers=tokens.bearer)
        assert error_of(refused) == (403, "step_up_required")
    left = await replicas[0].resources.hot.fetchval("SELECT coalesce(sum(failures + unbroken), 0) FROM login_attempts")
    assert left == 0


async def test_log_7_an_address_without_tries_takes_none_of_an_account(fresh: Fresh) -> None:
    api = await fresh.api(StoppedClock(), login_address_failure_limit=1)
    account = await api.create_user()
    assert error_of(await try_login(api, unique("nobody"), ip="192.0.2.1")) == (401, "invalid_credentials")
    assert error_of(await try_login(api, account.login, ip="192.0.2.1")) == (429, "too_many_failures")
    query = "SELECT count(*) FROM login_attempts WHERE key = $1"
    assert await api.resources.hot.fetchval(query, str(account.id)) == 0


async def test_tidying_waits_for_no_login(fresh: Fresh) -> None:
    """A login holds two rows at once: who waits for one of them with the other in hand stops both."""
    clock = StoppedClock()
    api = await fresh.api(clock)
    keys = [f"address:192.0.2.{number}" for number in range(2)]
    for key in keys:
        await attempts.take(api.resources, key, limit=5, window=timedelta(minutes=1))
    clock.forward(hours=1)
    async with api.resources.hot.acquire() as login, login.transaction():
        await login.execute("SELECT FROM login_attempts WHERE key = $1 FOR UPDATE", keys[0])
        await asyncio.wait_for(attempts.forget_old(api.resources, clock()), 2)
    query = "SELECT key FROM login_attempts WHERE key = ANY($1)"
    assert [row["key"] for row in await api.resources.hot.fetch(query, keys)] == keys[:1]


# --- LOG-1: through all of it nothing tells who exists.


async def test_log_1_the_same_answers_and_work_for_a_known_and_an_unknown_login(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong, locked, closed for good, address used up; days later; each from an address of its own."""
    clock = StoppedClock()
    api = await fresh.api(clock, **(PROXIED | LOW | {"login_address_failure_limit": 12}))
    account = await api.create_user()
    hashes: list[str] = []
    verify = passwords._verify_now

    def counted(password: str, stored: str) -> tuple[bool, str | None]:
        hashes.append(stored.split("$")[1])
        return verify(password, stored)

    monkeypatch.setattr(passwords, "_verify_now", counted)

    async def seen(login: str, ip: str) -> list[Any]:
        answer = await try_login(api, login, ip=ip)
        mails = await api.resources.hot.fetchval("SELECT count(*) FROM mails")
        work = (tuple(hashes), mails - seen_mails[0])
        hashes.clear()
        seen_mails[0] = mails
        return [answer.status_code, answer.content, sorted(answer.headers.items()), work]

    seen_mails = [await api.resources.hot.fetchval("SELECT count(*) FROM mails")]
    known, unknown = [], []
    unheard_of = unique("nobody")
    for seconds in [0] * 4 + [61, 0, 0, 0] + [61] * 6 + [900, 86_400, 40 * 86_400]:
        clock.forward(seconds=seconds)
        await attempts.forget_old(api.resources, clock() - timedelta(hours=1))
        known.append(await seen(account.login, "192.0.2.1"))
        unknown.append(await seen(unheard_of, "192.0.2.2"))
    assert known == unknown
    assert {status for status, *_ in known} == {401, 429}
    assert len(await letters_of(api, account)) == 1
