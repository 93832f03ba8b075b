"""Roles. Every change takes one lock, is judged against what the actor holds, and is all or nothing."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from types import EllipsisType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, differing, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import RoleBuiltIn, RoleExists, RoleInUse, ValidationFailed, existing
from auth_service.core.principal import Principal
from auth_service.core.versions import must_match
from auth_service.events.kinds import RoleChanged, RoleCreated, RoleDeleted
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules
from auth_service.models import Role
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.permissions.keepers import keeping_administration
from auth_service.permissions.repository import unknown_patterns
from auth_service.permissions.what_if.trial import Trial, changing
from auth_service.roles import repository
from auth_service.roles.hierarchy import Hierarchy
from auth_service.roles.role import NO_LINKS, Links, RoleSpec, RoleView, role_view
from auth_service.roles.session_limits import must_limit


async def list_roles(resources: Resources) -> list[RoleView]:
    async with resources.db() as session:
        roles = await repository.list_roles(session)
        patterns, parents = await repository.links(session)
        return [role_view(role, patterns[role.name], parents[role.name]) for role in roles]


async def get_role(resources: Resources, name: str) -> RoleView:
    async with resources.db() as session:
        return await _view(session, existing(await repository.find_role(session, name), "role"))


async def create_role(
    resources: Resources, caller: Principal | Actor, name: str, spec: RoleSpec, *, trial: Trial | None = None
) -> RoleView:
    """Raises RoleExists, RoleCycle, LackingYourself, or ValidationFailed for what does not exist."""
    async with changing(resources, trial) as session:
        await lock_access_rules(session)
        if await repository.find_role(session, name) is not None:
            raise RoleExists
        planned = await plan_roles(session, {name: (spec.permissions, spec.parents)})
        return await create_role_in(resources, session, caller, planned=planned, name=name, spec=spec)


async def create_role_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    *,
    planned: Hierarchy,
    name: str,
    spec: RoleSpec,
) -> RoleView:
    """In the caller's transaction, under the access lock, of what `plan_roles` let pass; the parents must be there."""
    now = resources.clock()
    actor = await load_actor(session, caller, now, may="roles:write")
    actor.must_hold(planned.effective(name), until=None)
    await _must_limit(resources, session, actor, before=planned, after=planned, name=name, limit=spec.session_limit)
    role = Role(
        name=name,
        title=spec.title,
        description=spec.description,
        session_limit=spec.session_limit,
        created_at=now,
        updated_at=now,
    )
    session.add(role)
    await session.flush()
    await repository.replace_links(session, name, set(spec.permissions), set(spec.parents))
    view = await _view(session, role)
    await record(resources, session, RoleCreated(by=actor.user_id, **_event_data(view)))
    write_act(session, who(caller), Action.ROLE_CREATED, Target("role", name), at=now, after=asdict(view.spec))
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
    added: Links = NO_LINKS,
    removed: Links = NO_LINKS,
    if_match: str | None = None,
    trial: Trial | None = None,
) -> RoleView:
    """None leaves a part as it is, but takes the session limit away, which only `...` leaves. `added` and `removed`
    are of what the role has at that moment; removing what it has not raises ValidationFailed.

    The actor must hold all that the role gives, before and, without an end, after. Raises WouldShutOut where nobody
    could undo it, PreconditionFailed where `if_match` is of another version.
    """
    parts = {"title": title, "description": description, "permissions": permissions, "parents": parents}
    changes: dict[str, Any] = {part: value for part, value in parts.items() if value is not None}
    if session_limit is not ...:
        changes["session_limit"] = session_limit
    async with changing(resources, trial) as session, keeping_administration(resources, session):
        now = resources.clock()
        role = _changeable(await repository.find_role(session, name))
        present = await _view(session, role)
        spec = replace(present.spec, **changes)
        # Before what was sent is looked at: who lacks the role learns nothing from it.
        actor = await load_actor(session, caller, now, may="roles:write")
        actor.must_hold(await repository.effective_patterns(session, name), until=now)
        must_match(if_match, present.version)
        spec = _relinked(spec, added, removed)
        planned = await plan_roles(session, {name: (spec.permissions, spec.parents)})
        relinked = not (permissions is parents is None and added == removed == NO_LINKS)
        return await update_role_in(
            resources, session, caller, planned=planned, name=name, spec=spec, relinked=relinked
        )


async def update_role_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    *,
    planned: Hierarchy,
    name: str,
    spec: RoleSpec,
    relinked: bool = True,
) -> RoleView:
    """As `create_role_in`, of a role that is there: all of it as it is to be from now on. Raises RoleBuiltIn."""
    now = resources.clock()
    role = _changeable(await repository.find_role(session, name))
    old = await _view(session, role)
    actor = await load_actor(session, caller, now, may="roles:write")
    present = await repository.load_hierarchy(session)
    actor.must_hold(present.effective(name), until=now)
    actor.must_hold(planned.effective(name), until=None if relinked else now)
    await _must_limit(resources, session, actor, before=present, after=planned, name=name, limit=spec.session_limit)
    role.title, role.description, role.session_limit = spec.title, spec.description, spec.session_limit
    role.updated_at = now
    await repository.replace_links(session, name, set(spec.permissions), set(spec.parents))
    await session.flush()
    new = await _view(session, role)
    await record(resources, session, RoleChanged(by=actor.user_id, **_event_data(new)))
    target, facts = Target("role", name), differing(asdict(old.spec), asdict(new.spec))
    write_act(session, who(caller), Action.ROLE_UPDATED, target, at=now, **facts)
    return new


def _relinked(spec: RoleSpec, added: Links, removed: Links) -> RoleSpec:
    if not (set(removed.permissions) <= set(spec.permissions) and set(removed.parents) <= set(spec.parents)):
        raise ValidationFailed("what is to be removed must be a permission or parent of the role itself")
    return replace(
        spec,
        permissions={*spec.permissions, *added.permissions} - set(removed.permissions),
        parents={*spec.parents, *added.parents} - set(removed.parents),
    )


async def delete_role(
    resources: Resources,
    caller: Principal | Actor,
    name: str,
    *,
    if_match: str | None = None,
    trial: Trial | None = None,
) -> None:
    """Raises RoleInUse while users or roles have it, or new users get it; PreconditionFailed as `update_role`."""
    async with changing(resources, trial) as session:
        await lock_access_rules(session)
        await delete_role_in(resources, session, caller, name, if_match=if_match)


async def delete_role_in(
    resources: Resources, session: AsyncSession, caller: Principal | Actor, name: str, *, if_match: str | None = None
) -> None:
    """In the caller's transaction, under the access lock."""
    role = _changeable(await repository.find_role(session, name))
    now = resources.clock()
    actor = await load_actor(session, caller, now, may="roles:write")
    actor.must_hold(await repository.effective_patterns(session, name), until=now)
    present = await _view(session, role)
    must_match(if_match, present.version)
    if name == resources.settings.default_role or await repository.uses_of(session, name):
        raise RoleInUse
    facts = asdict(present.spec)
    await session.delete(role)
    await record(resources, session, RoleDeleted(role=name, by=actor.user_id))
    write_act(session, who(caller), Action.ROLE_DELETED, Target("role", name), at=now, before=facts)


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


async def _must_limit(
    resources: Resources,
    session: AsyncSession,
    actor: Actor,
    *,
    before: Hierarchy,
    after: Hierarchy,
    name: str,
    limit: int | None,
) -> None:
    own = await repository.own_session_limits(session)
    limits = before.session_limits(own), after.session_limits({**own, name: limit})
    must_limit(actor, after, *limits, default_role=resources.settings.default_role, now=resources.clock())


async def _view(session: AsyncSession, role: Role) -> RoleView:
    patterns, parents = await repository.links(session, role.name)
    return role_view(role, patterns[role.name], parents[role.name])


def _event_data(view: RoleView) -> dict[str, Any]:
    return {
        "role": view.name,
        "title": view.title,
        "permissions": view.permissions,
        "parents": view.parents,
        "session_limit": view.session_limit,
    }


def _changeable(role: Role | None) -> Role:
    if existing(role, "role").built_in:
        raise RoleBuiltIn
    return existing(role, "role")
