"""Bodies and answers of the permission routes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from auth_service.core.schemas import NOT_NULL, PLAIN, Answer, Body, Moment, Typed
from auth_service.permissions.decision import Decision, Reason
from auth_service.permissions.explanation import Explanation
from auth_service.permissions.patterns import CODE, PATTERN, is_code, is_pattern

MAX_CHECKS = 1000


def _code(value: str) -> str:
    if not is_code(value):
        raise ValueError("must be resource:action in lower case, such as films:watch")
    return value


def _pattern(value: str) -> str:
    if not is_pattern(value):
        raise ValueError("must be resource:action or resource:*, such as films:watch or films:*")
    return value


PermissionCode = Annotated[str, Field(json_schema_extra={"pattern": f"^{CODE}$"}), AfterValidator(_code)]
PermissionPattern = Annotated[str, Field(json_schema_extra={"pattern": f"^({PATTERN})$"}), AfterValidator(_pattern)]
# A check may ask for anything; what the catalogue does not know is denied as unknown_permission.
AskedCode = Annotated[str, Field(min_length=1, max_length=128), PLAIN]
Title = Annotated[str, Typed(1, 200)]
Description = Annotated[str, Typed(0, 2000)]


class AtQuery(BaseModel):
    """`at`: now without it; a moment to come is judged by grants as they stand, one that has passed as they were."""

    # A misspelt moment must not be answered of now.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    at: Moment | None = None


class CheckBody(Body):
    """`session_id` (the token's `sid`): for permissions that ask for a step-up, which are denied without it."""

    permission: AskedCode
    user_id: UUID | None = None
    session_id: UUID | None = None
    explain: StrictBool = False


class OneCheck(Body):
    permission: AskedCode
    user_id: UUID | None = None
    session_id: UUID | None = None


class BatchBody(Body):
    checks: Annotated[list[OneCheck], Field(min_length=1, max_length=MAX_CHECKS)]


class GrantAnswer(Answer):
    """`role` was granted to the user; `via` is that role or the ancestor of it that has the permission."""

    permission: str = Field(validation_alias="pattern")
    role: str
    via: str
    valid_from: datetime
    valid_until: datetime | None = None  # left out in the explanation of a check, null elsewhere


class PathAnswer(Answer):
    """`roles` lead from the one that was granted to the one that has the `pattern`: a code or a wildcard.

    `granted_by_name`: the login, where the account is still there, for callers with users:read.
    """

    roles: list[str]
    pattern: str
    valid_from: datetime
    valid_until: datetime | None = None
    granted_by: UUID | None = None
    granted_by_name: str | None = None
    granted_at: datetime
    reason: str | None = None


class ObstacleAnswer(Answer):
    """`path`: the grant that has ended or not begun. `second_factor`: whether the user has one set up; null where that
    is not known, or not for the caller to know.
    """

    kind: Reason
    path: PathAnswer | None = None
    second_factor: bool | None = None


class RemedyAnswer(Answer):
    """A role that would give the permission, and `permissions` in all. `through`: the roles to the one that has it.

    `refusal`: the code of the error that the caller would get for granting it without an end; `lacking`: what they
    would have to hold.
    """

    role: str
    title: str
    through: list[str]
    permissions: int
    may_grant: bool
    refusal: str | None = None
    lacking: list[str]


class WhyAnswer(Answer):
    """`path`: the grant that gives the permission at that moment, if there is one. `obstacles`: all that stands in the
    way; none where `allowed`. `remedies`: the first of `remedy_count` roles that would give it, least first; null where
    no grant would help, for moments that have passed, and to callers without roles:read.
    """

    user_id: UUID
    permission: str
    at: datetime
    allowed: bool
    reason: Reason
    valid_until: datetime | None
    path: PathAnswer | None
    obstacles: list[ObstacleAnswer]
    remedies: list[RemedyAnswer] | None
    remedy_count: int | None


class _Checked(Answer):
    """All that a check answers which does not explain: the hot paths write nothing else."""

    allowed: bool
    reason: Reason
    valid_until: Annotated[datetime | None, NOT_NULL] = None


class CheckAnswer(_Checked):
    """From `path` on: only with `explain`, to callers who may read roles, as WhyAnswer has it."""

    explanation: Annotated[list[GrantAnswer] | None, NOT_NULL] = None
    path: Annotated[PathAnswer | None, NOT_NULL] = None
    obstacles: Annotated[list[ObstacleAnswer] | None, NOT_NULL] = None
    remedies: Annotated[list[RemedyAnswer] | None, NOT_NULL] = None
    remedy_count: Annotated[int | None, NOT_NULL] = None


class BatchAnswer(Answer):
    results: list[CheckAnswer]


class EffectivePermissions(Answer):
    user_id: UUID
    permissions: list[GrantAnswer]


class PermissionBody(Body):
    """`step_up`: having it is not enough, the session must have shown a second factor in the last 15 minutes."""

    code: PermissionCode
    title: Title
    description: Description = ""
    step_up: StrictBool = False


class PermissionPatch(Body):
    title: Title | None = None
    description: Description | None = None
    step_up: StrictBool | None = None


class PermissionAnswer(Answer):
    code: str
    title: str
    description: str
    step_up: bool
    created_at: datetime


def check_answer(decision: Decision, *, explain: bool = False) -> CheckAnswer:
    explanation = [GrantAnswer.model_validate(grant) for grant in decision.grants] if explain else None
    return CheckAnswer(
        allowed=decision.allowed,
        reason=decision.reason,
        valid_until=decision.valid_until,
        explanation=explanation,
    )


def explained_answer(explanation: Explanation) -> CheckAnswer:
    """As `check_answer` explains, and what stands in the way and would help."""
    why = WhyAnswer.model_validate(explanation)
    return check_answer(explanation.decision, explain=True).model_copy(
        update={name: getattr(why, name) for name in ("path", "obstacles", "remedies", "remedy_count")}
    )


def check_body(decision: Decision) -> bytes:
    """The answer as FastAPI writes it."""
    answer = _Checked(allowed=decision.allowed, reason=decision.reason, valid_until=decision.valid_until)
    return answer.__pydantic_serializer__.to_json(answer, exclude_none=True)
