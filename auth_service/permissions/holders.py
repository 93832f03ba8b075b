"""Who has a permission now, page by page: users by their grants, services by their scopes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from auth_service.permissions.patterns import covering
from auth_service.permissions.repository import Fetches

# UNION ends a cycle, as in the check's own query.
_GIVING = """
WITH RECURSIVE giving AS (
    SELECT role_name FROM role_permissions WHERE pattern = ANY($1::text[])
    UNION
    SELECT p.role_name FROM giving g JOIN role_parents p ON p.parent_name = g.role_name
)
SELECT role_name FROM giving
"""
# With the roles as values Postgres knows how many have them: it walks along the users where that is many, and begins at
# the grants where it is few.
_USERS = """
SELECT id FROM users
WHERE is_active AND ($2::uuid IS NULL OR id > $2) AND id IN (
    SELECT user_id FROM user_roles
    WHERE role_name = ANY($1::text[]) AND valid_from <= $3 AND (valid_until IS NULL OR valid_until > $3)
)
ORDER BY id LIMIT $4
"""
_SERVICES = """
SELECT id FROM service_accounts
WHERE scopes && $1::text[] AND ($2::uuid IS NULL OR id > $2)
ORDER BY id LIMIT $3
"""


async def users_with(source: Fetches, code: str, now: datetime, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Active users by id, of a code that is in the catalogue; a step-up, which is of a session, is not asked for."""
    roles = [row["role_name"] for row in await source.fetch(_GIVING, list(covering(code)))]
    rows = await source.fetch(_USERS, roles, after, now, limit)
    return [UUID(int=row["id"].int) for row in rows]


async def services_with(source: Fetches, code: str, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Client ids, of a code that is in the catalogue."""
    rows = await source.fetch(_SERVICES, list(covering(code)), after, limit)
    return [UUID(int=row["id"].int) for row in rows]
