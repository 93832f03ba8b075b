"""What a role is, and what a grant of one is, to everything above the tables. Pure."""

from collections.abc import Collection
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from auth_service.core.versions import version_of
from auth_service.models import Role, UserRole


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """All of a role that an admin sets. `permissions` and `parents` are sets: order and repetition mean nothing."""

    title: str
    description: str = ""
    permissions: Collection[str] = ()
    parents: Collection[str] = ()
    session_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """Some of a role's permissions and parents, to be added or removed."""

    permissions: Collection[str] = ()
    parents: Collection[str] = ()


NO_LINKS = Links()


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role with its links, each sorted."""

    name: str
    title: str
    description: str
    built_in: bool
    permissions: list[str]
    parents: list[str]
    session_limit: int | None
    created_at: datetime
    updated_at: datetime

    @property
    def version(self) -> str:
        """Its ETag."""
        return version_of(astuple(self))

    @property
    def spec(self) -> RoleSpec:
        return RoleSpec(self.title, self.description, self.permissions, self.parents, self.session_limit)


@dataclass(frozen=True, slots=True)
class GrantView:
    """`active`: between its start and its end at the moment of asking."""

    role: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: UUID | None
    granted_at: datetime
    reason: str | None
    active: bool


def role_view(role: Role, permissions: list[str], parents: list[str]) -> RoleView:
    return RoleView(
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


def grant_view(grant: UserRole, now: datetime) -> GrantView:
    return GrantView(
        role=grant.role_name,
        valid_from=grant.valid_from,
        valid_until=grant.valid_until,
        granted_by=grant.granted_by,
        granted_at=grant.granted_at,
        reason=grant.reason,
        active=grant.valid_from <= now and (grant.valid_until is None or now < grant.valid_until),
    )


def grant_facts(grant: UserRole) -> dict[str, Any]:
    """What the audit trail keeps of a grant."""
    return {"role": grant.role_name, "valid_from": grant.valid_from, "valid_until": grant.valid_until}
