"""What the client answers with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True)
class Decision:
    """True in an `if` where it is allowed.

    `reason`: granted, no_grant, grant_expired, grant_not_started, user_inactive, unknown_permission,
    step_up_required; or not_known, from a client that denies what it cannot know. `valid_until`: time alone does not
    change the answer before it.
    """

    allowed: bool
    reason: str
    valid_until: datetime | None = None

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Grant:
    """One way in which a user has a permission: `role` was granted, `via` is it or the ancestor that has it."""

    permission: str
    role: str
    via: str
    valid_from: datetime
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, and the grants that it rests on, those included that do not count now."""

    decision: Decision
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it was. `session_id` of a user's login; `scopes` of a service."""

    id: UUID
    kind: Literal["user", "service"]
    session_id: UUID
    token_id: str
    issued_at: int
    expires_at: int
    scopes: tuple[str, ...] = ()

    @property
    def is_service(self) -> bool:
        return self.kind == "service"


@dataclass(frozen=True, slots=True)
class Question:
    """`session_id`: the user's session that it is about; what asks for a second factor is denied without one."""

    user_id: UUID
    permission: str
    session_id: UUID | None = None
