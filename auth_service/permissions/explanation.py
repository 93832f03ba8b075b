"""Why a user may do something or may not, and which roles would change that. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth_service.core.errors import LackingYourself
from auth_service.permissions.actor import Actor
from auth_service.permissions.decision import Decision, Reason
from auth_service.permissions.rules import RoleGrant, Rules, Way

MOST_ROLES = 50


@dataclass(frozen=True, slots=True)
class Path:
    """How a grant gives the permission: `roles` lead from the granted one to the one that has the pattern."""

    roles: Sequence[str]
    pattern: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: UUID | None
    granted_by_name: str | None
    granted_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that stands in the way; `path` is the grant that has ended or not begun.

    `second_factor`: whether the user has one set up, where a step-up is asked for; None where that is not known, or
    not for the asker to know.
    """

    kind: Reason
    path: Path | None = None
    second_factor: bool | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """A role that would give the permission, and `permissions` of the catalogue in all.

    `refusal`: the code of the error by which the asker may not grant it without an end; `lacking`: what they would
    have to hold.
    """

    role: str
    title: str
    through: Sequence[str]
    permissions: int
    refusal: str | None
    lacking: Sequence[str]

    @property
    def may_grant(self) -> bool:
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`past`: the moment has passed, so nothing of it can be changed.

    `path` is there where an active grant gives the permission, also where something else stands in the way.

    `remedies`: at most MOST_ROLES of `remedy_count`, those that give least beside it first; None where the asker may
    not read roles, where a grant would not help, and at a moment that has passed.
    """

    user_id: UUID
    permission: str
    at: datetime
    past: bool
    decision: Decision
    path: Path | None
    obstacles: Sequence[Obstacle]
    remedies: Sequence[Remedy] | None
    remedy_count: int | None

    @property
    def allowed(self) -> bool:
        return self.decision.allowed

    @property
    def known(self) -> bool:
        """Whether the permission is in the catalogue."""
        return all(obstacle.kind is not Reason.UNKNOWN_PERMISSION for obstacle in self.obstacles)

    @property
    def reason(self) -> Reason:
        return self.decision.reason

    @property
    def valid_until(self) -> datetime | None:
        return self.decision.valid_until


def ways_of(rules: Rules, grants: Iterable[RoleGrant], code: str) -> list[tuple[RoleGrant, Way]]:
    """Those of the grants that give the code when they are active, each with its way."""
    found = [(grant, rules.way(grant.role, code)) for grant in grants]
    return [(grant, way) for grant, way in found if way is not None]


def shortest(ways: Iterable[tuple[RoleGrant, Way]], now: datetime) -> tuple[RoleGrant, Way] | None:
    """Of the active ones; of equal ways the one that lasts longest."""
    active = [(grant, way) for grant, way in ways if grant.active(now)]

    def rank(item: tuple[RoleGrant, Way]) -> tuple[int, bool, float, str]:
        grant, way = item
        until = grant.valid_until
        return len(way.roles), until is not None, -(until.timestamp() if until else 0), grant.role

    return min(active, key=rank, default=None)


def obstacles(
    *,
    known: bool,
    active: bool | None,
    ways: Sequence[tuple[RoleGrant, Path]],
    now: datetime,
    step_up: bool,
    second_factor: bool | None,
) -> list[Obstacle]:
    """All that would have to change, one by one; none exactly where the decision is a yes."""
    found = []
    if not known:
        found.append(Obstacle(Reason.UNKNOWN_PERMISSION))
    if active is False:
        found.append(Obstacle(Reason.USER_INACTIVE))
    if not any(grant.active(now) for grant, _ in ways):
        for grant, path in ways:
            ended = grant.valid_from <= now
            found.append(Obstacle(Reason.GRANT_EXPIRED if ended else Reason.GRANT_NOT_STARTED, path))
        if not ways:
            found.append(Obstacle(Reason.NO_GRANT))
    if step_up:
        found.append(Obstacle(Reason.STEP_UP_REQUIRED, second_factor=second_factor))
    return found


def remedies(rules: Rules, code: str, actor: Actor | None) -> tuple[list[Remedy], int]:
    """The first MOST_ROLES roles that give the code, and how many there are; no actor: one who may grant nothing.

    By how many codes they give and not by patterns, of which the superuser has but one.
    """
    giving = [(name, way) for name in rules.roles if (way := rules.way(name, code))] if code in rules.catalogue else []
    giving.sort(key=lambda item: (len(rules.codes_of(item[0])), len(rules.patterns_of(item[0])), item[0]))
    return [_remedy(rules, name, way, actor) for name, way in giving[:MOST_ROLES]], len(giving)


def _remedy(rules: Rules, name: str, way: Way, actor: Actor | None) -> Remedy:
    refusal, lacking = None, ["roles:grant"]
    if actor is None:
        refusal = "permission_denied"
    else:
        lacking = sorted(pattern for pattern in rules.patterns_of(name) if not _holds(actor, pattern))
        refusal = LackingYourself.code if lacking else None
    return Remedy(
        role=name,
        title=rules.roles[name].title,
        through=way.roles,
        permissions=len(rules.codes_of(name)),
        refusal=refusal,
        lacking=lacking,
    )


def _holds(actor: Actor, pattern: str) -> bool:
    try:
        actor.must_hold([pattern], until=None)
    except LackingYourself:
        return False
    return True
