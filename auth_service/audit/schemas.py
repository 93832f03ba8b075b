"""Questions and answers about the audit trail."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from auth_service.audit.trail import Action
from auth_service.core.schemas import Answer, Moment, Typed

Facts = TypeAliasType("Facts", dict[str, Any])  # by name, so that generated clients have one type for it


GROUPS = sorted({f"{action.partition('.')[0]}.*" for action in Action})


def _actions(value: list[str]) -> list[str]:
    if not {*Action, *GROUPS}.issuperset(value):
        raise ValueError("must be one of the actions that docs/admin.md lists, such as role.granted, or role.* for all")
    return value


_Asked = Annotated[str, Field(json_schema_extra={"enum": [*Action, *GROUPS]})]


class AuditQuery(BaseModel):
    """All that is given must hold; of several `action` one, and `role.*` stands for all about roles.

    `actor`: id, login or, with users:write, e-mail address of a user; id or name of a service; an operator's name, or
    `operator` for all of them; `system`. `target`: a user or service in the same ways, the name of a role or
    permission, the id of a webhook or key.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    cursor: str | None = Field(default=None, pattern=r"^[A-Za-f][A-Za-z0-9_-]{10}$")  # 8 bytes, not negative
    limit: int = Field(default=20, ge=1, le=100)
    actor: Annotated[str, Typed(1, 320)] | None = None
    action: Annotated[list[_Asked], Field(max_length=50), AfterValidator(_actions)] = []
    target: Annotated[str, Typed(1, 320)] | None = None
    since: Moment | None = None
    until: Moment | None = None

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since must not lie after until")
        return self

    @property
    def actions(self) -> frozenset[Action]:
        """Those that are named, alone or by their group; empty: all."""
        return frozenset(a for a in Action for asked in self.action if asked in {a, f"{a.partition('.')[0]}.*"})


class AuditEntry(Answer):
    """`before` and `after` hold what changed, of people only ids; `changes` says it in words. `hash`: of this row and
    all before it.

    `actor_name`, `target_name`: the logins, of users who are still there, for callers with users:read.
    """

    id: int
    at: datetime
    actor_kind: Literal["user", "service", "operator", "system"]
    actor_id: str
    actor_name: str | None
    action: str
    target_kind: str
    target_id: str | None
    target_name: str | None
    before: Facts | None
    after: Facts | None
    changes: list[str]
    reason: str | None
    request_id: str | None
    client_address: str | None
    hash: str


class AuditAnswer(Answer):
    items: list[AuditEntry]
    next_cursor: str | None
