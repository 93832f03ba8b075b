"""Who has a permission at a moment, and how, page by page: users by their grants, services by their scopes."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth_service.permissions.decision import Grant
from auth_service.permissions.patterns import covering
from auth_service.permissions.repository import Fetches

# UNION ends a cycle, as in the check's own query.
_GIVING = """
WITH RECURSIVE giving AS (
    SELECT role_name AS granted, role_name AS via, pattern FROM role_permissions WHERE pattern = ANY($1::text[])
    UNION
    SELECT p.role_name, g.via, g.pattern FROM giving g JOIN role_parents p ON p.parent_name = g.granted
)
SELECT granted, via, pattern FROM giving
"""
# Of each role its first users, in the order of the index by role: as many steps as roles times rows of the page,
# however many have them, and whatever Postgres expects. `is_active` is asked one by one: a join could be turned round.
_USERS_OF_FEW_ROLES = """
SELECT DISTINCT found.user_id AS id FROM unnest($1::text[]) AS giving (name) CROSS JOIN LATERAL (
    SELECT u.user_id FROM user_roles u
    WHERE u.role_name = giving.name AND ($2::uuid IS NULL OR u.user_id > $2)
    AND u.valid_from <= $3 AND (u.valid_until IS NULL OR u.valid_until > $3)
    AND (SELECT a.is_active FROM users a WHERE a.id = u.user_id)
    ORDER BY u.user_id LIMIT $4
) AS found
ORDER BY id LIMIT $4
"""
# Where the roles themselves are many. With them as values Postgres knows how many have them: it walks along the users
# where that is many, and begins at the grants where it is few.
_USERS_OF_MANY_ROLES = """
SELECT id FROM users
WHERE is_active AND ($2::uuid IS NULL OR id > $2) AND id IN (
    SELECT user_id FROM user_roles
    WHERE role_name = ANY($1::text[]) AND valid_from <= $3 AND (valid_until IS NULL OR valid_until > $3)
)
ORDER BY id LIMIT $4
"""
FEW = 50
_COUNT = """
SELECT count(*) FROM users WHERE is_active AND id IN (
    SELECT user_id FROM user_roles
    WHERE role_name = ANY($1::text[]) AND valid_from <= $2 AND (valid_until IS NULL OR valid_until > $2)
)
"""
_GRANTS = """
SELECT user_id, role_name, valid_from, valid_until FROM user_roles
WHERE user_id = ANY($1::uuid[]) AND valid_from <= $2 AND (valid_until IS NULL OR valid_until > $2)
"""
_SERVICES = """
SELECT id FROM service_accounts
WHERE scopes && $1::text[] AND ($2::uuid IS NULL OR id > $2)
ORDER BY id LIMIT $3
"""
Giving = Mapping[str, Sequence[tuple[str, str]]]  # (via, pattern) by the role that one has to be granted


@dataclass(frozen=True, slots=True)
class Holder:
    """`ways`: all grants that give the permission at the moment, one for each pattern that does."""

    user_id: UUID
    ways: Sequence[Grant]


async def users_with(source: Fetches, code: str, now: datetime, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Active users by id, of a code that is in the catalogue; a step-up, which is of a session, is not asked for."""
    return await _users_of(source, await _giving(source, code, None), now, after, limit)


async def holders_of(
    source: Fetches, code: str, role: str | None, at: datetime, *, after: UUID | None, limit: int
) -> tuple[Sequence[Holder], UUID | None]:
    """As `users_with`, at a moment at or after this one as grants stand now, and the id to go on behind; None: the end.

    `role`: only what is given by grants of it. Who lost the grant while this was read is left out of the page.
    """
    giving = await _giving(source, code, role)
    found = await _users_of(source, giving, at, after, limit + 1)
    shown = found[:limit]
    ways: dict[UUID, list[Grant]] = defaultdict(list)
    for row in await source.fetch(_GRANTS, shown, at) if shown else ():
        granted = row["role_name"]
        ways[UUID(int=row["user_id"].int)] += [
            Grant(pattern, granted, via, row["valid_from"], row["valid_until"])
            for via, pattern in giving.get(granted, ())
        ]
    holders = [
        Holder(user_id, sorted(ways[user_id], key=lambda way: (way.role, way.via, way.pattern)))
        for user_id in shown
        if ways[user_id]
    ]
    return holders, shown[-1] if len(found) > limit else None


async def count_holders(source: Fetches, code: str, role: str | None, at: datetime) -> int:
    rows = await source.fetch(_COUNT, list(await _giving(source, code, role)), at)
    return int(rows[0]["count"])


async def services_with(source: Fetches, code: str, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Client ids, of a code that is in the catalogue."""
    rows = await source.fetch(_SERVICES, list(covering(code)), after, limit)
    return [UUID(int=row["id"].int) for row in rows]


async def _giving(source: Fetches, code: str, role: str | None) -> Giving:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in await source.fetch(_GIVING, list(covering(code))):
        if role in {None, row["granted"]}:
            found[row["granted"]].append((row["via"], row["pattern"]))
    return found


async def _users_of(
    source: Fetches, roles: Collection[str], at: datetime, after: UUID | None, limit: int
) -> Sequence[UUID]:
    query = _USERS_OF_FEW_ROLES if len(roles) <= FEW else _USERS_OF_MANY_ROLES
    rows = await source.fetch(query, list(roles), after, at, limit)
    return [UUID(int=row["id"].int) for row in rows]
