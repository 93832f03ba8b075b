"""Questions and answers about who has a permission."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from auth_service.admin.lists_schemas import ListQuery
from auth_service.core.schemas import Answer, Moment
from auth_service.roles.schemas import RoleName
from auth_service.users.search import CURSOR


class HoldersQuery(ListQuery):
    """`at`: this moment without it, in the past as the audit trail knows it. `role`: only what its grants give."""

    cursor: str | None = Field(default=None, pattern=CURSOR)
    at: Moment | None = None
    role: RoleName | None = None


class WayAnswer(Answer):
    """`role` was granted to the user; `via` is that role or the ancestor of it that has the pattern."""

    role: str
    via: str
    pattern: str
    valid_from: datetime
    valid_until: datetime | None


class HolderAnswer(Answer):
    """`email` and `full_name` are null to callers without users:write, as they are for an account without a name."""

    id: UUID
    login: str
    email: str | None
    full_name: str | None
    ways: list[WayAnswer]


class HoldersAnswer(Answer):
    items: list[HolderAnswer]
    next_cursor: str | None
