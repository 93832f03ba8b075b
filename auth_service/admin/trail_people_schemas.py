"""The question and the answer about who gained and lost by a row of the audit trail."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth_service.core.schemas import Answer
from auth_service.permissions.what_if.schemas import CURSOR, PersonTouched, UsersTouched, given_cursor


class AuditPeopleQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    cursor: Annotated[str | None, Field(pattern=CURSOR), AfterValidator(given_cursor)] = None
    limit: int = Field(default=20, ge=1, le=100)


class AuditPeopleAnswer(Answer):
    """Of accounts that were active then and are still there. A gain is time from `at` on at which the user had the
    permission by the state right after the row, and had it not by the one right before. `people`: by login.
    """

    row: int
    at: datetime
    action: str
    changes: list[str]
    gains: UsersTouched
    loses: UsersTouched
    people: list[PersonTouched]
    next_cursor: str | None
