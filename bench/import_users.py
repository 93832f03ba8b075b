"""Ten thousand accounts of an older system with bcrypt hashes: imported at once, and nobody chooses a new password.

Writes a CSV file, runs `auth-service users import` on it, logs one of the accounts in over HTTP, and shows from the
database that its hash was bcrypt before and is argon2id after. Needs a service that runs on the same database:

    auth-service dev                    # in one terminal
    python bench/import_users.py        # in another; BASE and DATABASE_URL say where, if elsewhere
"""

import argparse
import asyncio
import csv
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import bcrypt

from auth_service.config import load_settings

COSTS = (10, 11, 12, 10, 10)
SUFFIX = "of the old system"


@contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{what:<58} {time.perf_counter() - started:8.2f} s")


def write_csv(path: Path, prefix: str, count: int) -> None:
    """A handful of hashes, reused: making ten thousand would take ten minutes of a core."""
    hashes = [bcrypt.hashpw(password(n).encode(), bcrypt.gensalt(cost)).decode() for n, cost in enumerate(COSTS)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["login", "email", "password_hash", "full_name"])
        for number in range(count):
            login = f"{prefix}-{number}"
            stored = hashes[number % len(hashes)]
            writer.writerow([login, f"{login}@old.example.com", stored, f"Зритель {number}"])


def password(number: int) -> str:
    return f"password {number % len(COSTS)} {SUFFIX}"


def import_file(path: Path) -> None:
    command = [sys.executable, "-m", "auth_service", "users", "import", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the import was refused: {done.stderr.strip()}")
    print(f"  {done.stdout.strip().splitlines()[-1]}")


def log_in(base: str, login: str, typed: str) -> int:
    body = json.dumps({"login": login, "password": typed}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/api/v1/auth/login", body, headers)  # noqa: S310  an address of ours
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError as error:
        sys.exit(f"no service answers at {base}: {error.reason}")


async def fetch(dsn: str, query: str, value: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval(query, value))
    finally:
        await connection.close()


def stored_hash(dsn: str, login: str) -> str:
    found = asyncio.run(fetch(dsn, "SELECT password_hash FROM users WHERE login = $1", login))
    return found[:30] + "…"


def main() -> None:
    parser = argparse.ArgumentParser(description="Imports many accounts with bcrypt hashes and logs one of them in.")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--base", default=os.environ.get("BASE", "http://localhost:8000"))
    options = parser.parse_args()
    dsn = load_settings().asyncpg_dsn
    prefix = f"old-{secrets.token_hex(4)}"
    someone = options.users // 2
    login, right = f"{prefix}-{someone}", password(someone)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "users.csv"
        with timed(f"{options.users} rows written, bcrypt costs {min(COSTS)} to {max(COSTS)}"):
            write_csv(path, prefix, options.users)
        with timed("imported by the command, with its start"):
            import_file(path)

    count = asyncio.run(fetch(dsn, "SELECT count(*) FROM users WHERE login LIKE $1 || '-%'", prefix))
    before = stored_hash(dsn, login)
    print(f"in the database: {count} accounts; {login} has {before}")
    wrong = log_in(options.base, login, right + "x")
    with timed("first login, verifies bcrypt and upgrades"):
        first = log_in(options.base, login, right)
    after = stored_hash(dsn, login)
    with timed("second login, verifies argon2id"):
        second = log_in(options.base, login, right)
    print(f"answers: wrong password {wrong}, first login {first}, second login {second}; now {after}")

    upgraded = before.startswith("$2b$") and after.startswith("$argon2id$")
    if not (count == str(options.users) and (wrong, first, second) == (401, 200, 200) and upgraded):
        sys.exit("FAILED")
    print("ok: everyone is here, nobody chose a new password, and the hash is argon2id")


if __name__ == "__main__":
    main()
