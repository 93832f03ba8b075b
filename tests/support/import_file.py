"""Files for `auth-service users import`, and what became of them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from passlib.hash import bcrypt

from tests.support.api import PASSWORD, Api, unique

BCRYPT = bcrypt.using(rounds=4).hash(PASSWORD)
COLUMNS = ("login", "email", "password_hash", "full_name")
ALL_COLUMNS = (*COLUMNS, "roles", "email_verified", "is_active", "created_at")
Row = dict[str, str]


def row(**changes: str) -> Row:
    login = unique("old")
    return {"login": login, "email": f"{login}@example.com", "password_hash": BCRYPT, "full_name": ""} | changes


def write(
    folder: Path,
    rows: Sequence[Row],
    columns: Sequence[str] = COLUMNS,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> str:
    path = folder / "users.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


async def account_of(api: Api, login: str) -> dict[str, Any]:
    """The row of the account."""
    found = await api.resources.hot.fetchrow("SELECT * FROM users WHERE login = $1", login)
    assert found is not None, login
    return dict(found)


async def stored_hash(api: Api, login: str) -> str | None:
    found: str | None = await api.resources.hot.fetchval("SELECT password_hash FROM users WHERE login = $1", login)
    return found
