"""The catalogue: which permissions there are, and the rules by which they change."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, differing, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import PermissionBuiltIn, PermissionExists, PermissionInUse, existing
from auth_service.core.principal import Principal
from auth_service.core.versions import must_match, version_of
from auth_service.events.kinds import PermissionChanged, PermissionCreated, PermissionDeleted
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules
from auth_service.models import Permission
from auth_service.permissions import repository
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.permissions.codes import OWN_CODES
from auth_service.permissions.keepers import keeping_administration
from auth_service.permissions.what_if.trial import Trial, changing


@dataclass(frozen=True, slots=True)
class PermissionSpec:
    """All of a permission that an admin sets. `step_up`: the session must have shown a second factor lately."""

    title: str
    description: str = ""
    step_up: bool = False


async def list_permissions(resources: Resources) -> Sequence[Permission]:
    async with resources.db() as session:
        return await repository.list_permissions(session)


async def get_permission(resources: Resources, code: str) -> Permission:
    async with resources.db() as session:
        return await _find(session, code)


async def create_permission(
    resources: Resources,
    caller: Principal | Actor,
    code: str,
    spec: PermissionSpec,
    *,
    trial: Trial | None = None,
) -> Permission:
    async with changing(resources, trial) as session:
        await lock_access_rules(session)
        return await create_permission_in(resources, session, caller, code, spec)


async def create_permission_in(
    resources: Resources, session: AsyncSession, caller: Principal | Actor, code: str, spec: PermissionSpec
) -> Permission:
    """In the caller's transaction, under the access lock; so are the next two."""
    if await repository.find_permission(session, code) is not None:
        raise PermissionExists
    now = resources.clock()
    permission = Permission(code=code, created_at=now, **asdict(spec))
    session.add(permission)
    await record(resources, session, PermissionCreated(permission=code, title=spec.title, step_up=spec.step_up))
    target = Target("permission", code)
    write_act(session, who(caller), Action.PERMISSION_CREATED, target, at=now, after=asdict(spec))
    return permission


async def update_permission(
    resources: Resources,
    caller: Principal | Actor,
    code: str,
    *,
    title: str | None,
    description: str | None,
    step_up: bool | None,
    if_match: str | None = None,
    trial: Trial | None = None,
) -> Permission:
    """None leaves a part as it is. The mark takes from people or opens to them, so the caller must hold the code.

    Raises WouldShutOut for a mark that nobody could take off again, PreconditionFailed where `if_match` is of another
    version.
    """
    parts = {"title": title, "description": description, "step_up": step_up}
    changes: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
    async with changing(resources, trial) as session, keeping_administration(resources, session):
        permission = await _find(session, code)
        must_match(if_match, version(permission))
        spec = replace(_spec_of(permission), **changes)
        return await update_permission_in(resources, session, caller, code, spec)


async def update_permission_in(
    resources: Resources, session: AsyncSession, caller: Principal | Actor, code: str, spec: PermissionSpec
) -> Permission:
    permission = await _find(session, code)
    old = _spec_of(permission)
    if spec.step_up != old.step_up:
        actor = await load_actor(session, caller, resources.clock(), may="permissions:write")
        actor.must_hold([code], until=None)
    permission.title, permission.description, permission.step_up = spec.title, spec.description, spec.step_up
    await record(resources, session, PermissionChanged(permission=code, title=spec.title, step_up=spec.step_up))
    target, facts = Target("permission", code), differing(asdict(old), asdict(spec))
    write_act(session, who(caller), Action.PERMISSION_UPDATED, target, at=resources.clock(), **facts)
    return permission


async def delete_permission(
    resources: Resources,
    caller: Principal | Actor,
    code: str,
    *,
    if_match: str | None = None,
    trial: Trial | None = None,
) -> None:
    """Takes it from everyone who has it by a wildcard, superusers too; so the caller must hold it.

    Raises PermissionBuiltIn for what this service itself asks for, and PermissionInUse while a role or a service
    names it; PreconditionFailed as `update_permission`.
    """
    async with changing(resources, trial) as session:
        await lock_access_rules(session)
        must_match(if_match, version(await _find(session, code)))
        await delete_permission_in(resources, session, caller, code)


async def delete_permission_in(
    resources: Resources, session: AsyncSession, caller: Principal | Actor, code: str
) -> None:
    permission = await _find(session, code)
    if code in OWN_CODES:
        raise PermissionBuiltIn
    actor = await load_actor(session, caller, resources.clock(), may="permissions:write")
    actor.must_hold([code], until=None)
    if await repository.uses_of(session, code):
        raise PermissionInUse
    await session.delete(permission)
    await record(resources, session, PermissionDeleted(permission=code, by=actor.user_id))
    target, facts = Target("permission", code), asdict(_spec_of(permission))
    write_act(session, who(caller), Action.PERMISSION_DELETED, target, at=resources.clock(), before=facts)


def version(permission: Permission) -> str:
    """Its ETag."""
    return version_of(permission.code, *astuple(_spec_of(permission)), permission.created_at)


def _spec_of(permission: Permission) -> PermissionSpec:
    return PermissionSpec(permission.title, permission.description, permission.step_up)


async def _find(session: AsyncSession, code: str) -> Permission:
    return existing(await repository.find_permission(session, code), "permission")
