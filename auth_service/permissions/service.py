"""Answers checks, and keeps the catalogue of permissions."""

from collections.abc import Sequence
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound, PermissionBuiltIn, PermissionDenied, PermissionExists, PermissionInUse
from auth_service.core.principal import Principal
from auth_service.models import Permission
from auth_service.permissions import repository
from auth_service.permissions.actor import Actor, load_actor
from auth_service.permissions.check import Decision, Grant, decide, decide_all
from auth_service.permissions.patterns import covering, covers

CHECK_OTHERS = "permissions:check"
# What our own routes ask for: without them in the catalogue nobody could administer anything.
OWN_CODES = frozenset(
    {
        CHECK_OTHERS,
        "audit:read",
        "permissions:read",
        "permissions:write",
        "roles:read",
        "roles:write",
        "roles:grant",
        "services:read",
        "services:write",
        "users:write",
    }
)


async def check_user(resources: Resources, user_id: UUID, code: str) -> Decision:
    """HOT. One query; raises a store failure (503) rather than guess."""
    subjects, known = await repository.load_facts(resources.hot, [user_id], patterns=covering(code), codes=[code])
    return decide(code, known[code], subjects[user_id], resources.clock())


async def allows(resources: Resources, principal: Principal, code: str) -> Decision | None:
    """The caller's own decision; None for a service whose token has the scope. Raises PermissionDenied."""
    if principal.is_service:
        if covers(principal.claims.scopes, code):
            return None
        raise PermissionDenied(f"The service account lacks the scope {code}.")
    decision = await check_user(resources, principal.subject, code)
    if not decision.allowed:
        raise PermissionDenied(f"You need the permission {code} ({decision.reason}).")
    return decision


async def answer_check(resources: Resources, caller: Principal, code: str, user_id: UUID | None) -> Decision:
    """Of the caller without `user_id`; of anyone for services and admins with permissions:check (CHK-1)."""
    (decision,) = await answer_checks(resources, caller, [(code, user_id)])
    return decision


async def answer_checks(
    resources: Resources, caller: Principal, checks: Sequence[tuple[str, UUID | None]]
) -> list[Decision]:
    """In the order of `checks`, all decided on one snapshot."""
    if caller.is_service and any(user_id is None for _, user_id in checks):
        raise PermissionDenied("A service account names the user it asks about: user_id.")
    asked = [(code, user_id or caller.subject) for code, user_id in checks]
    if any(user_id != caller.subject for _, user_id in asked) or caller.is_service:
        await allows(resources, caller, CHECK_OTHERS)
    codes = {code for code, _ in asked}
    patterns = {pattern for code in codes for pattern in covering(code)}
    subjects, known = await repository.load_facts(
        resources.hot, {user_id for _, user_id in asked}, patterns=patterns, codes=codes
    )
    return decide_all([(code, subjects[user_id]) for code, user_id in asked], known, resources.clock())


async def effective_permissions(resources: Resources, user_id: UUID) -> list[Grant]:
    """All that active grants give at this moment, sorted; raises NotFound. A disabled user has nothing."""
    subjects, _ = await repository.load_facts(resources.hot, [user_id], patterns=None)
    subject = subjects[user_id]
    if subject.active is None:
        raise NotFound("There is no such user.")
    if not subject.active:
        return []
    now = resources.clock()
    active = [grant for grants in subject.grants.values() for grant in grants if grant.active(now)]
    return sorted(active, key=lambda grant: (grant.pattern, grant.role, grant.via))


async def list_permissions(resources: Resources) -> Sequence[Permission]:
    async with resources.db() as session:
        return await repository.list_permissions(session)


async def get_permission(resources: Resources, code: str) -> Permission:
    async with resources.db() as session:
        return _found(await repository.find_permission(session, code))


async def create_permission(resources: Resources, code: str, title: str, description: str) -> Permission:
    async with resources.db.begin() as session:
        await repository.lock_access_rules(session)
        if await repository.find_permission(session, code) is not None:
            raise PermissionExists
        permission = Permission(code=code, title=title, description=description, created_at=resources.clock())
        session.add(permission)
    return permission


async def update_permission(resources: Resources, code: str, title: str | None, description: str | None) -> Permission:
    async with resources.db.begin() as session:
        permission = _found(await repository.find_permission(session, code))
        permission.title = permission.title if title is None else title
        permission.description = permission.description if description is None else description
    return permission


async def delete_permission(resources: Resources, caller: Principal | Actor, code: str) -> None:
    """Takes it from everyone who has it by a wildcard, superusers too; so the caller must hold it.

    Raises PermissionBuiltIn for what this service itself asks for, and PermissionInUse while a role or a service
    names it.
    """
    async with resources.db.begin() as session:
        await repository.lock_access_rules(session)
        permission = _found(await repository.find_permission(session, code))
        if code in OWN_CODES:
            raise PermissionBuiltIn
        actor = await load_actor(session, caller, resources.clock(), may="permissions:write")
        actor.must_hold([code], until=None)
        if await repository.uses_of(session, code):
            raise PermissionInUse
        await session.delete(permission)


def _found(permission: Permission | None) -> Permission:
    if permission is None:
        raise NotFound("There is no such permission.")
    return permission
