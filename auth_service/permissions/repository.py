"""The one query for users' effective grants, who administers access, and the catalogue."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import RowMapping, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.ids import read_id
from auth_service.models import Permission, RolePermission, ServiceAccount
from auth_service.permissions.decision import Grant, Subject

# $1 user ids, $2 patterns of interest (null: all), $3 codes to look up in the catalogue.
# UNION, not UNION ALL: a role reached on two ways counts once, and a cycle would still end. The array of roles is for
# the planner, which expects thousands of rows of `lineage`: it would read what each of ten thousand roles gives.
_FACTS_OF_MANY = """
WITH RECURSIVE lineage AS (
    SELECT user_id, role_name AS granted, role_name AS via, valid_from, valid_until
    FROM user_roles WHERE user_id = ANY($1::uuid[])
    UNION
    SELECT l.user_id, l.granted, p.parent_name, l.valid_from, l.valid_until
    FROM lineage l JOIN role_parents p ON p.role_name = l.via
)
SELECT 'user' AS kind, id AS user_id, is_active AS active,
    NULL AS pattern, NULL AS granted, NULL AS via, NULL::timestamptz AS valid_from, NULL::timestamptz AS valid_until
FROM users WHERE id = ANY($1::uuid[])
UNION ALL
SELECT 'known', NULL, step_up, code, NULL, NULL, NULL, NULL FROM permissions WHERE code = ANY($3::text[])
UNION ALL
SELECT 'grant', l.user_id, NULL, r.pattern, l.granted, l.via, l.valid_from, l.valid_until
FROM lineage l JOIN role_permissions r ON r.role_name = l.via
WHERE r.role_name = ANY(ARRAY(SELECT via FROM lineage)) AND ($2::text[] IS NULL OR r.pattern = ANY($2::text[]))
"""
# The usual case: without an array Postgres keeps one plan for all users, and to plan took half of the statement.
_FACTS_OF_ONE = _FACTS_OF_MANY.replace("= ANY($1::uuid[])", "= $1::uuid")


class Fetches(Protocol):
    """asyncpg's pool or one of its connections."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...


async def load_facts(
    source: Fetches,
    user_ids: Collection[UUID],
    *,
    patterns: Collection[str] | None,
    codes: Collection[str] = (),
) -> tuple[dict[UUID, Subject], dict[str, bool | None]]:
    """HOT, one round trip. What the users have of `patterns` (None: all), and what the catalogue says of `codes`:
    None where it does not know one, else whether it is marked for step-up.
    """
    subjects = {user_id: Subject() for user_id in user_ids}
    known: dict[str, bool | None] = dict.fromkeys(codes)
    wanted = None if patterns is None else list(patterns)
    one = len(subjects) == 1
    users = next(iter(subjects)) if one else list(subjects)
    for row in await source.fetch(_FACTS_OF_ONE if one else _FACTS_OF_MANY, users, wanted, list(known)):
        kind = row["kind"]
        if kind == "user":
            subjects[UUID(int=row["user_id"].int)].active = row["active"]
        elif kind == "known":
            known[row["pattern"]] = row["active"]
        else:
            grant = Grant(row["pattern"], row["granted"], row["via"], row["valid_from"], row["valid_until"])
            subjects[UUID(int=row["user_id"].int)].grants.setdefault(grant.pattern, []).append(grant)
    return subjects, known


async def load_services(source: Fetches, names: Collection[str]) -> dict[str, Subject]:
    """Those that there are, by the client id or name that was given; what reads as an id is no name."""
    ids = {name: read_id(name) for name in names}
    rows = await source.fetch(
        "SELECT id, name, scopes, created_at FROM service_accounts"
        " WHERE id = ANY($1::uuid[]) OR name = ANY($2::text[])",
        [service_id for service_id in ids.values() if service_id],
        [name for name, service_id in ids.items() if service_id is None and "\0" not in name],
    )
    found: dict[UUID | str, Subject] = {}
    for row in rows:
        grants = {scope: [Grant(scope, "", "", row["created_at"], None)] for scope in row["scopes"]}
        found[UUID(int=row["id"].int)] = found[row["name"]] = Subject(True, grants)
    return {name: found[service_id or name] for name, service_id in ids.items() if (service_id or name) in found}


_GIVING = """
WITH RECURSIVE giving AS (
    SELECT role_name FROM role_permissions WHERE pattern = ANY(:patterns)
    UNION
    SELECT p.role_name FROM giving g JOIN role_parents p ON p.parent_name = g.role_name
)
SELECT role_name FROM giving
"""
# All that accounts with any of the roles have without an end; accounts that are alike are one row. `serving`: by
# grants that have begun, `appointed`: by all of them. `marked`, in each row: those of the codes that ask for step-up.
# With the roles as values Postgres sees that few have them, and does not read everybody's grants.
_KEEPERS = """
WITH RECURSIVE held AS MATERIALIZED (
    SELECT u.user_id, u.role_name, u.valid_from FROM user_roles u
    JOIN users a ON a.id = u.user_id AND a.is_active
    WHERE u.valid_until IS NULL AND u.user_id IN (
        SELECT user_id FROM user_roles WHERE valid_until IS NULL AND role_name = ANY(:roles)
    )
), lineage AS (
    SELECT DISTINCT role_name AS granted, role_name AS via FROM held
    UNION
    SELECT l.granted, p.parent_name FROM lineage l JOIN role_parents p ON p.role_name = l.via
), gives AS (
    SELECT l.granted, r.pattern FROM lineage l JOIN role_permissions r ON r.role_name = l.via
    WHERE r.role_name = ANY(ARRAY(SELECT via FROM lineage))
)
SELECT DISTINCT array_agg(DISTINCT g.pattern) FILTER (WHERE u.valid_from <= :now) AS serving,
    array_agg(DISTINCT g.pattern) AS appointed, t.user_id IS NOT NULL AS second_factor,
    ARRAY(SELECT code FROM permissions WHERE step_up AND code = ANY(:codes)) AS marked
FROM held u
JOIN gives g ON g.granted = u.role_name
LEFT JOIN mfa_totp t ON t.user_id = u.user_id AND t.confirmed_at IS NOT NULL
GROUP BY u.user_id, t.user_id
"""


async def load_keepers(
    session: AsyncSession, now: datetime, *, codes: Collection[str], patterns: Collection[str]
) -> Sequence[RowMapping]:
    """Call it under the access lock, with a time of after it."""
    roles = (await session.scalars(text(_GIVING), {"patterns": list(patterns)})).all()
    values = {"now": now, "roles": list(roles), "codes": list(codes)}
    return (await session.execute(text(_KEEPERS), values)).mappings().all()


async def second_factors_of(source: Fetches, session_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], datetime]:
    """When a second factor was last shown in the sessions, by (user id, session id); only where one was."""
    rows = await source.fetch(
        "SELECT user_id, id, second_factor_at FROM sessions"
        " WHERE id = ANY($1::uuid[]) AND revoked_at IS NULL AND second_factor_at IS NOT NULL",
        list(session_ids),
    )
    return {(UUID(int=row["user_id"].int), UUID(int=row["id"].int)): row["second_factor_at"] for row in rows}


async def second_factor_of(source: Fetches, user_id: UUID) -> datetime | None:
    """When the user's authenticator was confirmed; None where none is in use."""
    rows = await source.fetch("SELECT confirmed_at FROM mfa_totp WHERE user_id = $1", user_id)
    return rows[0]["confirmed_at"] if rows else None


async def logins_of(source: Fetches, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Of those who are still there."""
    if not user_ids:
        return {}
    rows = await source.fetch("SELECT id, login FROM users WHERE id = ANY($1::uuid[])", list(user_ids))
    return {UUID(int=row["id"].int): row["login"] for row in rows}


async def list_permissions(session: AsyncSession) -> Sequence[Permission]:
    return (await session.scalars(select(Permission).order_by(Permission.code))).all()


async def find_permission(session: AsyncSession, code: str) -> Permission | None:
    return await session.get(Permission, code)


async def uses_of(session: AsyncSession, code: str) -> int:
    """How many roles and services name exactly this code."""
    in_roles = select(func.count()).select_from(RolePermission).where(RolePermission.pattern == code)
    in_services = select(func.count()).select_from(ServiceAccount).where(ServiceAccount.scopes.contains([code]))
    return int(await session.scalar(in_roles) or 0) + int(await session.scalar(in_services) or 0)


async def unknown_patterns(session: AsyncSession, patterns: Collection[str]) -> list[str]:
    """Those that name no code, or no resource, of the catalogue."""
    codes = set((await session.scalars(select(Permission.code))).all())
    resources = {f"{code.partition(':')[0]}:*" for code in codes}
    return [pattern for pattern in patterns if pattern not in codes and pattern not in resources]


async def codes_of(source: Fetches, resource: str) -> list[str]:
    """Those of the catalogue that stand for something to do with `resource`."""
    if "\0" in resource:
        return []
    rows = await source.fetch("SELECT code FROM permissions WHERE split_part(code, ':', 1) = $1", resource)
    return [row["code"] for row in rows]
