"""Many users at once, and jobs that grant them something."""

import asyncio
from typing import Any
from uuid import UUID

from auth_service.models import new_id
from tests.support.api import V1, Account, Api, Tokens, unique

SECONDS = 60
_USERS = """
INSERT INTO users (id, login, login_key, email, email_key, password_hash)
SELECT id, login, login, login || '@example.com', login || '@example.com', 'none'
FROM unnest($1::uuid[], $2::text[]) AS given (id, login)
"""


async def crowd(api: Api, count: int) -> list[Account]:
    """Without roles, and without a way to log in; in the order of their creation."""
    mark = unique("crowd")
    accounts = [Account(new_id(), f"{mark}n{n}", f"{mark}n{n}@example.com") for n in range(count)]
    await api.resources.hot.execute(_USERS, [one.id for one in accounts], [one.login for one in accounts])
    return accounts


async def start_job(api: Api, admin: Tokens, role: str, users: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    body = {"role": role, **({} if users is None else {"users": [str(one) for one in users]}), **more}
    response = await api.http.post(f"{V1}/grants/jobs", json=body, headers=admin.bearer)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"{V1}/grants/jobs/{job['id']}"
    return job


async def read_job(api: Api, admin: Tokens, job_id: str) -> dict[str, Any]:
    response = await api.http.get(f"{V1}/grants/jobs/{job_id}", headers=admin.bearer)
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    job["counts"] = {name: count for name, count in job["counts"].items() if count}
    return job


async def finished(api: Api, admin: Tokens, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while (job := await read_job(api, admin, job_id))["finished_at"] is None:  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.05)
    return job


async def begun(api: Api, admin: Tokens, job_id: str) -> dict[str, Any]:
    """As soon as a reader sees that something is done."""
    async with asyncio.timeout(SECONDS):
        while not (job := await read_job(api, admin, job_id))["done"]:
            pass
    return job


async def run_job(api: Api, admin: Tokens, role: str, users: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """To its end."""
    return await finished(api, admin, (await start_job(api, admin, role, users, **more))["id"])


async def rows_of(api: Api, admin: Tokens, job_id: str, **query: Any) -> list[dict[str, Any]]:
    """All pages."""
    rows: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"limit": 100, **query}
    while True:
        response = await api.http.get(f"{V1}/grants/jobs/{job_id}/rows", params=asked, headers=admin.bearer)
        assert response.status_code == 200, response.text
        rows += response.json()["items"]
        if response.json()["next_cursor"] is None:
            return rows
        asked["cursor"] = response.json()["next_cursor"]


async def holders(api: Api, role: str) -> dict[UUID, Any]:
    """Who has a grant of the role, with its end."""
    rows = await api.resources.hot.fetch("SELECT user_id, valid_until FROM user_roles WHERE role_name = $1", role)
    return {UUID(int=row["user_id"].int): row["valid_until"] for row in rows}


async def traces(api: Api, role: str) -> tuple[list[str], list[str]]:
    """(users of the audit rows, users of the events) about grants of the role, each in the order of writing."""
    audit = await api.resources.hot.fetch(
        "SELECT target_id FROM audit_log WHERE action IN ('role.granted', 'role.revoked')"
        " AND coalesce(after, before) ->> 'role' = $1 ORDER BY id",
        role,
    )
    events = await api.resources.hot.fetch(
        "SELECT key FROM outbox WHERE data ->> 'role' = $1 AND user_id IS NOT NULL ORDER BY number",
        role,
    )
    return [row["target_id"] for row in audit], [row["key"] for row in events]
