"""Who changes access rules, and what they may hand on: never more than they hold (RBAC-1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.errors import LackingYourself
from auth_service.core.principal import Principal
from auth_service.models import ServiceAccount
from auth_service.permissions.patterns import EVERYTHING, covers
from auth_service.permissions.repository import load_facts


@dataclass(frozen=True, slots=True)
class Actor:
    """`user_id` is None for a service account and for the operator at the command line."""

    user_id: UUID | None
    held: frozenset[str]

    def must_hold(self, patterns: Iterable[str]) -> None:
        """Raises LackingYourself unless every pattern is covered by what the actor holds."""
        if not all(covers(self.held, pattern) for pattern in patterns):
            raise LackingYourself


OPERATOR = Actor(user_id=None, held=frozenset({EVERYTHING}))


async def load_actor(session: AsyncSession, caller: Principal | Actor, now: datetime) -> Actor:
    """Call it after `lock_access_rules`: what the caller holds at this moment, not when the request came in."""
    if isinstance(caller, Actor):
        return caller
    if caller.is_service:
        exists = await session.get(ServiceAccount, caller.subject) is not None
        return Actor(user_id=None, held=frozenset(caller.claims.scopes if exists else ()))
    connection = await session.connection()
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None  # noqa: S101  a checked-out connection has one
    subjects, _ = await load_facts(driver, [caller.subject], patterns=None)
    subject = subjects[caller.subject]
    active = {pattern for pattern, grants in subject.grants.items() if any(grant.active(now) for grant in grants)}
    return Actor(user_id=caller.subject, held=frozenset(active if subject.active else ()))
