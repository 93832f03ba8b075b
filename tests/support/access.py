"""Roles, permissions and grants as the tests of access rules make them: over HTTP, with names of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from auth_service.config import Settings
from auth_service.core.clock import utc_now
from auth_service.locks import Advisory
from tests.support.api import V1, Api, Tokens, unique


def moment(**from_now: float) -> datetime:
    return utc_now() + timedelta(**from_now)


def times(**dates: datetime) -> dict[str, str]:
    """As a JSON body has them."""
    return {name: value.isoformat() for name, value in dates.items()}


async def create_permission(api: Api, admin: Tokens, *, resource: str | None = None, action: str = "use") -> str:
    code = f"{resource or unique('thing')}:{action}"
    response = await api.http.post(f"{V1}/permissions", json={"code": code, "title": "Of a test"}, headers=admin.bearer)
    assert response.status_code == 201, response.text
    return code


async def create_role(
    api: Api, admin: Tokens, *permissions: str, parents: tuple[str, ...] = (), name: str | None = None
) -> str:
    body = role_body(*permissions, parents=parents, name=name)
    response = await api.http.post(f"{V1}/roles", json=body, headers=admin.bearer)
    assert response.status_code == 201, response.text
    return str(body["name"])


def role_body(*permissions: str, parents: tuple[str, ...] = (), name: str | None = None) -> dict[str, Any]:
    return {
        "name": name or unique("role"),
        "title": "Of a test",
        "permissions": list(permissions),
        "parents": list(parents),
    }


async def put_grant(api: Api, actor: Tokens, user_id: UUID, role: str, **dates: datetime) -> httpx.Response:
    return await api.http.put(f"{V1}/users/{user_id}/roles/{role}", json=times(**dates), headers=actor.bearer)


async def grant(api: Api, actor: Tokens, user_id: UUID, role: str, **dates: datetime) -> None:
    response = await put_grant(api, actor, user_id, role, **dates)
    assert response.status_code == 200, response.text


async def revoke(api: Api, actor: Tokens, user_id: UUID, role: str) -> httpx.Response:
    return await api.http.delete(f"{V1}/users/{user_id}/roles/{role}", headers=actor.bearer)


async def patterns_of(api: Api, caller: Tokens, user_id: UUID) -> set[str]:
    response = await api.http.get(f"{V1}/users/{user_id}/permissions", headers=caller.bearer)
    assert response.status_code == 200, response.text
    return {item["permission"] for item in response.json()["permissions"]}


@asynccontextmanager
async def access_rules_locked(settings: Settings) -> AsyncIterator[None]:
    """Another transaction is at work: all changes of access queue behind it, and then run in their order."""
    connection = await asyncpg.connect(settings.direct_address.dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", Advisory.ACCESS_RULES)
            yield
    finally:
        await connection.close()
