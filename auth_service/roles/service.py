"""Roles and grants. Every change takes one lock, is judged against what the actor holds, and is all or nothing."""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import EllipsisType
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound, RoleBuiltIn, RoleExists, RoleInUse, ValidationFailed
from auth_service.core.principal import Principal
from auth_service.events.kinds import RoleChanged, RoleCreated, RoleDeleted, RoleGranted, RoleRevoked
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules
from auth_service.models import Role, UserRole
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.permissions.keepers import keeping_administration
from auth_service.permissions.repository import unknown_patterns
from auth_service.roles import repository
from auth_service.roles.hierarchy import Hierarchy
from auth_service.roles.schemas import RoleAnswer, RoleGrantAnswer
from auth_service.roles.session_limits import must_limit
from auth_service.users.repository import find_by_id
from auth_service.users.service import keeping_a_superuser


async def list_roles(resources: Resources) -> list[RoleAnswer]:
    async with resources.db() as session:
        patterns, parents = await repository.links(session)
        return [view_of(role, patterns[role.name], parents[role.name]) for role in await repository.list_roles(session)]


async def get_role(resources: Resources, name: str) -> RoleAnswer:
    async with resources.db() as session:
        return await _current_view(session, _found(await repository.find_role(session, name)))


async def create_role(
    resources: Resources,
    caller: Principal | Actor,
    *,
    name: str,
    title: str,
    description: str,
    permissions: Collection[str],
    parents: Collection[str],
    session_limit: int | None = None,
) -> RoleAnswer:
    """Raises RoleExists, RoleCycle, LackingYourself, or ValidationFailed for what does not exist."""
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        if await repository.find_role(session, name) is not None:
            raise RoleExists
        planned = await plan_roles(session, {name: (permissions, parents)})
        return await create_role_in(
            resources,
            session,
            caller,
            planned,
            name=name,
            title=title,
            description=description,
            permissions=permissions,
            parents=parents,
            session_limit=session_limit,
        )


async def create_role_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    planned: Hierarchy,
    *,
    name: str,
    title: str,
    description: str,
    permissions: Collection[str],
    parents: Collection[str],
    session_limit: int | None,
) -> RoleAnswer:
    """In the caller's transaction, under the access lock, of what `plan_roles` let pass; the parents must be there."""
    now = resources.clock()
    actor = await load_actor(session, caller, now, may="roles:write")
    actor.must_hold(planned.effective(name), until=None)
    own_limits = await repository.own_session_limits(session)
    must_limit(
        actor,
        planned,
        planned.session_limits(own_limits),
        planned.session_limits({**own_limits, name: session_limit}),
        default_role=resources.settings.default_role,
        now=now,
    )
    role = Role(
        name=name,
        title=title,
        description=description,
        session_limit=session_limit,
        created_at=now,
        updated_at=now,
    )
    session.add(role)
    await session.flush()
    await repository.replace_links(session, name, set(permissions), set(parents))
    view = await _current_view(session, role)
    await record(resources, session, RoleCreated(by=actor.user_id, **_event_data(view)))
    write_act(session, who(caller), Action.ROLE_CREATED, Target("role", name), at=now, after=_facts(view))
    return view


async def update_role(
    resources: Resources,
    caller: Principal | Actor,
    name: str,
    *,
    title: str | None = None,
    description: str | None = None,
    permissions: Collection[str] | None = None,
    parents: Collection[str] | None = None,
    session_limit: int | EllipsisType | None = ...,
) -> RoleAnswer:
    """None leaves a part as it is, but takes the session limit away, which only `...` leaves.

    The actor must hold all that the role gives, before and, without an end, after. Raises WouldShutOut where nobody
    could undo it.
    """
    async with resources.db.begin() as session, keeping_administration(resources, session):
        now = resources.clock()
        role = _changeable(await repository.find_role(session, name))
        view = await _current_view(session, role)
        relinked = permissions is not None or parents is not None
        permissions = view.permissions if permissions is None else permissions
        parents = view.parents if parents is None else parents
        # Before what was sent is looked at: who lacks the role learns nothing from it.
        actor = await load_actor(session, caller, now, may="roles:write")
        actor.must_hold((await repository.load_hierarchy(session)).effective(name), until=now)
        planned = await plan_roles(session, {name: (permissions, parents)})
        return await update_role_in(
            resources,
            session,
            caller,
            planned,
            name=name,
            title=role.title if title is None else title,
            description=role.description if description is None else description,
            permissions=permissions,
            parents=parents,
            session_limit=role.session_limit if session_limit is ... else session_limit,
            relinked=relinked,
        )


async def update_role_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    planned: Hierarchy,
    *,
    name: str,
    title: str,
    description: str,
    permissions: Collection[str],
    parents: Collection[str],
    session_limit: int | None,
    relinked: bool = True,
) -> RoleAnswer:
    """As `create_role_in`, of a role that is there: all of it as it is to be from now on. Raises RoleBuiltIn."""
    now = resources.clock()
    role = _changeable(await repository.find_role(session, name))
    view = await _current_view(session, role)
    actor = await load_actor(session, caller, now, may="roles:write")
    present = await repository.load_hierarchy(session)
    actor.must_hold(present.effective(name), until=now)
    actor.must_hold(planned.effective(name), until=None if relinked else now)
    own_limits = await repository.own_session_limits(session)
    must_limit(
        actor,
        planned,
        present.session_limits(own_limits),
        planned.session_limits({**own_limits, name: session_limit}),
        default_role=resources.settings.default_role,
        now=now,
    )
    role.title, role.description, role.session_limit, role.updated_at = title, description, session_limit, now
    await repository.replace_links(session, name, set(permissions), set(parents))
    await session.flush()
    changed = await _current_view(session, role)
    await record(resources, session, RoleChanged(by=actor.user_id, **_event_data(changed)))
    old, new = _facts(view), _facts(changed)
    differing = [key for key in new if old[key] != new[key]]
    write_act(
        session,
        who(caller),
        Action.ROLE_UPDATED,
        Target("role", name),
        at=now,
        before={key: old[key] for key in differing},
        after={key: new[key] for key in differing},
    )
    return changed


async def delete_role(resources: Resources, caller: Principal | Actor, name: str) -> None:
    """Raises RoleInUse while users or roles have it, or new users get it."""
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        await delete_role_in(resources, session, caller, name)


async def delete_role_in(resources: Resources, session: AsyncSession, caller: Principal | Actor, name: str) -> None:
    """In the caller's transaction, under the access lock."""
    role = _changeable(await repository.find_role(session, name))
    now = resources.clock()
    actor = await load_actor(session, caller, now, may="roles:write")
    actor.must_hold((await repository.load_hierarchy(session)).effective(name), until=now)
    if name == resources.settings.default_role or await repository.uses_of(session, name):
        raise RoleInUse
    facts = _facts(await _current_view(session, role))
    await session.delete(role)
    await record(resources, session, RoleDeleted(role=name, by=actor.user_id))
    write_act(session, who(caller), Action.ROLE_DELETED, Target("role", name), at=now, before=facts)


async def list_grants(resources: Resources, user_id: UUID) -> list[RoleGrantAnswer]:
    """Those that have ended or not begun too; raises NotFound."""
    async with resources.db() as session:
        await _must_exist(session, user_id)
        return [_grant_view(grant, resources.clock()) for grant in await repository.grants_of(session, user_id)]


async def grant_role(
    resources: Resources,
    caller: Principal | Actor,
    user_id: UUID,
    name: str,
    *,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    reason: str | None = None,
) -> RoleGrantAnswer:
    """Grants, or changes the dates of the grant that is there.

    Raises LackingYourself, also where it would outlast what the caller holds, or LastSuperuser.
    """
    async with resources.db.begin() as session, keeping_a_superuser(resources, session):
        now = resources.clock()
        starts = valid_from or now
        if valid_until is not None and valid_until <= starts:
            raise ValidationFailed("valid_until must lie after valid_from, or after now without it")
        actor = await load_actor(session, caller, now, may="roles:grant")
        present = await repository.find_grant(session, user_id, name)
        before = None if present is None else _grant_facts(present)
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
            after=_grant_facts(grant),
            reason=reason,
        )
    return _grant_view(grant, now)


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
    await _must_manage(session, actor, name, until=valid_until)
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


async def revoke_role(resources: Resources, caller: Principal | Actor, user_id: UUID, name: str) -> None:
    """Raises NotFound, LackingYourself (nobody strips those above them) or LastSuperuser."""
    async with resources.db.begin() as session, keeping_a_superuser(resources, session):
        now = resources.clock()
        actor = await load_actor(session, caller, now, may="roles:grant")
        await _must_manage(session, actor, name, until=now)
        grant = await repository.find_grant(session, user_id, name)
        if grant is None:
            raise NotFound("The user does not have this role.")
        await session.delete(grant)
        await record(resources, session, RoleRevoked(user_id=user_id, role=name, by=actor.user_id))
        target = Target("user", str(user_id))
        write_act(session, who(caller), Action.ROLE_REVOKED, target, at=now, before=_grant_facts(grant))


async def _must_manage(session: AsyncSession, actor: Actor, name: str, *, until: datetime | None) -> None:
    _found(await repository.find_role(session, name))
    actor.must_hold((await repository.load_hierarchy(session)).effective(name), until=until)


async def plan_roles(session: AsyncSession, wanted: Mapping[str, tuple[Collection[str], Collection[str]]]) -> Hierarchy:
    """The roles as they would be with those of `wanted`: by name, their permissions and parents.

    Raises for unknown names, cycles and too deep ancestry.
    """
    planned = await repository.load_hierarchy(session)
    for name, (permissions, parents) in wanted.items():
        if await unknown_patterns(session, permissions):
            raise ValidationFailed("permissions name one that is not in the catalogue")
        planned = planned.with_role(name, parents, permissions)
    if any(parent not in planned for _, parents in wanted.values() for parent in parents):
        raise ValidationFailed("parents name a role that does not exist")
    planned.check()
    return planned


async def _must_exist(session: AsyncSession, user_id: UUID) -> None:
    if await find_by_id(session, user_id) is None:
        raise NotFound("There is no such user.")


async def _current_view(session: AsyncSession, role: Role) -> RoleAnswer:
    patterns, parents = await repository.links(session)
    return view_of(role, patterns[role.name], parents[role.name])


def view_of(role: Role, permissions: list[str], parents: list[str]) -> RoleAnswer:
    return RoleAnswer(
        name=role.name,
        title=role.title,
        description=role.description,
        built_in=role.built_in,
        permissions=permissions,
        parents=parents,
        session_limit=role.session_limit,
        created_at=role.created_at,
        updated_at=role.updated_at,
    )


def _event_data(view: RoleAnswer) -> dict[str, Any]:
    parts = view.model_dump(include={"title", "permissions", "parents", "session_limit"})
    return {"role": view.name, **parts}


def _facts(view: RoleAnswer) -> dict[str, Any]:
    """What the audit trail keeps of a role."""
    return view.model_dump(include={"title", "description", "permissions", "parents", "session_limit"})


def _grant_facts(grant: UserRole) -> dict[str, Any]:
    return {"role": grant.role_name, "valid_from": grant.valid_from, "valid_until": grant.valid_until}


def _grant_view(grant: UserRole, now: datetime) -> RoleGrantAnswer:
    return RoleGrantAnswer(
        role=grant.role_name,
        valid_from=grant.valid_from,
        valid_until=grant.valid_until,
        granted_by=grant.granted_by,
        granted_at=grant.granted_at,
        reason=grant.reason,
        active=grant.valid_from <= now and (grant.valid_until is None or now < grant.valid_until),
    )


def _found(role: Role | None) -> Role:
    if role is None:
        raise NotFound("There is no such role.")
    return role


def _changeable(role: Role | None) -> Role:
    if _found(role).built_in:
        raise RoleBuiltIn
    return _found(role)
