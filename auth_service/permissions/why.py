"""Why a user may do something or may not: now, at a moment to come, or at one that has passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound, PermissionDenied
from auth_service.core.principal import Principal
from auth_service.permissions.actor import Actor, load_actor
from auth_service.permissions.checks import count_decision, demand_in, effective_permissions, holds, may_ask_about
from auth_service.permissions.decision import Decision, Grant, Reason, decide
from auth_service.permissions.explanation import (
    Explanation,
    Path,
    obstacles,
    remedies,
    shortest,
    ways_of,
)
from auth_service.permissions.repository import logins_of, second_factor_of, second_factors_of
from auth_service.permissions.rules import RoleGrant, Way
from auth_service.permissions.step_up import judged
from auth_service.permissions.then import Then, find_then, load_active, load_grants, load_rules, one_snapshot

READ_ROLES, READ_USERS, GRANT = "roles:read", "users:read", "roles:grant"


@dataclass(frozen=True, slots=True)
class _Asker:
    """What an explanation may tell: roles that others have, and who is who."""

    caller: Principal | Actor
    reads_roles: bool
    reads_users: bool


async def explain(
    resources: Resources, caller: Principal | Actor, user_id: UUID, code: str, *, at: datetime | None = None
) -> Explanation:
    """`at` None: now, in the session of a user who asks about themselves. Raises NotFound or NotKnownThen.

    The caller has been let in: as the user, or with roles:read.
    """
    asker = await _asker(resources, caller)
    session_id = None
    if at is None and isinstance(caller, Principal) and not caller.is_service and caller.subject == user_id:
        session_id = caller.session_id
    exists, explanation = await _explain(resources, asker, user_id, code, at=at, session_id=session_id)
    if not exists:
        raise NotFound("There is no such user.")
    return explanation


async def explain_check(
    resources: Resources, caller: Principal, code: str, user_id: UUID | None, session_id: UUID | None
) -> Explanation | None:
    """Of a check that was asked with `explain`, by its rules (CHK-1, CHK-2); None for who may not read roles."""
    if caller.is_service and user_id is None:
        raise PermissionDenied("A service account names the user it asks about: user_id.")
    about = caller.subject if user_id is None else user_id
    await may_ask_about(resources, caller, [about])
    asker = await _asker(resources, caller)
    if not asker.reads_roles:
        return None
    if not caller.is_service and about == caller.subject:
        session_id = caller.session_id
    _, explanation = await _explain(resources, asker, about, code, at=None, session_id=session_id)
    count_decision(resources, explanation.decision)
    return explanation


async def permissions_at(resources: Resources, user_id: UUID, at: datetime | None) -> list[Grant]:
    """As `effective_permissions`, at a moment; None: now. Raises NotFound or NotKnownThen."""
    if at is None:
        return await effective_permissions(resources, user_id)
    async with one_snapshot(resources) as (_, connection):
        then = await find_then(connection, at) if at < resources.clock() else None
        exists, active = await load_active(connection, user_id, then)
        if not exists:
            raise NotFound("There is no such user.")
        rules, grants = await load_rules(connection, then), await load_grants(connection, user_id, then)
    if not active:
        return []
    subject = rules.subject(grants, active)
    given = [grant for found in subject.grants.values() for grant in found if grant.active(at)]
    return sorted(given, key=lambda grant: (grant.pattern, grant.role, grant.via))


async def _explain(
    resources: Resources,
    asker: _Asker,
    user_id: UUID,
    code: str,
    *,
    at: datetime | None,
    session_id: UUID | None,
) -> tuple[bool, Explanation]:
    now = resources.clock()
    moment = at or now
    async with one_snapshot(resources) as (session, connection):
        then = await find_then(connection, moment) if moment < now else None
        rules = await load_rules(connection, then)
        exists, active = await load_active(connection, user_id, then)
        grants = await load_grants(connection, user_id, then)
        subject = rules.subject(grants, active)
        demand = demand_in(resources, code, marked=rules.catalogue.get(code, False))
        shown = await second_factors_of(connection, [session_id]) if session_id else {}
        shown_at = shown.get((user_id, session_id)) if session_id else None
        decision = judged(decide(code, code in rules.catalogue, subject, moment), demand, shown_at, moment)
        ways = ways_of(rules, grants, code)
        names = await logins_of(connection, _granters(ways)) if asker.reads_users else {}
        told = [(grant, _path(grant, way, names, whole=asker.reads_roles)) for grant, way in ways]
        best = shortest(ways, moment)
        found = obstacles(
            known=code in rules.catalogue,
            active=active,
            ways=told,
            now=moment,
            step_up=not judged(Decision(True, Reason.GRANTED), demand, shown_at, moment).allowed,
            second_factor=await _second_factor(connection, asker, user_id, then),
        )
        offered, count = None, None
        if asker.reads_roles and then is None and not decision.allowed and best is None:
            offered, count = remedies(rules, code, await _granter(session, asker.caller, now))
    path = None if best is None else next(path for grant, path in told if grant is best[0])
    return exists, Explanation(
        user_id=user_id,
        permission=code,
        at=moment,
        past=then is not None,
        decision=decision,
        path=path,
        obstacles=found,
        remedies=offered,
        remedy_count=count,
    )


async def _asker(resources: Resources, caller: Principal | Actor) -> _Asker:
    if isinstance(caller, Actor):
        return _Asker(caller, reads_roles=True, reads_users=True)
    reads_roles, reads_users = [await holds(resources, caller, code) for code in (READ_ROLES, READ_USERS)]
    return _Asker(caller, reads_roles, reads_users)


async def _granter(session: AsyncSession, caller: Principal | Actor, now: datetime) -> Actor | None:
    try:
        return await load_actor(session, caller, now, may=GRANT)
    except PermissionDenied:
        return None


async def _second_factor(connection: Any, asker: _Asker, user_id: UUID, then: Then | None) -> bool | None:
    """Of the past only what is still there is known: nothing tells of one that its owner turned off."""
    own = isinstance(asker.caller, Principal) and asker.caller.subject == user_id
    if not own and not asker.reads_users:
        return None
    confirmed_at = await second_factor_of(connection, user_id)
    if then is not None:
        return True if confirmed_at is not None and confirmed_at <= then.at else None
    return confirmed_at is not None


def _granters(ways: Sequence[tuple[RoleGrant, Way]]) -> set[UUID]:
    return {grant.granted_by for grant, _ in ways if grant.granted_by is not None}


def _path(grant: RoleGrant, way: Way, names: dict[UUID, str], *, whole: bool) -> Path:
    """Not `whole`: both ends, which everybody sees of their own permissions."""
    ends = way.roles if whole or len(way.roles) < 3 else (way.roles[0], way.roles[-1])
    return Path(
        roles=ends,
        pattern=way.pattern,
        valid_from=grant.valid_from,
        valid_until=grant.valid_until,
        granted_by=grant.granted_by,
        granted_by_name=names.get(grant.granted_by) if grant.granted_by else None,
        granted_at=grant.granted_at,
        reason=grant.reason,
    )
