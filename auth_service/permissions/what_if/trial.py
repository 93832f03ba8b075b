"""A change that is made to see what it would do: with every check that it meets, then undone, then explained.

The service that makes the change is the one that makes it in earnest; it takes the trial as one more parameter, and
its transaction from `changing`.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.http.call import note_trial
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import directly
from auth_service.locks import lock_access_rules
from auth_service.permissions.actor import Actor
from auth_service.permissions.checks import allows, holds
from auth_service.permissions.rules import Rules
from auth_service.permissions.then import load_rules
from auth_service.permissions.what_if.comparison import GrantChange, Period, with_inherited
from auth_service.permissions.what_if.effect import Asked, Effect, find_effect

SEES_GRANTS = "roles:read"
SEES_PEOPLE = "users:read"
SEES_SERVICES = "services:read"
_GRANTS = "roles:read"
SEES_PEOPLE = "users:read"
SEES_SERVICES = "services:read"
_ROLES = """
WITH RECURSIVE lineage AS (
    SELECT name AS role, name AS via FROM roles
    UNION
    SELECT l.role, p.parent_name FROM lineage l JOIN role_parents p ON p.role_name = l.via
)
SELECT l.role, array_agg(DISTINCT r.pattern) AS patterns
FROM lineage l JOIN role_permissions r ON r.role_name = l.via GROUP BY l.role
"""
_CODES = "SELECT code, step_up FROM permissions"
_GRANTS = "SELECT user_id, role_name, valid_from, valid_until FROM user_roles WHERE user_id = ANY($1::uuid[])"
Grants = dict[tuple[UUID, str], Period]


class Trial:
    """Of one change."""

    def __init__(self) -> None:
        self._seen: list[tuple[Rules, Grants]] = []

    async def look(self, session: AsyncSession, users: Collection[UUID]) -> None:
        """Under the access lock, before the change and after it; `users`: those whose own grants it may change."""
        async with directly(session) as connection:
            rules = await load_rules(connection)
            rows = await connection.fetch(_GRANTS, list(users)) if users else ()
        grants = {
            (UUID(int=row["user_id"].int), row["role_name"]): Period(row["valid_from"], row["valid_until"])
            for row in rows
        }
        self._seen.append((rules, grants))

    async def effect(self, resources: Resources, caller: Principal | Actor, *, after: str | None = None) -> Effect:
        """What it would do, once it was tried. `after`: the login_key that the page before ended with.

        Raises EffectBusy, EffectTimeout, and PermissionDenied: even a count tells what others have, which takes
        roles:read.
        """
        if isinstance(caller, Principal):
            await allows(resources, caller, SEES_GRANTS)
        (rules, grants), (new_rules, new_grants) = self._seen
        touched = grants.keys() | new_grants.keys()
        if rules == new_rules:
            # These users' roles alone matter.
            before = then = with_inherited(rules, {role for _, role in touched})
        else:
            # In a thread: with ten thousand roles it takes a moment, in which others must be answered.
            before = await asyncio.to_thread(with_inherited, rules, rules.roles)
            then = await asyncio.to_thread(with_inherited, new_rules, new_rules.roles)
        changed = [
            GrantChange(*grant, before=grants.get(grant), after=new_grants.get(grant))
            for grant in sorted(touched)
            if grants.get(grant) != new_grants.get(grant)
        ]
        return await find_effect(
            resources, before, then, changed, await _asked(resources, caller, after), now=resources.clock()
        )


@asynccontextmanager
async def changing(
    resources: Resources, trial: Trial | None, *, users: Collection[UUID] = ()
) -> AsyncIterator[AsyncSession]:
    """The transaction of a change of access rules, which takes the access lock itself; a trial's is undone, and what
    was read or made in it can still be looked at. `users`: whose own grants change, some ten thousand at most.
    """
    async with resources.db.begin() as session:
        if trial is None:
            yield session
            return
        note_trial()
        await lock_access_rules(session)
        await trial.look(session, users)
        yield session
        await session.flush()
        await trial.look(session, users)
        session.expunge_all()
        await session.rollback()


async def _asked(resources: Resources, caller: Principal | Actor, after: str | None) -> Asked:
    if isinstance(caller, Actor):
        return Asked(after=after)
    return Asked(
        names=await holds(resources, caller, SEES_PEOPLE),
        services=await holds(resources, caller, SEES_SERVICES),
        caller=None if caller.is_service else caller.subject,
        after=after,
    )
