"""Access as it was: today's tables with the changes since then taken back, as the audit trail has them.

Nothing else is kept of the past. What has no row of its own there is known by its own date: a grant given at a
registration or an import by `granted_at`, an account and what a migration brought by `created_at`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import NotKnownThen
from auth_service.core.stores.postgres_pools import driver_of
from auth_service.permissions.rules import CannotUndo, RoleGrant, RoleRules, Rules, rules_before
from auth_service.permissions.then_sql import GRANTED, ROLE, RULED, SWITCHED, switched_since

# Workers whose clocks differ by less see one order of rows, that of their numbers.
CLOCKS_APART = timedelta(hours=1)
_FIRST = "SELECT at FROM audit_log ORDER BY id LIMIT 1"
# MATERIALIZED, or the greatest number is looked for along the numbers, from the newest row down to that moment.
_ROW = """
WITH near AS MATERIALIZED (SELECT id FROM audit_log WHERE at <= $1 AND at > $1 - $2::interval)
SELECT greatest(
    (SELECT id FROM audit_log WHERE at <= $1 ORDER BY at DESC, id DESC LIMIT 1), (SELECT max(id) FROM near)
)
"""
# A restore lost what was done between the newest row that came with the back-up and the command's own.
_LOST = """
SELECT p.at AS since, r.at AS until FROM audit_log r JOIN audit_log p ON p.id = r.id - 1
WHERE r.action = 'database.restored' AND r.at > $1 AND p.at < $1
"""
# Older versions wrote such a row whether the command changed anything or not, and nothing shows which it was.
_UNCLEAR = f"""
SELECT max(a.at) FROM audit_log a
WHERE a.{SWITCHED} AND a.before IS NULL AND a.actor_kind = 'operator' AND NOT EXISTS (
    SELECT FROM audit_log p WHERE p.target_id = a.target_id AND p.id < a.id AND p.{SWITCHED}
)
"""  # noqa: S608
_ROLES = """
SELECT name, title, created_at,
    ARRAY(SELECT pattern FROM role_permissions WHERE role_name = name) AS patterns,
    ARRAY(SELECT parent_name FROM role_parents WHERE role_name = name) AS parents
FROM roles
"""
_UNDONE = f"SELECT action, target_id, before FROM audit_log WHERE {RULED} AND id > $1 ORDER BY id DESC"  # noqa: S608
_OWN_GRANTS = "SELECT role_name, valid_from, valid_until, granted_by, granted_at, reason FROM user_roles"
# Of each grant that changed since: what the first of the changes found, with who had made it so before.
_OWN_GRANTS_THEN = f"""
WITH changed AS MATERIALIZED (
    SELECT DISTINCT ON (role) role, before FROM (
        SELECT {ROLE} AS role, before, id FROM audit_log
        WHERE target_id = $1::uuid::text AND id > $2 AND {GRANTED}
    ) c ORDER BY role, id
)
{_OWN_GRANTS} WHERE user_id = $1 AND granted_at <= $3 AND role_name NOT IN (SELECT role FROM changed)
UNION ALL
SELECT c.role, (c.before ->> 'valid_from')::timestamptz, (c.before ->> 'valid_until')::timestamptz,
    (SELECT id FROM users WHERE p.actor_kind = 'user' AND id::text = p.actor_id),
    coalesce(p.at, (c.before ->> 'valid_from')::timestamptz), p.reason
FROM changed c LEFT JOIN LATERAL (
    SELECT actor_kind, actor_id, at, reason FROM audit_log
    WHERE target_id = $1::uuid::text AND id <= $2 AND {GRANTED} AND {ROLE} = c.role ORDER BY id DESC LIMIT 1
) p ON true
WHERE c.before IS NOT NULL AND (p.at IS NOT NULL OR (c.before ->> 'valid_from')::timestamptz <= $3)
"""  # noqa: S608
_ACCOUNT_THEN = "SELECT is_active, created_at FROM users WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Then:
    """A state of access: all rows up to `row` had been written, and grants are judged by `at`."""

    row: int
    at: datetime


@asynccontextmanager
async def one_snapshot(resources: Resources) -> AsyncIterator[tuple[AsyncSession, Any]]:
    """A session and its asyncpg connection, whose statements all see the same: the tables and the trail must fit."""
    async with resources.db() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session, await driver_of(session)


async def find_then(connection: Any, at: datetime) -> Then:
    """The state at a moment that has passed. Raises NotKnownThen."""
    since = await known_since(connection)
    if since is None:
        raise NotKnownThen("The audit trail is empty, so nothing is known of the past.")
    if at < since:
        raise NotKnownThen(f"What was then is not known: it is since {since.isoformat()}.")
    for lost in await connection.fetch(_LOST, at):
        raise NotKnownThen(
            f"What was then is not known: the changes between {lost['since'].isoformat()} and"
            f" {lost['until'].isoformat()} were lost when the database was restored."
        )
    return Then(await connection.fetchval(_ROW, at, CLOCKS_APART), at)


async def known_since(connection: Any) -> datetime | None:
    """From this moment on the trail tells enough; None: it is empty."""
    first: datetime | None = await connection.fetchval(_FIRST)
    unclear: datetime | None = await connection.fetchval(_UNCLEAR)
    return max(first, unclear) if first and unclear else first


async def load_rules(connection: Any, then: Then | None = None) -> Rules:
    """All roles and the catalogue; as they are, without `then`. Raises NotKnownThen."""
    roles = {
        row["name"]: RoleRules(row["title"], frozenset(row["patterns"]), frozenset(row["parents"]), row["created_at"])
        for row in await connection.fetch(_ROLES)
    }
    codes = await connection.fetch("SELECT code, step_up, created_at FROM permissions")
    rules = Rules(roles, {row["code"]: row["step_up"] for row in codes})
    if then is None:
        return rules
    undone = [_Undone(**row) for row in await connection.fetch(_UNDONE, then.row)]
    try:
        return rules_before(rules, undone, {row["code"]: row["created_at"] for row in codes}, then.at)
    except CannotUndo:
        raise NotKnownThen("What was then is not known: the tables were changed past the service.") from None


async def load_grants(connection: Any, user_id: UUID, then: Then | None = None) -> list[RoleGrant]:
    """All of a user's grants, ended ones too, by role."""
    if then is None:
        rows = await connection.fetch(f"{_OWN_GRANTS} WHERE user_id = $1", user_id)
    else:
        rows = await connection.fetch(_OWN_GRANTS_THEN, user_id, then.row, then.at)
    return sorted((_grant(row) for row in rows), key=lambda grant: grant.role)


async def load_active(connection: Any, user_id: UUID, then: Then | None = None) -> tuple[bool, bool | None]:
    """(whether there is such an account, whether it is active: None before it was made)."""
    account = await connection.fetchrow(_ACCOUNT_THEN, user_id)
    if account is None:
        return False, None
    if then is None:
        return True, account["is_active"]
    if account["created_at"] > then.at:
        return True, None
    was = await connection.fetchval(
        f"WITH {switched_since('$2', of='$1')} SELECT was_active FROM switched",  # noqa: S608
        str(user_id),
        then.row,
    )
    return True, account["is_active"] if was is None else was


@dataclass(frozen=True, slots=True)
class _Undone:
    action: str
    target_id: str
    before: dict[str, Any] | None  # SQLAlchemy's connections read JSON


def _grant(row: Any) -> RoleGrant:
    by = row["granted_by"]
    return RoleGrant(
        role=row["role_name"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        granted_by=None if by is None else UUID(int=by.int),
        granted_at=row["granted_at"],
        reason=row["reason"],
    )
