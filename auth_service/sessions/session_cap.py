"""The new session's row, and which of the user's others end for it (SES-1).

The largest limit that an active grant gives counts, else SESSION_LIMIT; roles.session_limits says who may change one.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.stores.postgres_pools import directly
from auth_service.models import new_id
from auth_service.sessions.service import idle_life

# A role that says nothing has what its parents say; the walk stops at the first that does. Superusers have no limit
# by role: any admin could set one for the viewers that they are too, and so end their sessions (RBAC-1).
# What is selected was there before: whatever a clock says, a login never ends its own session.
_INSERT = """
WITH RECURSIVE walk AS (
    SELECT r.name, r.session_limit FROM user_roles u JOIN roles r ON r.name = u.role_name
    WHERE u.user_id = $2 AND u.valid_from <= $3 AND (u.valid_until IS NULL OR u.valid_until > $3)
    UNION
    SELECT r.name, r.session_limit
    FROM walk w JOIN role_parents p ON p.role_name = w.name JOIN roles r ON r.name = p.parent_name
    WHERE w.session_limit IS NULL
), started AS (
    INSERT INTO sessions (id, user_id, authenticated_at, created_at, last_seen_at, rotated_at, device_id, device_name,
        user_agent, ip, second_factor_at, expires_at)
    VALUES ($1, $2, $3, $3, $3, $3, $4, $5, $6, $7::text::inet, $8, $9)
), noted AS (
    INSERT INTO login_history (session_id, user_id, login_at, succeeded, device_id, device_name, user_agent, ip, id)
    VALUES ($1, $2, $3, true, $4, $5, $6, $7::text::inet, $10)
)
SELECT id FROM sessions WHERE user_id = $2 AND revoked_at IS NULL AND expires_at > $3 AND last_seen_at > $11
ORDER BY last_seen_at DESC, id DESC
OFFSET coalesce((SELECT max(session_limit) FROM walk HAVING bool_and(name <> 'superuser')), $12::bigint) - 1
"""


@dataclass(frozen=True, slots=True)
class NewSession:
    """Of a login at `now`."""

    id: UUID
    user_id: UUID
    now: datetime
    device_id: UUID
    device_name: str | None
    user_agent: str | None
    ip: str | None
    second_factor_at: datetime | None
    expires_at: datetime


async def insert(resources: Resources, session: AsyncSession, row: NewSession) -> list[UUID]:
    """With its entry in the login history; what has to end for it. Call it with the user's row locked."""
    of_login = (row.id, row.user_id, row.now)
    seen = (row.device_id, row.device_name, row.user_agent, row.ip, row.second_factor_at, row.expires_at)
    idle_since, limit = row.now - idle_life(resources), resources.settings.session_limit
    async with directly(session) as connection:
        surplus = await connection.fetch(_INSERT, *of_login, *seen, new_id(), idle_since, limit)
    return [one["id"] for one in surplus]
