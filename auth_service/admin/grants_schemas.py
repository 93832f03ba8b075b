"""Questions and answers about grants of everybody."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from auth_service.admin.lists_schemas import ListQuery
from auth_service.core.schemas import Answer, Moment, Typed
from auth_service.roles.grant_list import CURSOR, GrantState
from auth_service.roles.schemas import RoleName

Name = Annotated[str, Typed(1, 320)]


class GrantsQuery(ListQuery):
    """All that is given must hold. `user`, `granted_by`: id, login or, with users:write, e-mail address.

    `ends_since` is inclusive, `ends_until` is not.
    """

    cursor: str | None = Field(default=None, pattern=CURSOR)
    role: RoleName | None = None
    user: Name | None = None
    granted_by: Name | None = None
    state: GrantState | None = None
    ends_since: Moment | None = None
    ends_until: Moment | None = None

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        if self.ends_since is not None and self.ends_until is not None and self.ends_since > self.ends_until:
            raise ValueError("ends_since must not lie after ends_until")
        return self


class PersonAnswer(Answer):
    """`email` and `full_name` are null to callers without users:write, as they are for an account without a name."""

    id: UUID
    login: str
    email: str | None
    full_name: str | None


class GranterAnswer(Answer):
    id: UUID
    login: str


class ListedGrantAnswer(Answer):
    """`granted_by` is null for an operator, a service, the service itself, and an account that is gone."""

    user: PersonAnswer
    role: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: GranterAnswer | None
    granted_at: datetime
    reason: str | None
    state: GrantState


class GrantsAnswer(Answer):
    items: list[ListedGrantAnswer]
    next_cursor: str | None
