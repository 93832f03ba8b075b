"""A cinema that has been running for a while, some of it hostile, and the five who look at its pages."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from auth_service.seed import DEMO_USERS, seed_users
from tests.support.api import V1, Account, Api, Tokens
from tests.support.phone import enrol_phone
from tests.support.receiver import Receiver

HOSTILE = "\u202e<b>&amp;" + "Ж" * 190
WIDE = "\u202e" + "W" * 99
PEOPLE = (
    ("boris", "Борис Петров", "moderator"),
    ("clara", "Clara Schumann", "subscriber"),
    ("dmitri", "Дмитрий Иванов", "content-manager"),
    ("elena", "Elena Marković", "subscriber"),
    ("farid", "فريد حداد", "viewer"),
)
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "okhttp/4.12.0",
)
FUTURE, PAST = "2035-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


@dataclass(frozen=True)
class World:
    """`ids`: what stands in the addresses of pages, by the names that the routes give their parameters.

    `careful` has an authenticator, one for each language, and these unused recovery codes.
    """

    readers: Mapping[str, Account | None]
    ids: Mapping[str, str]
    careful: Mapping[str, Account]
    recovery_codes: Mapping[str, list[str]]


async def a_world(api: Api, receiver: Receiver) -> World:
    """On a new database; the webhook answers already."""
    await seed_users(api.resources)
    demo = {one.login: one for one in DEMO_USERS}
    readers: dict[str, Account | None] = {"stranger": None}
    for login in ("admin", "manager", "moderator", "viewer"):
        readers[login] = await _found(api, login, demo[login].password)
    admin = readers["admin"]
    assert admin is not None
    tokens = await api.log_in(admin)
    people = [await _person(api, tokens, *one) for one in PEOPLE]
    somebody = await _somebody(api, tokens)
    careful = {language: await api.create_user(login=f"careful-{language}-" + "w" * 40) for language in ("en", "ru")}
    codes = {language: await enrol_phone(api, await api.log_in(account)) for language, account in careful.items()}
    ids = {"user_id": str(somebody.id), "role": "moderator", "name": "night-critic", "code": "festival:award"}
    ids |= {"used_code": "films:watch", "careful": str(careful["en"].id), "path": "nothing/at/all"}
    await _roles(api, tokens)
    await _grants(api, tokens, somebody, people)
    ids["service_id"] = await _service(api, tokens)
    ids["webhook_id"], ids["failing"] = await _webhooks(api, tokens, receiver)
    ids["job_id"] = await _job(api, tokens)
    for account in (*(one for one in readers.values() if one is not None), somebody):
        for browser in BROWSERS:
            await _log_in(api, account, browser)
    await _history(api, somebody.id, admin.id)
    rows = await _get(api, tokens, "/admin/audit?action=role.granted")
    ids["row"] = str(rows["items"][0]["id"])
    ids["device_id"] = str((await _get(api, tokens, "/users/me/devices"))["items"][0]["id"])  # the admin's
    return World(readers, ids, careful, codes)


async def _found(api: Api, login: str, password: str) -> Account:
    row = await api.resources.hot.fetchrow("SELECT id, email FROM users WHERE login = $1", login)
    return Account(row["id"], login, row["email"], password)


async def _person(api: Api, tokens: Tokens, login: str, name: str, role: str) -> Account:
    account = await api.create_user(role, login=login)
    await _ok(api.http.patch(f"{V1}/admin/users/{account.id}", json={"full_name": name}, headers=tokens.bearer))
    return account


async def _somebody(api: Api, tokens: Tokens) -> Account:
    """The longest login and name that there may be, and a crowd so that lists have a next page."""
    account = await api.create_user(login="W" * 64)
    await _ok(api.http.patch(f"{V1}/admin/users/{account.id}", json={"full_name": HOSTILE}, headers=tokens.bearer))
    for number in range(60):
        await api.create_user(login=f"reader-{number:02}", active=number % 9 > 0)
    return account


async def _roles(api: Api, tokens: Tokens) -> None:
    """Besides those that are built in: one that is hostile, and a permission that no role has."""
    award = {"code": "festival:award", "title": HOSTILE[:100], "description": HOSTILE}
    await _ok(api.http.post(f"{V1}/permissions", json=award, headers=tokens.bearer))
    own = {"permissions": ["films:*", "reviews:write"], "parents": ["viewer"], "session_limit": 3}
    role = {"name": "night-critic", "title": HOSTILE[:100], "description": HOSTILE, **own}
    await _ok(api.http.post(f"{V1}/roles", json=role, headers=tokens.bearer))
    await _ok(api.http.post(f"{V1}/roles", json={"name": "day-critic", "title": "Day critic"}, headers=tokens.bearer))
    await _ok(api.http.patch(f"{V1}/roles/night-critic", json={"session_limit": 4}, headers=tokens.bearer))


async def _grants(api: Api, tokens: Tokens, somebody: Account, people: list[Account]) -> None:
    for role, dates in (
        ("moderator", {"reason": HOSTILE}),
        ("content-manager", {"valid_until": FUTURE, "reason": "for the festival"}),
        ("subscriber", {"valid_from": FUTURE}),
        ("night-critic", {"valid_until": FUTURE}),
    ):
        await _grant(api, tokens, somebody, role, dates)
    await api.resources.hot.execute(
        "UPDATE user_roles SET valid_from = now() - interval '3 days', valid_until = now() - interval '1 day'"
        " WHERE user_id = $1 AND role_name = 'night-critic'",
        somebody.id,
    )
    for account in people:
        await _grant(api, tokens, account, "subscriber", {"valid_until": FUTURE})


async def _grant(api: Api, tokens: Tokens, account: Account, role: str, dates: dict[str, str]) -> None:
    await _ok(api.http.put(f"{V1}/users/{account.id}/roles/{role}", json=dates, headers=tokens.bearer))


async def _service(api: Api, tokens: Tokens) -> str:
    """The last of 60."""
    made = {}
    for number in range(60):
        body = {"name": f"ticket-office-{number:02}", "description": HOSTILE, "scopes": ["permissions:check"]}
        made = await _ok(api.http.post(f"{V1}/services", json=body, headers=tokens.bearer))
    return str(made["client_id"])


async def _webhooks(api: Api, tokens: Tokens, receiver: Receiver) -> tuple[str, str]:
    """One that had deliveries, good ones and others, and one that nobody answers."""
    found = []
    for url in (receiver.url, "http://127.0.0.1:9/" + "hook" * 60):
        hook = {"url": url, "description": HOSTILE, "kinds": ["role_granted", "role_revoked"]}
        found.append(str((await _ok(api.http.post(f"{V1}/admin/webhooks", json=hook, headers=tokens.bearer)))["id"]))
    receiver.statuses.extend([204, 500])
    somebody = await api.create_user()
    for role in ("moderator", "subscriber"):
        await _grant(api, tokens, somebody, role, {})
    for webhook in found:
        await _until(api, tokens, f"/admin/webhooks/{webhook}/deliveries", lambda body: body["items"])
    return found[0], found[1]


async def _job(api: Api, tokens: Tokens) -> str:
    names = [f"reader-{number:02}" for number in range(60)] + ["nobody", WIDE]
    body = {"role": "night-critic", "users": names, "reason": HOSTILE, "valid_until": FUTURE}
    made = str((await _ok(api.http.post(f"{V1}/grants/jobs", json=body, headers=tokens.bearer)))["id"])
    await _until(api, tokens, f"/grants/jobs/{made}", lambda body: body["finished_at"])
    return made


async def _log_in(api: Api, account: Account, browser: str) -> None:
    body = {"login": account.login, "password": account.password, "device_name": WIDE}
    await _ok(api.http.post(f"{V1}/auth/login", json=body, headers={"User-Agent": browser}))


async def _history(api: Api, *users: UUID) -> None:
    """Of a month, with more in the evenings, for the charts; and something of everybody's own."""
    await api.resources.hot.execute(
        "INSERT INTO login_history (id, user_id, login_at, succeeded, reason) SELECT gen_random_uuid(),"
        " CASE WHEN n % 50 = 0 THEN ($1::uuid[])[1 + n % cardinality($1)] END,"
        " now() - random() * random() * interval '29 days', n % 7 > 1,"
        " CASE WHEN n % 7 <= 1 THEN (ARRAY['wrong_password', 'locked', 'wrong_code'])[1 + n % 3] END"
        " FROM generate_series(1, 5000) AS n",
        list(users),
    )


async def _until(api: Api, tokens: Tokens, path: str, there: Any) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while not there(await _get(api, tokens, path)):
        assert datetime.now(UTC) < deadline, path
        await asyncio.sleep(0.1)


async def _get(api: Api, tokens: Tokens, path: str) -> dict[str, Any]:
    return await _ok(api.http.get(f"{V1}{path}", headers=tokens.bearer))


async def _ok(answer: Any) -> dict[str, Any]:
    found: httpx.Response = await answer
    assert found.is_success, found.text
    body: dict[str, Any] = found.json()
    return body
