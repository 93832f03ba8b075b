"""Bodies and answers about roles and grants."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from auth_service.core.schemas import WHOLE, Answer, Body, Moment, Typed
from auth_service.permissions.schemas import Description, PermissionPattern, Title
from auth_service.permissions.what_if.schemas import WhatIf

RoleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,63}$")]
Patterns = Annotated[list[PermissionPattern], Field(max_length=500)]
SessionLimit = Annotated[int, Field(strict=True, ge=1, le=1000), WHOLE]
Parents = Annotated[list[RoleName], Field(max_length=20)]


class RoleBody(Body):
    """`permissions`: codes or `resource:*`. `session_limit`: how many sessions its holders may have at once; null:
    what the parents say, else the setting.
    """

    name: RoleName
    title: Title
    description: Description = ""
    permissions: Patterns = []
    parents: Parents = []
    session_limit: SessionLimit | None = None


class RolePatch(Body):
    """What is sent replaces what was there; `session_limit: null` takes it away."""

    title: Title | None = None
    description: Description | None = None
    permissions: Patterns | None = None
    parents: Parents | None = None
    session_limit: SessionLimit | None = None


class RoleAnswer(Answer):
    name: str
    title: str
    description: str
    built_in: bool
    permissions: list[str]
    parents: list[str]
    session_limit: int | None
    created_at: datetime
    updated_at: datetime


class GrantBody(Body):
    """`valid_from` None: now; `valid_until` (exclusive) None: for ever."""

    valid_from: Moment | None = None
    valid_until: Moment | None = None
    reason: Annotated[str, Typed(0, 500)] | None = None


class RoleGrantAnswer(Answer):
    """`active`: between its start and its end at this moment."""

    role: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: UUID | None
    granted_at: datetime
    reason: str | None
    active: bool


class RoleWhatIf(WhatIf):
    result: RoleAnswer


class GrantWhatIf(WhatIf):
    result: RoleGrantAnswer


class PlannedChange(Answer):
    """`change`: + for what would be added, ~ changed, - deleted; `differences`: a line for each part."""

    change: str
    what: str
    name: str
    differences: list[str]


class PlanWhatIf(WhatIf):
    result: list[PlannedChange]
