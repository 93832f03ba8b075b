"""Grants of roles to users. Every change takes the access lock and is judged against what the actor holds."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound, ValidationFailed, existing
from auth_service.core.principal import Principal
from auth_service.events.kinds import RoleGranted, RoleRevoked
from auth_service.events.outbox import record
from auth_service.models import UserRole
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.permissions.what_if.trial import Trial, changing
from auth_service.roles import repository
from auth_service.roles.role import GrantView, grant_facts, grant_view
from auth_service.users.repository import find_by_id
from auth_service.users.service import keeping_a_superuser


async def list_grants(resources: Resources, user_id: UUID) -> list[GrantView]:
    """Those that have ended or not begun too; raises NotFound."""
    async with resources.db() as session:
        await _must_exist(session, user_id)
        return [grant_view(grant, resources.clock()) for grant in await repository.grants_of(session, user_id)]


async def grant_role(
    resources: Resources,
    caller: Principal | Actor,
    user_id: UUID,
    name: str,
    *,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    reason: str | None = None,
    trial: Trial | None = None,
) -> GrantView:
    """Grants, or changes the dates of the grant that is there.

    Raises LackingYourself, also where it would outlast what the caller holds, or LastSuperuser.
    """
    async with changing(resources, trial, users=[user_id]) as session, keeping_a_superuser(resources, session):
        now = resources.clock()
        starts = valid_from or now
        if valid_until is not None and valid_until <= starts:
            raise ValidationFailed("valid_until must lie after valid_from, or after now without it")
        actor = await load_actor(session, caller, now, may="roles:grant")
        present = await repository.find_grant(session, user_id, name)
        before = None if present is None else grant_facts(present)
        grant = await grant_in(
            resources,
            session,
            actor,
            user_id,
            name,
            now=now,
            valid_from=starts,
            valid_until=valid_until,
            reason=reason,
        )
        write_act(
            session,
            who(caller),
            Action.ROLE_GRANTED,
            Target("user", str(user_id)),
            at=now,
            before=before,
            after=grant_facts(grant),
            reason=reason,
        )
    return grant_view(grant, now)


async def grant_in(
    resources: Resources,
    session: AsyncSession,
    actor: Actor,
    user_id: UUID,
    name: str,
    *,
    now: datetime,
    valid_from: datetime,
    valid_until: datetime | None = None,
    reason: str | None = None,
) -> UserRole:
    """In the caller's transaction, under the access lock; raises NotFound or LackingYourself."""
    await must_manage(session, actor, name, until=valid_until)
    await _must_exist(session, user_id)
    grant = await repository.find_grant(session, user_id, name)
    if grant is None:
        grant = UserRole(user_id=user_id, role_name=name)
        session.add(grant)
    grant.valid_from, grant.valid_until = valid_from, valid_until
    grant.granted_by, grant.granted_at, grant.reason = actor.user_id, now, reason
    dates = {"valid_from": valid_from, "valid_until": valid_until}
    await record(resources, session, RoleGranted(user_id=user_id, role=name, by=actor.user_id, **dates))
    return grant


async def revoke_role(
    resources: Resources, caller: Principal | Actor, user_id: UUID, name: str, *, trial: Trial | None = None
) -> None:
    """Raises NotFound, LackingYourself (nobody strips those above them) or LastSuperuser."""
    async with changing(resources, trial, users=[user_id]) as session, keeping_a_superuser(resources, session):
        now = resources.clock()
        actor = await load_actor(session, caller, now, may="roles:grant")
        await must_manage(session, actor, name, until=now)
        grant = await repository.find_grant(session, user_id, name)
        if grant is None:
            raise NotFound("The user does not have this role.")
        await session.delete(grant)
        await record(resources, session, RoleRevoked(user_id=user_id, role=name, by=actor.user_id))
        target = Target("user", str(user_id))
        write_act(session, who(caller), Action.ROLE_REVOKED, target, at=now, before=grant_facts(grant))


async def must_manage(session: AsyncSession, actor: Actor, name: str, *, until: datetime | None) -> None:
    """Whether the actor may hand the role out until then, or take it away; raises NotFound or LackingYourself."""
    existing(await repository.find_role(session, name), "role")
    actor.must_hold(await repository.effective_patterns(session, name), until=until)


async def _must_exist(session: AsyncSession, user_id: UUID) -> None:
    existing(await find_by_id(session, user_id), "user")
