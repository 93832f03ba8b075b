"""Roles and the catalogue as they are at one moment, and how an entry of the audit trail is taken back. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from auth_service.audit.trail import Action
from auth_service.permissions.decision import Grant, Subject
from auth_service.permissions.patterns import covering, covers


class Entry(Protocol):
    """Of the audit trail, about a role or a permission."""

    @property
    def action(self) -> str: ...

    @property
    def target_id(self) -> str: ...

    @property
    def before(self) -> Mapping[str, Any] | None: ...


class CannotUndo(Exception):
    """The entry is not about what there is: somebody changed the tables past the service."""


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """`granted_by` is None for what nobody granted by hand: a registration, an import, a service, the operator."""

    role: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: UUID | None
    granted_at: datetime
    reason: str | None

    def active(self, now: datetime) -> bool:
        return self.valid_from <= now and (self.valid_until is None or now < self.valid_until)


@dataclass(frozen=True, slots=True)
class RoleRules:
    """`created_at` is None for a role that is there no more."""

    title: str
    patterns: frozenset[str]
    parents: frozenset[str]
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """From a role to the one that has the pattern, itself or an ancestor: `roles` are at least one."""

    roles: tuple[str, ...]
    pattern: str


@dataclass
class Rules:
    """`catalogue`: each code, and whether it is marked for step-up."""

    roles: dict[str, RoleRules]
    catalogue: dict[str, bool]
    _codes: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def ways(self, role: str) -> dict[str, tuple[str, ...]]:
        """The role and its ancestors, each with the shortest way there."""
        found: dict[str, tuple[str, ...]] = {role: (role,)}
        waiting = [role]
        for name in waiting:
            rules = self.roles.get(name)
            for parent in sorted(rules.parents if rules else ()):
                if parent not in found:
                    found[parent] = (*found[name], parent)
                    waiting.append(parent)
        return found

    def way(self, role: str, code: str) -> Way | None:
        """The shortest by which the role gives the code; the narrowest pattern where it ends."""
        for name, way in self.ways(role).items():
            patterns = self.roles[name].patterns if name in self.roles else frozenset()
            for pattern in covering(code):
                if pattern in patterns:
                    return Way(way, pattern)
        return None

    def given_by(self, role: str, code: str) -> list[tuple[str, str]]:
        """(via, pattern) of each way by which the role gives the code: `via` is it or an ancestor."""
        lineage = [name for name in self.ways(role) if name in self.roles]
        return [
            (name, pattern) for name in lineage for pattern in covering(code) if pattern in self.roles[name].patterns
        ]

    def patterns_of(self, role: str) -> frozenset[str]:
        """With those of its ancestors."""
        return frozenset().union(*(self.roles[name].patterns for name in self.ways(role) if name in self.roles))

    def codes_of(self, role: str) -> frozenset[str]:
        """All codes of the catalogue that it gives."""
        if role not in self._codes:
            patterns = self.patterns_of(role)
            self._codes[role] = frozenset(code for code in self.catalogue if covers(patterns, code))
        return self._codes[role]

    def subject(self, grants: Iterable[RoleGrant], active: bool | None) -> Subject:
        """As `load_facts` reads it from the tables, for the same decision."""
        subject = Subject(active)
        for grant in grants:
            for name in self.ways(grant.role):
                for pattern in self.roles[name].patterns if name in self.roles else ():
                    found = Grant(pattern, grant.role, name, grant.valid_from, grant.valid_until)
                    subject.grants.setdefault(pattern, []).append(found)
        return subject


def rules_before(rules: Rules, undone: Sequence[Entry], created: Mapping[str, datetime], at: datetime) -> Rules:
    """Those of before the entries, the newest of which comes first. `created`: when each code of today was.

    What a migration brought has no entry: it is there since it was created, and its patterns since its codes are.
    Raises CannotUndo.
    """
    roles, catalogue = dict(rules.roles), dict(rules.catalogue)
    for entry in undone:
        if entry.action.startswith("role."):
            _undo_role(roles, entry)
        else:
            _undo_permission(catalogue, entry)
    recorded = {entry.target_id for entry in undone if entry.action == Action.PERMISSION_CREATED}
    late = {code for code, since in created.items() if since > at and code not in recorded}
    catalogue = {code: marked for code, marked in catalogue.items() if code not in late}
    known = {f"{code.partition(':')[0]}:*" for code in catalogue}
    unheard_of = late | {f"{code.partition(':')[0]}:*" for code in late} - known
    roles = {
        name: replace(role, patterns=role.patterns - unheard_of)
        for name, role in roles.items()
        if role.created_at is None or role.created_at <= at
    }
    return Rules(roles, catalogue)


def _undo_role(roles: dict[str, RoleRules], entry: Entry) -> None:
    name, before = entry.target_id, entry.before or {}
    if (entry.action == Action.ROLE_DELETED) is (name in roles):
        raise CannotUndo
    if entry.action == Action.ROLE_CREATED:
        del roles[name]
    else:
        roles[name] = _with(roles.get(name) or RoleRules("", frozenset(), frozenset()), before)


def _with(role: RoleRules, facts: Mapping[str, Any]) -> RoleRules:
    return RoleRules(
        title=facts.get("title", role.title),
        patterns=frozenset(facts.get("permissions", role.patterns)),
        parents=frozenset(facts.get("parents", role.parents)),
        created_at=role.created_at,
    )


def _undo_permission(catalogue: dict[str, bool], entry: Entry) -> None:
    code, before = entry.target_id, entry.before or {}
    if (entry.action == Action.PERMISSION_DELETED) is (code in catalogue):
        raise CannotUndo
    if entry.action == Action.PERMISSION_CREATED:
        del catalogue[code]
    else:
        catalogue[code] = bool(before.get("step_up", catalogue.get(code, False)))
