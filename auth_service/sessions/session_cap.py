"""How many sessions a user may have at once, and which of them end for one more (SES-1).

The largest limit that an active grant gives counts, else SESSION_LIMIT; roles.session_limits says who may change one.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.sessions import repository
from auth_service.sessions.service import idle_life

# A role that says nothing has what its parents say; the walk stops at the first that does. Superusers have no limit
# by role: any admin could set one for the viewers that they are too, and so end their sessions (RBAC-1).
_LIMIT_BY_ROLE = """
WITH RECURSIVE walk AS (
    SELECT r.name, r.session_limit FROM user_roles u JOIN roles r ON r.name = u.role_name
    WHERE u.user_id = :user_id AND u.valid_from <= :now AND (u.valid_until IS NULL OR u.valid_until > :now)
    UNION
    SELECT r.name, r.session_limit
    FROM walk w JOIN role_parents p ON p.role_name = w.name JOIN roles r ON r.name = p.parent_name
    WHERE w.session_limit IS NULL
)
SELECT max(session_limit) FROM walk HAVING bool_and(name <> 'superuser')
"""


async def surplus(resources: Resources, session: AsyncSession, user_id: UUID, now: datetime) -> list[UUID]:
    """What has to end for one more."""
    by_role: int | None = await session.scalar(text(_LIMIT_BY_ROLE), {"user_id": user_id, "now": now})
    limit = resources.settings.session_limit if by_role is None else by_role
    return await repository.beyond_limit(session, user_id, now, idle_life(resources), limit - 1)
