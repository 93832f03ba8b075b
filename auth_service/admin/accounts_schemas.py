"""Bodies and answers about accounts, for admins."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from auth_service.core.schemas import NOT_NULL, Answer, Body, Moment, Typed
from auth_service.mfa.schemas import MfaState
from auth_service.roles.schemas import RoleGrantAnswer, RoleName
from auth_service.users.schemas import Email, FullName, Login, ShownEmail
from auth_service.users.search import CURSOR, UserFilter

Reason = Annotated[str, Typed(3, 500)]
Search = Annotated[str, Typed(1, 254)]


class AccountFilter(BaseModel):
    """All that is given must hold; `created_since` is inclusive, `created_until` is not."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    search: Search | None = None
    role: RoleName | None = None
    active: bool | None = None
    email_verified: bool | None = None
    mfa: bool | None = None
    created_since: Moment | None = None
    created_until: Moment | None = None

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        since, until = self.created_since, self.created_until
        if since is not None and until is not None and since > until:
            raise ValueError("created_since must not lie after created_until")
        return self

    def wanted(self, *, personal: bool) -> UserFilter:
        return UserFilter(**self.model_dump(include=set(AccountFilter.model_fields)), personal=personal)


class AccountsQuery(AccountFilter):
    cursor: str | None = Field(default=None, pattern=CURSOR)
    limit: int = Field(default=20, ge=1, le=100)


class NewAccountBody(Body):
    """Without a password: its owner sets one by the mailed link."""

    login: Login
    email: Email
    full_name: FullName | None = None
    roles: Annotated[list[RoleName], Field(max_length=20)] = []


class AccountPatch(Body):
    """Changes only what is sent; `full_name: null` removes the name. `is_active` asks for a reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "dependentRequired": {"is_active": ["reason"]},
        }
    )

    login: Annotated[Login | None, NOT_NULL] = None
    email: Annotated[Email | None, NOT_NULL] = None
    full_name: FullName | None = None
    is_active: Annotated[StrictBool | None, NOT_NULL] = None
    reason: Annotated[Reason | None, NOT_NULL] = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.model_fields_set - {"reason"}:
            raise ValueError("nothing to change was sent")
        if any(
            getattr(self, name) is None for name in {"login", "email", "is_active", "reason"} & self.model_fields_set
        ):
            raise ValueError("only full_name may be null")
        if self.is_active is not None and self.reason is None:
            raise ValueError("is_active asks for a reason")
        return self


class RemovalBody(Body):
    reason: Reason


class AccountAnswer(Answer):
    """`email` and `full_name` are null to callers without users:write, as they are for an account without a name."""

    id: UUID
    login: str
    email: ShownEmail | None
    full_name: str | None
    email_verified: bool
    mfa: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class AccountsAnswer(Answer):
    items: list[AccountAnswer]
    next_cursor: str | None


class Locks(Answer):
    """Until when strangers' logins, and codes, are refused; `closed_to_strangers`: not by time alone."""

    logins_locked_until: datetime | None
    closed_to_strangers: bool
    codes_locked_until: datetime | None


class AccountDetail(AccountAnswer):
    """`sessions`: how many live; `roles`: grants that have ended or not begun too."""

    roles: list[RoleGrantAnswer]
    second_factor: MfaState
    locks: Locks
    sessions: int
    devices: int
