"""Reading the login history: filters, pages, the administrator's view; and what a deleted user leaves in it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from auth_service.locks import lock_user
from auth_service.sessions.client import Client
from auth_service.sessions.history import record_failure
from auth_service.users.service import delete_user
from tests.support.access import create_role, grant, moment
from tests.support.api import V1, Account, Api, Tokens, error_of

OWN = f"{V1}/users/me/login-history"
NOBODY = UUID("01980000-0000-7000-8000-000000000000")
DAYS = 40  # over two months or three, whatever day it is
FAILURES = {1: "wrong_password", 2: "locked"}
ADDRESSES = ("192.0.2.1", "192.0.2.11", "2001:db8::1", None)


@dataclass(frozen=True)
class Reader:
    """Somebody with an entry for each of the last days, oldest first, and an admin who looks at the same."""

    api: Api
    account: Account
    tokens: Tokens
    admin: Tokens
    entries: list[dict[str, Any]]

    async def ask(self, by_admin: bool, **params: Any) -> httpx.Response:
        url, tokens = (OWN, self.tokens)
        if by_admin:
            url, tokens = f"{V1}/admin/users/{self.account.id}/login-history", self.admin
        return await self.api.http.get(url, params=params, headers=tokens.bearer)

    async def all_ids(self, by_admin: bool = False, limit: int = 100, **params: Any) -> list[str]:
        found: list[str] = []
        while True:
            answer = await self.ask(by_admin, limit=limit, **params)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["items"]) <= limit
            found += [item["id"] for item in answer.json()["items"]]
            if (cursor := answer.json()["next_cursor"]) is None:
                return found
            params["cursor"] = cursor


@pytest.fixture(scope="module")
async def reader(api: Api) -> Reader:
    account, tokens = await api.as_role()
    _, admin = await api.as_role("admin")
    await api.resources.hot.execute("DELETE FROM login_history WHERE user_id = $1", account.id)
    entries = []
    for day in range(DAYS):
        reason = FAILURES.get(day % 4)
        entry = {
            "id": uuid4(),
            "login_at": moment(days=day - DAYS),
            "user_id": account.id,
            "succeeded": reason is None,
            "reason": reason,
            "device_id": uuid4() if day % 3 else None,
            "ip": ADDRESSES[day // 2 % 4],
        }
        columns = ", ".join(entry)
        await api.resources.hot.execute(
            f"INSERT INTO login_history ({columns}) VALUES ($1, $2, $3, $4, $5, $6, $7)",  # noqa: S608
            *entry.values(),
        )
        entries.append(entry)
    return Reader(api, account, tokens, admin, entries)


FILTERS: list[dict[str, Any]] = [
    {},
    {"succeeded": "true"},
    {"succeeded": "false"},
    {"reason": "locked"},
    {"reason": "wrong_password", "succeeded": "false"},
    {"reason": "unheard_of"},
    {"ip": "192.0.2.1"},
    {"ip": "2001:DB8:0::1"},
    {"ip": "::ffff:192.0.2.11"},
    {"ip": "192.0.2.0"},
    {"since": 10},
    {"until": 10},
    {"since": 5, "until": 30},
    {"since": 7, "until": 7},
    {"since": 5, "until": 35, "succeeded": "false", "reason": "wrong_password", "ip": "192.0.2.1"},
]
SAME_ADDRESS = {"2001:DB8:0::1": "2001:db8::1", "::ffff:192.0.2.11": "192.0.2.11"}


@pytest.mark.parametrize("by_admin", [False, True], ids=["own", "admin"])
@pytest.mark.parametrize("given", FILTERS, ids=lambda given: "-".join(given) or "none")
async def test_filters_choose_what_a_loop_over_all_entries_would(
    reader: Reader, given: dict[str, Any], by_admin: bool
) -> None:
    """`since` and `until` by the number of an entry; page by page and at once."""
    times = [entry["login_at"] for entry in reader.entries]
    params = {name: times[value].isoformat() if isinstance(value, int) else value for name, value in given.items()}

    def chosen(entry: dict[str, Any]) -> bool:
        return (
            ("succeeded" not in given or entry["succeeded"] is (given["succeeded"] == "true"))
            and ("reason" not in given or entry["reason"] == given["reason"])
            and ("ip" not in given or entry["ip"] == SAME_ADDRESS.get(given["ip"], given["ip"]))
            and ("since" not in given or entry["login_at"] >= times[given["since"]])
            and ("until" not in given or entry["login_at"] < times[given["until"]])
        )

    expected = [str(entry["id"]) for entry in reversed(reader.entries) if chosen(entry)]
    assert await reader.all_ids(by_admin, **params) == expected
    assert await reader.all_ids(by_admin, limit=3, **params) == expected


async def test_an_entry_names_its_device(reader: Reader) -> None:
    items = (await reader.ask(False, limit=100)).json()["items"]
    assert [item["device_id"] for item in items] == [
        None if entry["device_id"] is None else str(entry["device_id"]) for entry in reversed(reader.entries)
    ]


BAD: list[dict[str, str]] = [
    {"ip": "192.0.2"},
    {"ip": "192.0.2.0/24"},
    {"ip": "192.0.2.1 "},
    {"ip": "fe80::1%eth0"},
    {"ip": ""},
    {"ip": "localhost"},
    {"ip": "1" * 400},
    {"succeeded": "perhaps"},
    {"reason": "DROP TABLE"},
    {"reason": ""},
    {"reason": "x" * 41},
    {"since": "yesterday"},
    {"since": "1700000000"},
    {"since": "2030-01-31T12:00:00"},
    {"until": "99999-01-01T00:00:00Z"},
    {"since": "2030-01-02T00:00:00Z", "until": "2030-01-01T00:00:00Z"},
    {"succeeded": "true", "reason": "locked"},
]


@pytest.mark.parametrize("by_admin", [False, True], ids=["own", "admin"])
@pytest.mark.parametrize("params", BAD, ids=str)
async def test_adm_1_filters_that_say_nothing_are_422(reader: Reader, params: dict[str, str], by_admin: bool) -> None:
    answer = await reader.ask(by_admin, **params)
    assert error_of(answer) == (422, "validation_error")
    assert "DROP" not in answer.text


# --- the administrator's view ---


async def test_adm_1_the_history_of_others_wants_audit_read(reader: Reader) -> None:
    api, url = reader.api, f"{V1}/admin/users/{reader.account.id}/login-history"
    assert (await api.http.get(url)).status_code == 401
    for role in ("viewer", "moderator", "content-manager"):
        _, tokens = await api.as_role(role)
        assert error_of(await api.http.get(url, headers=tokens.bearer)) == (403, "permission_denied")
    # One's own too: that way leads through the administration.
    own = await api.http.get(url, headers=reader.tokens.bearer)
    assert error_of(own) == (403, "permission_denied")
    _, root = await api.as_role("superuser")
    auditor, tokens = await api.as_role()
    await grant(api, root, auditor.id, await create_role(api, root, "audit:read"))
    seen = await api.http.get(url, headers=tokens.bearer)
    assert len(seen.json()["items"]) == 20
    service = await api.service_token(*await api.create_service(root, ["audit:read"]))
    assert (await api.http.get(url, headers=service)).json() == seen.json()


async def test_adm_1_the_history_of_nobody_is_404(reader: Reader) -> None:
    url = f"{V1}/admin/users/{{}}/login-history"
    unknown = await reader.api.http.get(url.format(NOBODY), headers=reader.admin.bearer)
    assert error_of(unknown) == (404, "not_found")
    junk = await reader.api.http.get(url.format("junk"), headers=reader.admin.bearer)
    assert error_of(junk) == (404, "not_found")
    _, viewer = await reader.api.as_role()
    hidden = await reader.api.http.get(url.format(NOBODY), headers=viewer.bearer)
    assert error_of(hidden) == (403, "permission_denied")


async def test_adm_1_a_cursor_of_another_user_shows_the_asked_users_entries_only(reader: Reader) -> None:
    other, _ = await reader.api.as_role()
    cursor = (await reader.ask(False, limit=1)).json()["next_cursor"]
    url = f"{V1}/admin/users/{other.id}/login-history"
    answer = await reader.api.http.get(url, params={"cursor": cursor}, headers=reader.admin.bearer)
    assert answer.json() == {"items": [], "next_cursor": None}


# --- who is deleted ---


async def entries_of(api: Api, user_id: UUID) -> int:
    return int(await api.resources.hot.fetchval("SELECT count(*) FROM login_history WHERE user_id = $1", user_id))


async def test_a_deleted_user_takes_the_history_along_wherever_it_lies(api: Api) -> None:
    account, _ = await api.as_role()
    other, _ = await api.as_role()
    for user_id in (account.id, other.id):
        for when in (moment(days=-3000), moment(days=-1), moment(days=3000)):
            await api.resources.hot.execute(
                "INSERT INTO login_history (id, login_at, user_id, succeeded) VALUES ($1, $2, $3, false)",
                uuid4(),
                when,
                user_id,
            )
    await delete_user(api.resources, account.id)
    assert await entries_of(api, account.id) == 0
    assert await entries_of(api, other.id) == 4
    await delete_user(api.resources, other.id)


async def test_a_failure_that_overlaps_the_deletion_of_its_user_leaves_no_entry(api: Api) -> None:
    """It waits for the deletion, which holds the user, and then finds nobody; never the other way round."""
    account = await api.create_user()
    async with api.resources.db.begin() as session:
        user = await lock_user(session, account.id)
        failure = asyncio.create_task(record_failure(api.resources, account.id, "wrong_password", Client(None, None)))
        done, _ = await asyncio.wait([failure], timeout=0.3)
        assert not done, "it must wait for who holds the user"
        await session.delete(user)
    await failure
    assert await entries_of(api, account.id) == 0


async def test_failures_racing_with_the_deletion_leave_no_entry(api: Api) -> None:
    for delay in range(8):
        account = await api.create_user()

        async def fail(account: Account = account) -> None:
            for _ in range(6):
                await record_failure(api.resources, account.id, "wrong_password", Client("192.0.2.1", None))

        async def leave(account: Account = account, seconds: float = delay * 0.002) -> None:
            await asyncio.sleep(seconds)
            await delete_user(api.resources, account.id)

        await asyncio.gather(fail(), fail(), leave())
        assert await entries_of(api, account.id) == 0


async def test_a_failure_of_somebody_who_is_here_is_kept_while_others_hold_the_row(api: Api) -> None:
    account = await api.create_user()
    before = api.resources.clock() - timedelta(seconds=1)
    async with api.resources.db.begin() as session:
        await lock_user(session, account.id)
        failure = asyncio.create_task(
            record_failure(api.resources, account.id, "locked", Client("192.0.2.9", "x", "y"))
        )
        await asyncio.sleep(0.05)
    await failure
    await record_failure(api.resources, None, "unknown_login", Client("192.0.2.9", None))
    (row,) = await api.resources.hot.fetch("SELECT * FROM login_history WHERE user_id = $1", account.id)
    assert (row["succeeded"], row["reason"], str(row["ip"])) == (False, "locked", "192.0.2.9")
    assert (row["user_agent"], row["device_name"], row["session_id"]) == ("x", "y", None)
    assert row["login_at"] > before
    unknown = "SELECT count(*) FROM login_history WHERE user_id IS NULL AND reason = 'unknown_login' AND login_at > $1"
    assert await api.resources.hot.fetchval(unknown, before) >= 1
