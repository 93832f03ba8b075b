"""Login: one answer for every way to be wrong, a budget that no race gets around, and the history of it all."""

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import bcrypt
import httpx
import pytest
from sqlalchemy import event

from auth_service.config import Settings
from auth_service.core.passwords import hashing as passwords
from auth_service.core.passwords.hashing import PasswordHasher
from auth_service.sessions.client import Client
from auth_service.sessions.history import record_failure
from auth_service.users import attempts
from auth_service.users.service import set_active
from tests.conftest import Fresh, running_app
from tests.support.api import PASSWORD, V1, Account, Api, StoppedClock, error_of, tokens_of, unique

WRONG = "not the password of anyone"
INVALID = (401, "invalid_credentials")
SESSION_TABLES = ("users", "login_attempts", "login_history", "sessions")


async def try_login(api: Api, login: str, password: str, **headers: str) -> httpx.Response:
    return await api.http.post(f"{V1}/auth/login", json={"login": login, "password": password}, headers=headers)


async def entries_of(api: Api, account: Account) -> list[Any]:
    rows: list[Any] = await api.resources.hot.fetch(
        "SELECT * FROM login_history WHERE user_id = $1 ORDER BY login_at, id", account.id
    )
    return rows


async def failures_of(api: Api, account: Account) -> int:
    count = await api.resources.hot.fetchval("SELECT failures FROM login_attempts WHERE key = $1", str(account.id))
    return int(count or 0)


async def locked_account(api: Api) -> Account:
    account = await api.create_user()
    await api.resources.hot.execute(
        "INSERT INTO login_attempts (key, failures, last_at) VALUES ($1, $2, $3)",
        str(account.id),
        api.resources.settings.login_failure_limit,
        api.resources.clock(),
    )
    return account


async def wrong_ways(api: Api) -> dict[str, tuple[str, str]]:
    """Every state that must look the same from outside: login and password."""
    known, locked = await api.create_user(), await locked_account(api)
    disabled = await api.create_user(active=False)
    unreadable = await api.create_user(stored_hash="$argon2id$v=19$m=1")
    return {
        "wrong password": (known.login, WRONG),
        "unknown login": (unique("nobody"), WRONG),
        "unknown e-mail": (f"{unique('nobody')}@example.com", WRONG),
        "locked": (locked.login, WRONG),
        "locked, right password": (locked.login, PASSWORD),
        "disabled": (disabled.login, WRONG),
        "disabled, right password": (disabled.login, PASSWORD),
        "stored hash that nothing can read": (unreadable.login, PASSWORD),
    }


async def test_log_1_every_way_to_be_wrong_gets_the_same_answer(api: Api) -> None:
    seen = set()
    for login, password in (await wrong_ways(api)).values():
        answer = await try_login(api, login, password, **{"X-Request-ID": "the-same-each-time"})
        assert error_of(answer) == INVALID
        seen.add((answer.status_code, answer.content, tuple(sorted(answer.headers.items()))))
    assert len(seen) == 1


async def test_log_1_every_way_to_be_wrong_does_the_same_work(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, because a busy machine hides a time: one Argon2id verification and the same statements."""
    hashes: list[str] = []
    verify = passwords._verify_now

    def counted(password: str, stored: str) -> tuple[bool, str | None]:
        hashes.append(stored.split("$")[1])
        return verify(password, stored)

    monkeypatch.setattr(passwords, "_verify_now", counted)
    ways = await wrong_ways(api)
    work = {}
    for name, (login, password) in ways.items():
        hashes.clear()
        async with statements(api) as done:
            await try_login(api, login, password)
        work[name] = (tuple(hashes), tuple(done))
    assert {hashed for hashed, _ in work.values()} == {("argon2id",)}
    shapes = {name: [statement.split("WHERE")[0] for statement in done] for name, (_, done) in work.items()}
    # An e-mail address is looked for in another column, and that is all.
    by_mail = shapes.pop("unknown e-mail")
    for name, shape in shapes.items():
        assert shape == by_mail, name
    assert len(by_mail) == 3, "the user, the tries of address and account, the history entry"


@asynccontextmanager
async def statements(api: Api) -> AsyncIterator[list[str]]:
    """The statements about accounts and sessions that run meanwhile, on both pools."""
    seen: list[str] = []

    def note(text: str) -> None:
        if any(f" {table}" in text for table in SESSION_TABLES):
            seen.append(text)

    def by_asyncpg(record: Any) -> None:
        note(record.query)

    def lent(adapted: Any, *_more: Any) -> None:
        adapted.driver_connection.add_query_logger(by_asyncpg)

    def given_back(adapted: Any, *_more: Any) -> None:
        adapted.driver_connection.remove_query_logger(by_asyncpg)

    pool = api.resources.hot
    async with AsyncExitStack() as held:
        for _ in range(pool.get_max_size()):
            (await held.enter_async_context(pool.acquire())).add_query_logger(by_asyncpg)
    engine = api.resources.engine.sync_engine
    event.listen(engine, "checkout", lent)
    event.listen(engine, "checkin", given_back)
    try:
        yield seen
    finally:
        event.remove(engine, "checkout", lent)
        event.remove(engine, "checkin", given_back)
        async with AsyncExitStack() as held:
            for _ in range(pool.get_max_size()):
                (await held.enter_async_context(pool.acquire())).remove_query_logger(by_asyncpg)


async def test_log_2_parallel_guesses_never_exceed_the_limit(fresh: Fresh) -> None:
    """M13: with read, check and write twenty of fifty were evaluated."""
    settings = await fresh.settings(login_failure_limit=5)
    replicas = [await fresh.on(settings) for _ in range(2)]
    account = await replicas[0].create_user()
    answers = await asyncio.gather(*(try_login(replicas[n % 2], account.login, WRONG) for n in range(50)))
    assert {error_of(answer) for answer in answers} == {INVALID}
    reasons = Counter(row["reason"] for row in await entries_of(replicas[0], account))
    assert reasons == {"wrong_password": 5, "locked": 45}
    assert error_of(await try_login(replicas[1], account.login, account.password)) == INVALID


async def test_log_2_unknown_logins_are_locked_too(fresh: Fresh) -> None:
    """Else the lock itself would tell who exists; and what was typed is kept only as a keyed hash."""
    api = await fresh.api(login_failure_limit=3)
    login = unique("nobody")
    for _ in range(5):
        assert error_of(await try_login(api, login, WRONG)) == INVALID
    ((key, failures),) = await api.resources.hot.fetch(
        "SELECT key, failures FROM login_attempts WHERE key NOT LIKE 'address:%'"
    )
    assert failures == 3
    assert login not in key
    reasons = await api.resources.hot.fetch("SELECT DISTINCT reason, user_id FROM login_history")
    assert [tuple(reason) for reason in reasons] == [("unknown_login", None)]


async def test_log_3_lock_runs_out_by_itself(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, login_failure_limit=3, login_lock_seconds=60)
    account = await api.create_user()
    for _ in range(3):
        await try_login(api, account.login, WRONG)
    clock.forward(seconds=30)
    assert error_of(await try_login(api, account.login, account.password)) == INVALID
    clock.forward(seconds=29)
    assert error_of(await try_login(api, account.login, account.password)) == INVALID, "after 59 seconds"
    clock.forward(seconds=2)
    assert (await try_login(api, account.login, account.password)).status_code == 200, "after 61"
    assert await failures_of(api, account) == 0


async def test_log_3_lock_gives_a_whole_new_budget_and_no_more(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock, login_failure_limit=3, login_lock_seconds=60)
    account = await api.create_user()
    for _ in range(3):
        for _ in range(5):
            await try_login(api, account.login, WRONG)
        clock.forward(seconds=61)
    reasons = Counter(row["reason"] for row in await entries_of(api, account))
    assert reasons == {"wrong_password": 9, "locked": 6}


async def test_log_3_unlocked_by_an_operator(api: Api) -> None:
    account = await locked_account(api)
    assert error_of(await try_login(api, account.login, account.password)) == INVALID
    await attempts.clear(api.resources, str(account.id))
    assert (await try_login(api, account.login, account.password)).status_code == 200


async def test_log_5_every_route_that_checks_a_password_takes_from_one_budget(fresh: Fresh) -> None:
    """That of the session's device, which the logins from it share; strangers' logins have another one (LOG-4)."""
    api = await fresh.api(login_failure_limit=6)
    account, tokens = await api.as_role()
    from_the_device = {"login": account.login, "password": WRONG, "device_token": tokens.device_token}
    answers = []
    for _ in range(3):
        answers += [
            await api.http.post(f"{V1}/auth/login", json=from_the_device),
            await api.http.post(f"{V1}/auth/step-up", json={"current_password": WRONG}, headers=tokens.bearer),
            await api.http.post(
                f"{V1}/users/me/password",
                json={"current_password": WRONG, "new_password": "a new and long passphrase"},
                headers=tokens.bearer,
            ),
            await api.http.post(
                f"{V1}/users/me/login", json={"current_password": WRONG, "login": unique("new")}, headers=tokens.bearer
            ),
            await api.http.post(f"{V1}/mfa/totp", json={"current_password": WRONG}, headers=tokens.bearer),
            await api.http.request("DELETE", f"{V1}/users/me", json={"current_password": WRONG}, headers=tokens.bearer),
        ]
    assert {error_of(answer) for answer in answers} == {INVALID, (403, "wrong_password")}
    budgets = await api.resources.hot.fetch("SELECT key, failures FROM login_attempts WHERE key NOT LIKE 'address:%'")
    assert [(key.partition(":")[0], failures) for key, failures in budgets] == [("device", 6)]
    body = {"current_password": account.password}
    refused = await api.http.request("DELETE", f"{V1}/users/me", json=body, headers=tokens.bearer)
    assert error_of(refused) == (403, "wrong_password"), "the right one too: the device is locked"
    right = from_the_device | {"login": account.email, "password": account.password}
    assert error_of(await api.http.post(f"{V1}/auth/login", json=right)) == INVALID
    assert (await try_login(api, account.email, account.password)).status_code == 200, "as a stranger"


async def test_log_6_parallel_right_passwords_all_succeed(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen at once over two replicas, on a slow Postgres, with a budget for no more tries than there are cores."""
    execute = asyncpg.Pool.execute

    async def slowly(*args: Any, **kwargs: Any) -> str:
        await asyncio.sleep(0.2)
        return await execute(*args, **kwargs)

    monkeypatch.setattr(asyncpg.Pool, "execute", slowly)
    settings = await fresh.settings(login_failure_limit=4, hash_workers=2, session_limit=100)
    replicas = [await fresh.on(settings) for _ in range(2)]
    account = await replicas[0].create_user()
    answers = await asyncio.gather(*(try_login(replicas[n % 2], account.login, account.password) for n in range(16)))
    assert [answer.status_code for answer in answers] == [200] * 16
    assert len({tokens_of(answer).session_id for answer in answers}) == 16
    assert await failures_of(replicas[0], account) == 0


async def test_log_6_right_password_clears_the_count(api: Api) -> None:
    account = await api.create_user()
    for _ in range(3):
        await try_login(api, account.login, WRONG)
    assert await failures_of(api, account) == 3
    await api.log_in(account)
    assert await failures_of(api, account) == 0


async def test_log_6_rate_limit_and_bad_bodies_are_no_failures(fresh: Fresh) -> None:
    api = await fresh.api(rate_limit_login="2/minute")
    account = await api.create_user()
    answers = [await try_login(api, account.login, "") for _ in range(2)]
    answers += [await try_login(api, account.login, WRONG) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 429, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert await failures_of(api, account) == 0


async def test_log_10_disabled_user_is_out_at_once_and_everywhere(fresh: Fresh) -> None:
    settings = await fresh.settings()
    replicas = [await fresh.on(settings) for _ in range(3)]
    account, tokens = await replicas[0].as_role("subscriber")
    for replica in replicas:
        assert (await replica.check(tokens, "films:watch"))["allowed"]
    await set_active(replicas[1].resources, account.id, False)
    for replica in replicas:
        assert error_of(await replica.me(tokens)) == (401, "not_authenticated")
        assert error_of(await replica.refresh(tokens.refresh)) == (401, "invalid_refresh_token")
        assert error_of(await try_login(replica, account.login, account.password)) == INVALID
    _, admin = await replicas[0].as_role("admin")
    for replica in replicas:
        answer = await replica.check(admin, "films:watch", account.id)
        assert answer == {"allowed": False, "reason": "user_inactive"}
    assert [row["reason"] for row in await entries_of(replicas[0], account)] == [None] + ["inactive"] * 3


async def test_log_10_login_that_overlaps_the_disabling_leaves_no_live_session(fresh: Fresh) -> None:
    settings = await fresh.settings()
    one, two = await fresh.on(settings), await fresh.on(settings)
    for number in range(8):
        account = await one.create_user()
        login = asyncio.create_task(try_login(one, account.login, account.password))
        await asyncio.sleep(0.01 * number)
        await set_active(two.resources, account.id, False)
        answer = await login
        assert answer.status_code in {200, 401}
        if answer.status_code == 200:
            assert error_of(await two.me(tokens_of(answer))) == (401, "not_authenticated")


@pytest.mark.parametrize("address", ["junk", "127.0.0.1, junk", "", "::1%eth0", "999.1.1.1", "\xff", "x" * 5000])
async def test_log_10_junk_client_address_widens_nothing(proxied: Api, address: str) -> None:
    account = await proxied.create_user()
    headers = {b"x-forwarded-for": address.encode("latin-1")}
    body = {"login": account.login, "password": WRONG}
    answer = await proxied.http.post(f"{V1}/auth/login", json=body, headers=headers)
    assert error_of(answer) == INVALID
    (entry,) = await entries_of(proxied, account)
    assert str(entry["ip"]) in {"127.0.0.1", "::1"}


@pytest.fixture(scope="module")
async def proxied(shared_settings: Settings) -> AsyncIterator[Api]:
    async with running_app(shared_settings.model_copy(update={"trusted_proxies": ("127.0.0.1",)})) as api:
        yield api


@pytest.mark.real_hashes
@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
@pytest.mark.parametrize("password", [PASSWORD, "x" * 72, "пароль из многих букв", "é" * 36])
async def test_pwd_5_bcrypt_hashes_of_older_systems_are_upgraded(api: Api, prefix: bytes, password: str) -> None:
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=prefix)).decode()
    assert stored.startswith(f"${prefix.decode()}$")
    account = await api.create_user(stored_hash=stored)
    assert error_of(await try_login(api, account.login, WRONG)) == INVALID
    assert await stored_hash(api, account) == stored, "a wrong password changes nothing"
    assert (await try_login(api, account.login, password)).status_code == 200
    upgraded = await stored_hash(api, account)
    assert upgraded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await try_login(api, account.login, password)).status_code == 200
    assert await stored_hash(api, account) == upgraded
    assert error_of(await try_login(api, account.login, WRONG)) == INVALID


async def stored_hash(api: Api, account: Account) -> str:
    return str(await api.resources.hot.fetchval("SELECT password_hash FROM users WHERE id = $1", account.id))


@pytest.mark.real_hashes
async def test_pwd_5_parallel_first_logins_of_a_bcrypt_user_succeed(api: Api) -> None:
    account = await api.create_user(stored_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    answers = await asyncio.gather(*(try_login(api, account.login, PASSWORD) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert (await stored_hash(api, account)).startswith("$argon2id$")


@pytest.mark.parametrize("char", ["x", "😀"])
async def test_pwd_2_bcrypt_ignores_no_tail(api: Api, char: str) -> None:
    """bcrypt sees 72 bytes: a password with a longer tail is another password, and refused."""
    password = char * (72 // len(char.encode()))
    account = await api.create_user(stored_hash=bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode())
    assert error_of(await try_login(api, account.login, f"{password}tail")) == INVALID
    assert (await try_login(api, account.login, password)).status_code == 200


async def test_pwd_4_composed_and_decomposed_letters_are_one_password(api: Api) -> None:
    login = unique("accent")
    composed, decomposed = "caf\u00e9 au lait, s'il vous plait", "cafe\u0301 au lait, s'il vous plait"
    body = {"login": login, "email": f"{login}@example.com", "password": decomposed}
    assert (await api.http.post(f"{V1}/auth/register", json=body)).status_code == 201
    for password in (composed, decomposed):
        assert (await try_login(api, login, password)).status_code == 200
    for password in (f"{composed} ", composed.upper(), f" {composed}"):
        assert error_of(await try_login(api, login, password)) == INVALID


@pytest.mark.real_hashes
async def test_pwd_6_full_queue_is_busy_and_not_wrong(fresh: Fresh) -> None:
    api = await fresh.api(hash_workers=1, hash_queue=2)
    account = await api.create_user()
    answers = await asyncio.gather(*(try_login(api, account.login, account.password) for _ in range(30)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {200, 503}
    assert statuses[200] >= 3, "one that is hashed and two that wait"
    for answer in answers:
        if answer.status_code == 503:
            assert error_of(answer) == (503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
    assert await failures_of(api, account) == 0, "a try that was not evaluated is not counted"
    assert (await try_login(api, account.login, account.password)).status_code == 200


@pytest.mark.real_hashes
async def test_pwd_6_hashing_leaves_the_event_loop_free(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by a hash that waits for the loop: on the loop it would wait for ever."""
    answered = threading.Event()

    def slow(_password: str, _stored: str) -> tuple[bool, str | None]:
        return answered.wait(30), None

    account = await api.create_user()
    monkeypatch.setattr(passwords, "_verify_now", slow)
    login = asyncio.create_task(try_login(api, account.login, account.password))
    while not api.resources.hasher.inside:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert (await api.http.get("/health/live")).status_code == 200
    answered.set()
    assert (await login).status_code == 200


async def test_login_by_every_spelling_of_login_and_email(api: Api) -> None:
    name = unique("Max")
    account = await api.create_user(login=name)
    wide = "".join(chr(ord(char) + 0xFEE0) for char in name)  # full-width letters
    for identifier in (name, name.upper(), name.lower(), f" {name} ", wide, account.email, account.email.upper()):
        tokens = tokens_of(await try_login(api, identifier, PASSWORD))
        assert (await api.me(tokens)).json()["id"] == str(account.id)


@pytest.mark.parametrize("identifier", ["@", "a@", "@b", "a@b@c", "'; --", "%", "_", "x" * 320, "\u202e", "user\u200b"])
async def test_odd_identifiers_are_just_unknown(api: Api, identifier: str) -> None:
    assert error_of(await try_login(api, identifier, WRONG)) == INVALID


async def test_history_tells_what_happened_from_where(api: Api) -> None:
    account = await api.create_user()
    await try_login(api, account.login, WRONG, **{"User-Agent": "an old telephone"})
    body = {"login": account.login, "password": account.password, "device_name": "Living room"}
    tokens = tokens_of(await api.http.post(f"{V1}/auth/login", json=body, headers={"User-Agent": "a television"}))
    answer = await api.http.get(f"{V1}/users/me/login-history", headers=tokens.bearer)
    assert answer.status_code == 200
    good, bad = answer.json()["items"]
    assert answer.json()["next_cursor"] is None
    assert datetime.fromisoformat(good.pop("login_at")) > datetime.fromisoformat(bad.pop("login_at"))
    del good["id"], bad["id"]
    assert good == {
        "succeeded": True,
        "reason": None,
        "session_id": tokens.session_id,
        "device_id": str(UUID(str(tokens.device_token).partition(".")[0])),
        "device_name": "Living room",
        "user_agent": "a television",
        "ip": "127.0.0.1",
    }
    assert bad == {
        "succeeded": False,
        "reason": "wrong_password",
        "session_id": None,
        "device_id": None,
        "device_name": None,
        "user_agent": "an old telephone",
        "ip": "127.0.0.1",
    }
    assert WRONG not in answer.text


async def test_history_holds_no_password_that_was_typed_as_login(fresh: Fresh) -> None:
    api = await fresh.api()
    await try_login(api, "my secret passphrase", WRONG)
    text = await api.resources.hot.fetchval("SELECT login_history::text FROM login_history")
    assert "secret" not in text


async def test_history_pages_neither_repeat_nor_miss_an_entry(api: Api) -> None:
    """Keyset: entries of one and the same moment, and entries that arrive between two pages."""
    account, tokens = await api.as_role()
    moment = api.resources.clock()
    await api.resources.hot.execute(
        "INSERT INTO login_history (id, login_at, user_id, succeeded, reason)"
        " SELECT gen_random_uuid(), $2, $1, false, 'wrong_password' FROM generate_series(1, 25)",
        account.id,
        moment,
    )
    seen: list[str] = []
    times: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 7} | ({} if cursor is None else {"cursor": cursor})
        page = await api.http.get(f"{V1}/users/me/login-history", params=params, headers=tokens.bearer)
        assert page.status_code == 200, page.text
        seen += [item["id"] for item in page.json()["items"]]
        times += [item["login_at"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
        await record_failure(api.resources, account.id, "wrong_password", Client(None, None))
    assert len(seen) == len(set(seen)) == 26
    assert times == sorted(times, reverse=True)


async def test_history_is_ones_own(api: Api) -> None:
    _, tokens = await api.as_role()
    other, _ = await api.as_role()
    await try_login(api, other.login, WRONG)
    page = await api.http.get(f"{V1}/users/me/login-history", headers=tokens.bearer)
    assert [item["session_id"] for item in page.json()["items"]] == [tokens.session_id]


BAD_CURSORS = [
    "x",
    "AAAA",
    "A" * 64,
    base64.urlsafe_b64encode(bytes(23)).decode(),
    base64.urlsafe_b64encode(b"\xff" * 24).decode(),
    base64.urlsafe_b64encode(b"\x7f" + b"\xff" * 23).decode(),
    "é" * 8,
    "=" * 32,
    "'" * 32,
    "",
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
async def test_history_cursor_that_we_did_not_give_is_422(api: Api, cursor: str) -> None:
    _, tokens = await api.as_role()
    answer = await api.http.get(f"{V1}/users/me/login-history", params={"cursor": cursor}, headers=tokens.bearer)
    assert error_of(answer) == (422, "validation_error")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "99999999999999999999"])
async def test_history_limit_out_of_bounds_is_422(api: Api, limit: str) -> None:
    _, tokens = await api.as_role()
    answer = await api.http.get(f"{V1}/users/me/login-history", params={"limit": limit}, headers=tokens.bearer)
    assert error_of(answer) == (422, "validation_error")


async def test_history_cursor_at_the_edges_of_time_is_an_empty_or_full_page(api: Api) -> None:
    _, tokens = await api.as_role()
    for moment, found in ((datetime(1970, 1, 1, tzinfo=UTC), 0), (datetime(9941, 1, 1, tzinfo=UTC), 1)):
        microseconds = round(moment.timestamp()) * 1_000_000
        cursor = base64.urlsafe_b64encode(microseconds.to_bytes(8) + UUID(int=0).bytes).decode()
        page = await api.http.get(f"{V1}/users/me/login-history", params={"cursor": cursor}, headers=tokens.bearer)
        assert len(page.json()["items"]) == found


async def test_rel_1_missing_partition_does_not_stop_a_login(fresh: Fresh) -> None:
    clock = StoppedClock()
    api = await fresh.api(clock)
    account = await api.create_user()
    clock.forward(days=800)
    tokens = await api.log_in(account)
    assert error_of(await try_login(api, account.login, WRONG)) == INVALID
    assert await api.resources.hot.fetchval("SELECT count(*) FROM login_history_default") == 2
    page = await api.http.get(f"{V1}/users/me/login-history", headers=tokens.bearer)
    assert len(page.json()["items"]) == 2


@contextmanager
def one_core_hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(workers=1, queue=1)
    try:
        yield hasher
    finally:
        hasher.close()


@pytest.mark.real_hashes
async def test_pwd_6_given_up_login_frees_its_place_in_the_queue() -> None:
    with one_core_hasher() as hasher:
        async with hasher.slot():
            waiting = asyncio.create_task(hasher.hash(PASSWORD))
            await asyncio.sleep(0)
            assert hasher.inside == 2
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert hasher.inside == 1
        assert (await hasher.hash(PASSWORD)).startswith("$argon2id$")
