"""Files for `auth-service users import`, and what became of them."""

import csv
from collections.abc import Sequence
from pathlib import Path

from passlib.hash import bcrypt

from tests.support.api import PASSWORD, Api, unique

BCRYPT = bcrypt.using(rounds=4).hash(PASSWORD)
COLUMNS = ("login", "email", "password_hash", "full_name")
Row = dict[str, str]


def row(**changes: str) -> Row:
    login = unique("old")
    return {"login": login, "email": f"{login}@example.com", "password_hash": BCRYPT, "full_name": ""} | changes


def write(folder: Path, rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    path = folder / "users.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


async def stored_hash(api: Api, login: str) -> str | None:
    found: str | None = await api.resources.hot.fetchval("SELECT password_hash FROM users WHERE login = $1", login)
    return found
