"""Questions and answers about the audit trail."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import TypeAliasType

from auth_service.audit.trail import Action
from auth_service.core.schemas import Answer, Moment, Typed

Facts = TypeAliasType("Facts", dict[str, Any])  # by name, so that generated clients have one type for it


def _action(value: str) -> str:
    if value not in {*Action}:
        raise ValueError("must be one of the actions that docs/admin.md lists, such as role.granted")
    return value


class AuditQuery(BaseModel):
    """All that is given must hold.

    `actor`: id, login or, with users:write, e-mail address of a user; id or name of a service; an operator's name, or
    `operator` for all of them; `system`. `target`: a user or service in the same ways, the name of a role or
    permission, the id of a webhook or key.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    cursor: str | None = Field(default=None, pattern=r"^[A-Za-f][A-Za-z0-9_-]{10}$")  # 8 bytes, not negative
    limit: int = Field(default=20, ge=1, le=100)
    actor: Annotated[str, Typed(1, 320)] | None = None
    action: Annotated[str, Field(json_schema_extra={"enum": [*Action]}), AfterValidator(_action)] | None = None
    target: Annotated[str, Typed(1, 320)] | None = None
    since: Moment | None = None
    until: Moment | None = None

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since must not lie after until")
        return self


class AuditEntry(Answer):
    """`before` and `after` hold what changed; of people only ids. `hash`: of this row and all before it."""

    id: int
    at: datetime
    actor_kind: Literal["user", "service", "operator", "system"]
    actor_id: str
    action: str
    target_kind: str
    target_id: str | None
    before: Facts | None
    after: Facts | None
    reason: str | None
    request_id: str | None
    client_address: str | None
    hash: str

    @field_validator("hash", mode="before")
    @classmethod
    def _in_hex(cls, value: Any) -> Any:
        return value.hex() if isinstance(value, bytes) else value


class AuditAnswer(Answer):
    items: list[AuditEntry]
    next_cursor: str | None
