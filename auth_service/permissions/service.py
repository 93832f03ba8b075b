"""Answers checks, and keeps the catalogue of permissions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import (
    NotFound,
    PermissionBuiltIn,
    PermissionDenied,
    PermissionExists,
    PermissionInUse,
    StepUpRequired,
)
from auth_service.core.principal import Principal
from auth_service.events.kinds import PermissionChanged, PermissionCreated, PermissionDeleted
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules
from auth_service.models import Permission
from auth_service.permissions import repository
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.permissions.check import Decision, Grant, Reason, decide
from auth_service.permissions.keepers import keeping_administration
from auth_service.permissions.patterns import covering, covers
from auth_service.permissions.step_up import Demand, demand_of, judged

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
        "users:delete",
        "users:read",
        "users:write",
        "webhooks:read",
        "webhooks:write",
    }
)


@dataclass(frozen=True, slots=True)
class Question:
    """`session_id`: the user's session that the question is about; what wants a step-up is denied without one."""

    code: str
    user_id: UUID
    session_id: UUID | None = None


async def allows(resources: Resources, principal: Principal, code: str) -> Decision | None:
    """The caller's own decision; None for a service whose token has the scope. Raises PermissionDenied."""
    if principal.is_service:
        if covers(principal.claims.scopes, code):
            return None
        raise PermissionDenied(f"The service account lacks the scope {code}.")
    (decision,) = await _decide(resources, [Question(code, principal.subject, principal.session_id)])
    if decision.reason is Reason.STEP_UP_REQUIRED:
        raise StepUpRequired("This takes a second factor, shown a short time ago: POST /api/v1/auth/step-up.")
    if not decision.allowed:
        raise PermissionDenied(f"You need the permission {code} ({decision.reason}).")
    return decision


async def holds(resources: Resources, principal: Principal, code: str) -> bool:
    """Whether `allows` lets the caller; raises a store failure (503), which is no answer."""
    try:
        await allows(resources, principal, code)
    except (PermissionDenied, StepUpRequired):
        return False
    return True


async def answer_checks(
    resources: Resources, caller: Principal, checks: Sequence[tuple[str, UUID | None, UUID | None]]
) -> list[Decision]:
    """Of (code, user id, session id), in their order and all on one snapshot.

    Of the caller without a user id; of anyone for services and admins with permissions:check (CHK-1).
    """
    if caller.is_service and any(user_id is None for _, user_id, _ in checks):
        raise PermissionDenied("A service account names the user it asks about: user_id.")
    questions = [_question(caller, *check) for check in checks]
    if any(question.user_id != caller.subject for question in questions) or caller.is_service:
        await allows(resources, caller, CHECK_OTHERS)
    decisions = await _decide(resources, questions)
    for reason, count in Counter(decision.reason for decision in decisions).items():
        resources.metrics.checks.labels(reason).inc(count)
    return decisions


def _question(caller: Principal, code: str, user_id: UUID | None, session_id: UUID | None) -> Question:
    if not caller.is_service and user_id in {None, caller.subject}:
        return Question(code, caller.subject, caller.session_id)
    return Question(code, user_id or caller.subject, session_id)


async def _decide(resources: Resources, questions: Sequence[Question]) -> list[Decision]:
    """HOT. One query, and a second one only for what asks for a second factor; raises a store failure (503)."""
    codes = {question.code for question in questions}
    patterns = {pattern for code in codes for pattern in covering(code)}
    users = {question.user_id for question in questions}
    subjects, known = await repository.load_facts(resources.hot, users, patterns=patterns, codes=codes)
    now = resources.clock()
    decisions = [decide(q.code, known[q.code] is not None, subjects[q.user_id], now) for q in questions]
    admin_mfa = resources.settings.admin_mfa_required
    demands = {
        code: demand_of(code, marked=bool(known[code]), administrative=admin_mfa and code in OWN_CODES)
        for code in codes
    }
    if all(demand is Demand.NOTHING for demand in demands.values()):
        return decisions
    sessions = {q.session_id for q in questions if q.session_id and demands[q.code] is not Demand.NOTHING}
    shown = await repository.second_factors_of(resources.hot, sessions) if sessions else {}
    return [
        judged(decision, demands[q.code], shown.get((q.user_id, q.session_id)) if q.session_id else None, now)
        for q, decision in zip(questions, decisions, strict=True)
    ]


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


async def create_permission(
    resources: Resources, caller: Principal | Actor, code: str, title: str, description: str, *, step_up: bool = False
) -> Permission:
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        return await create_permission_in(
            resources, session, caller, code, title=title, description=description, step_up=step_up
        )


async def create_permission_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    code: str,
    *,
    title: str,
    description: str,
    step_up: bool,
) -> Permission:
    """In the caller's transaction, under the access lock; so are the next two."""
    if await repository.find_permission(session, code) is not None:
        raise PermissionExists
    now = resources.clock()
    permission = Permission(code=code, title=title, description=description, step_up=step_up, created_at=now)
    session.add(permission)
    await record(resources, session, PermissionCreated(permission=code, title=title, step_up=step_up))
    facts = _facts(permission)
    write_act(session, who(caller), Action.PERMISSION_CREATED, Target("permission", code), at=now, after=facts)
    return permission


async def update_permission(
    resources: Resources,
    caller: Principal | Actor,
    code: str,
    *,
    title: str | None,
    description: str | None,
    step_up: bool | None,
) -> Permission:
    """None leaves a part as it is. The mark takes from people or opens to them, so the caller must hold the code.

    Raises WouldShutOut for a mark that nobody could take off again.
    """
    async with resources.db.begin() as session, keeping_administration(resources, session):
        return await update_permission_in(
            resources, session, caller, code, title=title, description=description, step_up=step_up
        )


async def update_permission_in(
    resources: Resources,
    session: AsyncSession,
    caller: Principal | Actor,
    code: str,
    *,
    title: str | None,
    description: str | None,
    step_up: bool | None,
) -> Permission:
    permission = _found(await repository.find_permission(session, code))
    if step_up not in {None, permission.step_up}:
        actor = await load_actor(session, caller, resources.clock(), may="permissions:write")
        actor.must_hold([code], until=None)
    before = _facts(permission)
    permission.title = permission.title if title is None else title
    permission.description = permission.description if description is None else description
    permission.step_up = permission.step_up if step_up is None else step_up
    changed = PermissionChanged(permission=code, title=permission.title, step_up=permission.step_up)
    await record(resources, session, changed)
    after = _facts(permission)
    differing = [name for name in after if before[name] != after[name]]
    write_act(
        session,
        who(caller),
        Action.PERMISSION_UPDATED,
        Target("permission", code),
        at=resources.clock(),
        before={name: before[name] for name in differing},
        after={name: after[name] for name in differing},
    )
    return permission


async def delete_permission(resources: Resources, caller: Principal | Actor, code: str) -> None:
    """Takes it from everyone who has it by a wildcard, superusers too; so the caller must hold it.

    Raises PermissionBuiltIn for what this service itself asks for, and PermissionInUse while a role or a service
    names it.
    """
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        await delete_permission_in(resources, session, caller, code)


async def delete_permission_in(
    resources: Resources, session: AsyncSession, caller: Principal | Actor, code: str
) -> None:
    permission = _found(await repository.find_permission(session, code))
    if code in OWN_CODES:
        raise PermissionBuiltIn
    actor = await load_actor(session, caller, resources.clock(), may="permissions:write")
    actor.must_hold([code], until=None)
    if await repository.uses_of(session, code):
        raise PermissionInUse
    await session.delete(permission)
    await record(resources, session, PermissionDeleted(permission=code, by=actor.user_id))
    target, facts = Target("permission", code), _facts(permission)
    write_act(session, who(caller), Action.PERMISSION_DELETED, target, at=resources.clock(), before=facts)


def _facts(permission: Permission) -> dict[str, Any]:
    """What the audit trail keeps of one."""
    return {"title": permission.title, "description": permission.description, "step_up": permission.step_up}


def _found(permission: Permission | None) -> Permission:
    if permission is None:
        raise NotFound("There is no such permission.")
    return permission
