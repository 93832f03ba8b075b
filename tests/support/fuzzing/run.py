"""Runs schemathesis against the shipped service as one caller, and reads what it counted."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth_service.models import User, UserRole, new_id
from auth_service.permissions.codes import OWN_CODES
from auth_service.users.identifiers import canonical_email, canonical_login
from tests.support.api import PASSWORD, Api, password_hash, unique

CALLERS = ("anonymous", "viewer", "admin", "service")
FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]


@dataclass(frozen=True)
class Findings:
    """`answers`: by operation and status; `output` is schemathesis' own, with a curl command for each failure."""

    caller: str
    code: int
    cases: dict[str, int]
    answers: dict[str, dict[str, int]]
    accounts: int
    output: str

    @property
    def total(self) -> int:
        return sum(self.cases.values())

    def __str__(self) -> str:
        phases = ", ".join(f"{name} {count}" for name, count in self.cases.items())
        return f"{self.caller}: {self.total} cases ({phases}), {self.accounts} accounts used, exit {self.code}"


async def seed_users(api: Api, count: int, *roles: str) -> list[tuple[str, str]]:
    """(login, password) of each; straight into the database, in one transaction."""
    now = api.resources.clock()
    logins = [unique("fuzz") for _ in range(count)]
    async with api.resources.db.begin() as session:
        for login in logins:
            email = f"{login}@example.com"
            user = User(
                id=new_id(),
                login=login,
                login_key=canonical_login(login),
                email=email,
                email_key=canonical_email(email)[1],
                password_hash=password_hash(),
            )
            session.add(user)
            await session.flush()
            session.add_all(
                UserRole(user_id=user.id, role_name=role, valid_from=now, granted_at=now) for role in {"viewer", *roles}
            )
    return [(login, PASSWORD) for login in logins]


async def seed_services(api: Api, count: int) -> list[tuple[str, str]]:
    _, root = await api.as_role("superuser")
    return [await api.create_service(root, sorted(OWN_CODES)) for _ in range(count)]


async def seed(api: Api, caller: str, count: int) -> dict[str, Any]:
    """The caller as the hooks want it. Many accounts, because a run disables, deletes and renames its own."""
    if caller == "anonymous":
        return {"kind": "anonymous", "accounts": []}
    if caller == "service":
        return {"kind": "service", "accounts": await seed_services(api, min(count, 100))}
    return {"kind": "user", "accounts": await seed_users(api, count, *(["superuser"] if caller == "admin" else []))}


async def fuzz(
    api: Api, base_url: str, caller: str, folder: Path, *arguments: str, accounts: int, seconds: int
) -> Findings:
    """Seeds the caller by `api`, an app on the stores of the service at `base_url`.

    Raises TimeoutError where it takes longer.
    """
    told_path, report = folder / f"{caller}.json", folder / f"{caller}.report.json"
    told = await seed(api, caller, accounts) | {"base_url": base_url}
    told_path.write_text(json.dumps(told), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(FOLDER / "schemathesis.toml")),
        *("run", f"{base_url}/auth/openapi.json", "--no-color", *arguments),
        cwd=folder,  # it leaves a cache where it runs
        env={**os.environ, "FUZZ_CALLER": str(told_path), "FUZZ_REPORT": str(report), "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**24,  # a line may be a whole request
    )
    try:
        async with asyncio.timeout(seconds):
            output = await _shown(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = json.loads(report.read_text(encoding="utf-8"))
    return Findings(
        caller,
        process.returncode or 0,
        found["phases"],
        found["answers"],
        found["accounts"],
        output,
    )


async def _shown(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    lines = []
    async for line in process.stdout:
        lines.append(line.decode(errors="replace"))
        print(lines[-1], end="", flush=True)
    await process.wait()
    return "".join(lines)
