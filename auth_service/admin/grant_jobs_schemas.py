"""Bodies and answers about jobs that grant a role to many users."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from auth_service.admin.accounts_schemas import AccountFilter
from auth_service.admin.grant_jobs import MOST_NAMES
from auth_service.admin.lists_schemas import ListQuery
from auth_service.core.schemas import NOT_NULL, Answer, Body, Moment, Typed
from auth_service.roles.many_grants import Act, Wish
from auth_service.roles.schemas import RoleName
from auth_service.users.search import CURSOR

Name = Annotated[str, Typed(1, 254)]
ROW_CURSOR = r"^A{11}[A-Za-z0-9_-]{11}$"  # 16 bytes too, of a number of 62 bits
RowOutcome = Literal["granted", "changed", "unchanged", "revoked", "not_there", "no_such_user", "refused", "waiting"]


class GrantJobFilter(AccountFilter):
    """As the parameters of GET /admin/users, at least one: all that is given must hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    active: StrictBool | None = None
    email_verified: StrictBool | None = None
    mfa: StrictBool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(value is None for value in self.model_dump().values()):
            raise ValueError("a filter must say something: everybody is created_since 1970-01-01T00:00:00Z")
        return self


class GrantJobBody(Body):
    """`users`: ids, logins or, with users:write, e-mail addresses; or a `filter`, which takes users:read and is asked
    once, now. `valid_from` None: when the grant is made; `valid_until` (exclusive) None: for ever.
    """

    act: Act = Act.GRANT
    role: RoleName
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    reason: Annotated[str, Typed(0, 500)] | None = None
    users: Annotated[list[Name] | None, Field(min_length=1, max_length=MOST_NAMES), NOT_NULL] = None
    filter: Annotated[GrantJobFilter | None, NOT_NULL] = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        given = {"users", "filter"} & self.model_fields_set
        if len(given) != 1 or (self.users is None and self.filter is None):
            raise ValueError("give users or a filter, one of the two")
        if self.act is Act.REVOKE and (self.valid_from is not None or self.valid_until is not None):
            raise ValueError("dates are for a grant; to end grants later, grant the role again with valid_until")
        return self

    def wish(self) -> Wish:
        return Wish(self.act, self.role, self.valid_from, self.valid_until, self.reason)


class GrantJobsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    cursor: str | None = Field(default=None, pattern=CURSOR)
    limit: int = Field(default=20, ge=1, le=100)


class GrantJobTrialQuery(BaseModel):
    """`dry_run`: no job is made, and the answer says what would come out."""

    # A misspelt dry_run must not become the job itself.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    dry_run: bool = False


class GrantJobRowsQuery(ListQuery):
    """`outcome`: `refused` whatever for; `waiting`: no outcome yet."""

    cursor: str | None = Field(default=None, pattern=ROW_CURSOR)
    outcome: RowOutcome | None = None


class GrantCounts(Answer):
    """How many rows came out so."""

    granted: int = 0
    changed: int = 0
    unchanged: int = 0
    revoked: int = 0
    not_there: int = 0
    no_such_user: int = 0
    refused: int = 0


class GrantJobAnswer(Answer):
    """`done` of `total` rows have come out, as `counts` says; of those no check is answered from before."""

    id: UUID
    act: Literal["grant", "revoke"]
    role: str
    valid_from: datetime | None
    valid_until: datetime | None
    reason: str | None
    asked_by_kind: Literal["user", "service", "operator"]
    asked_by_id: str
    created_at: datetime
    state: Literal["queued", "running", "done", "cancelled", "failed"]
    failure_code: str | None
    failure_detail: str | None
    total: int
    done: int
    counts: GrantCounts
    finished_at: datetime | None


class GrantJobWhatIf(Answer):
    """`unknown`: the places in `users`, counted from 1, of the names that nobody has. Whom the last superuser or
    administrator is among is not foreseen, so `refused` is 0.
    """

    total: int
    counts: GrantCounts
    unknown: list[int]


class GrantJobsAnswer(Answer):
    items: list[GrantJobAnswer]
    next_cursor: str | None


class GrantJobRowAnswer(Answer):
    """`name` as it was given. `outcome` is null while the row waits; `refused:` is followed by the error's code."""

    number: int
    name: str | None
    user_id: UUID | None
    login: str | None
    outcome: str | None


class GrantJobRowsAnswer(Answer):
    items: list[GrantJobRowAnswer]
    next_cursor: str | None
