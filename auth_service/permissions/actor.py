"""Who changes access rules, and what they may hand on: never more than they hold (RBAC-1)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Who, operator
from auth_service.core.errors import LackingYourself, PermissionDenied
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import driver_of
from auth_service.models import ServiceAccount
from auth_service.permissions.decision import Subject, covered_until
from auth_service.permissions.patterns import EVERYTHING, covering, covers
from auth_service.permissions.repository import load_facts


@dataclass(frozen=True, slots=True)
class Actor:
    """`user_id` is None for a service account and for the operator at the command line.

    `held`: each pattern that the actor has now, and until when at least; None: without an end.
    """

    user_id: UUID | None
    held: Mapping[str, datetime | None]

    def must_hold(self, patterns: Iterable[str], *, until: datetime | None) -> None:
        """Raises LackingYourself unless the actor holds every pattern that long.

        `until` is the end of what is handed out, None where it has none: who is an admin until Friday appoints
        nobody, not even themselves, beyond Friday.
        """
        for pattern in patterns:
            ends = [self.held[candidate] for candidate in covering(pattern) if candidate in self.held]
            if not any(end is None or (until is not None and until <= end) for end in ends):
                raise LackingYourself


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for what is done later, without their token; `scopes` are that token's, None of a user."""

    subject: UUID
    scopes: Collection[str] | None = None

    @property
    def is_service(self) -> bool:
        return self.scopes is not None


OPERATOR = Actor(user_id=None, held={EVERYTHING: None})
Standing = Principal | Asker | Actor


def who(caller: Standing) -> Who:
    """As the audit trail names them: of a caller, not of what `load_actor` made of one."""
    if isinstance(caller, Actor):
        assert caller is OPERATOR  # noqa: S101
        return operator()
    return Who("service" if caller.is_service else "user", str(caller.subject))


async def load_actor(session: AsyncSession, caller: Standing, now: datetime, *, may: str) -> Actor:
    """Call it after `lock_access_rules`: what the caller holds at this moment, not when the request came in.

    `may` is the permission that the act takes; raises PermissionDenied if the caller lost it while waiting.
    """
    actor = caller if isinstance(caller, Actor) else await _load(session, caller, now)
    if not covers(actor.held, may):
        raise PermissionDenied(f"You need the permission {may}.")
    return actor


async def load_subject(session: AsyncSession, user_id: UUID) -> Subject:
    """All grants of a user, read in the caller's transaction."""
    subjects, _ = await load_facts(await driver_of(session), [user_id], patterns=None)
    return subjects[user_id]


async def _load(session: AsyncSession, caller: Principal | Asker, now: datetime) -> Actor:
    if caller.is_service:
        exists = await session.get(ServiceAccount, caller.subject) is not None
        scopes = caller.scopes if isinstance(caller, Asker) else caller.claims.scopes
        return Actor(user_id=None, held=dict.fromkeys((scopes or ()) if exists else ()))
    subject = await load_subject(session, caller.subject)
    held = {
        pattern: covered_until(grants, now)
        for pattern, grants in subject.grants.items()
        if subject.active and any(grant.active(now) for grant in grants)
    }
    return Actor(user_id=caller.subject, held=held)
