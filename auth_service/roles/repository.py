"""Roles with their permissions and parents, and the grants of roles to users."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.stores.postgres_pools import directly
from auth_service.models import Role, RoleParent, RolePermission, UserRole
from auth_service.roles.hierarchy import Hierarchy


async def list_roles(session: AsyncSession) -> Sequence[Role]:
    return (await session.scalars(select(Role).order_by(Role.name))).all()


async def find_role(session: AsyncSession, name: str) -> Role | None:
    return await session.get(Role, name)


# $1 a role; null: all of them.
_PATTERNS = "SELECT role_name, pattern AS other FROM role_permissions WHERE role_name = $1 OR $1::text IS NULL"
_PARENTS = "SELECT role_name, parent_name AS other FROM role_parents WHERE role_name = $1 OR $1::text IS NULL"


async def links(session: AsyncSession, role: str | None = None) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Of every role, or of one, its own patterns, and its parents; sorted.

    Not by SQLAlchemy: a change asks for them several times, and ten thousand roles would be a second each time.
    """
    await session.flush()
    async with directly(session) as connection:
        patterns, parents = [await connection.fetch(query, role) for query in (_PATTERNS, _PARENTS)]
    return _by_role(patterns), _by_role(parents)


def _by_role(rows: Sequence[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for role, other in rows:
        found[role].append(other)
    for others in found.values():
        others.sort()
    return found


_EFFECTIVE = """
WITH RECURSIVE lineage AS (
    SELECT $1::text AS role_name
    UNION
    SELECT p.parent_name FROM lineage l JOIN role_parents p ON p.role_name = l.role_name
)
SELECT DISTINCT pattern FROM role_permissions WHERE role_name = ANY(ARRAY(SELECT role_name FROM lineage))
"""


async def effective_patterns(session: AsyncSession, name: str) -> frozenset[str]:
    """As `load_hierarchy` says of the one role, without the others: of ten thousand they take a third of a second."""
    await session.flush()
    async with directly(session) as connection:
        return frozenset(row["pattern"] for row in await connection.fetch(_EFFECTIVE, name))


async def load_hierarchy(session: AsyncSession) -> Hierarchy:
    patterns, parents = await links(session)
    names = (await session.scalars(select(Role.name))).all()
    return Hierarchy(parents, {name: patterns[name] for name in names})


async def own_session_limits(session: AsyncSession) -> dict[str, int | None]:
    """By role, without what its parents say."""
    return {row.name: row.session_limit for row in await session.execute(select(Role.name, Role.session_limit))}


async def replace_links(session: AsyncSession, name: str, patterns: Collection[str], parents: Collection[str]) -> None:
    await session.execute(delete(RolePermission).where(RolePermission.role_name == name))
    await session.execute(delete(RoleParent).where(RoleParent.role_name == name))
    if patterns:
        await session.execute(insert(RolePermission), [{"role_name": name, "pattern": item} for item in patterns])
    if parents:
        await session.execute(insert(RoleParent), [{"role_name": name, "parent_name": item} for item in parents])


async def uses_of(session: AsyncSession, name: str) -> int:
    """How many users (expired grants too) and child roles have the role."""
    by_users = select(func.count()).select_from(UserRole).where(UserRole.role_name == name)
    by_roles = select(func.count()).select_from(RoleParent).where(RoleParent.parent_name == name)
    return int(await session.scalar(by_users) or 0) + int(await session.scalar(by_roles) or 0)


async def grants_of(session: AsyncSession, user_id: UUID) -> Sequence[UserRole]:
    statement = select(UserRole).where(UserRole.user_id == user_id).order_by(UserRole.role_name)
    return (await session.scalars(statement)).all()


async def find_grant(session: AsyncSession, user_id: UUID, role: str) -> UserRole | None:
    return await session.get(UserRole, (user_id, role))
