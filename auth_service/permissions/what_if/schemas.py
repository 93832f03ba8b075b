"""How a change is tried over HTTP, and the answer to it."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.core.schemas import Answer, has_controls
from auth_service.permissions.schemas import PermissionAnswer
from auth_service.permissions.what_if.effect import Effect
from auth_service.permissions.what_if.trial import Trial

CURSOR = r"^[A-Za-z0-9_-]{1,1000}$"


def write_cursor(login_key: str) -> str:
    return base64.urlsafe_b64encode(login_key.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The login_key; raises ValueError for one that we did not give."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        login_key = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        login_key = ""
    if not login_key or has_controls(login_key):
        raise ValueError("is not one that this service gave")
    return login_key


def given_cursor(cursor: str | None) -> str | None:
    if cursor is not None:
        read_cursor(cursor)
    return cursor


class TrialQuery(BaseModel):
    """`dry_run`: nothing is changed, and the answer says what the change would do to people. `cursor`: with `dry_run`,
    the next page of `people`.
    """

    # A misspelt dry_run must not become the change itself.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    dry_run: bool = False
    cursor: Annotated[str | None, Field(pattern=CURSOR), AfterValidator(given_cursor)] = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.cursor is not None and not self.dry_run:
            raise ValueError("cursor goes with dry_run=true")
        return self

    @property
    def after(self) -> str | None:
        """The login_key that the page before ended with."""
        return None if self.cursor is None else read_cursor(self.cursor)

    def trial(self) -> Trial | None:
        """None where the change is meant."""
        return Trial() if self.dry_run else None


class PermissionCount(Answer):
    permission: str
    users: int


class UsersTouched(Answer):
    """`users`: how many at all; `permissions`: how many of each."""

    users: int
    permissions: list[PermissionCount]


class PermissionSpan(Answer):
    """`from` null: from now on; `until` (exclusive) null: without an end."""

    permission: str
    starts: datetime | None = Field(serialization_alias="from")
    ends: datetime | None = Field(serialization_alias="until")


class PersonTouched(Answer):
    id: UUID
    login: str
    gains: list[PermissionSpan]
    loses: list[PermissionSpan]


class AdministrationTouched(Answer):
    """Who loses permissions of this service itself, and so may be shut out; `you`: whether the caller does. `people`:
    the first hundred, with what of it they lose; null without users:read and roles:read.
    """

    users: int
    you: bool
    people: list[PersonTouched] | None


class StepUpTouched(Answer):
    """`step_up`: the mark as it would be. `users` have the permission, now or later."""

    permission: str
    step_up: bool
    users: int
    without_second_factor: int


class ServiceTouched(Answer):
    id: UUID
    name: str
    gains: list[str]
    loses: list[str]


class WhatIf(Answer):
    """Of active users. A gain is time from now on at which the user would have the permission, and has it not without
    the change. `services`: whose scopes would cover more or less; null without services:read. `people`: by login, a
    hundred on a page; null without users:read and roles:read.
    """

    dry_run: Literal[True] = True
    gains: UsersTouched
    loses: UsersTouched
    administration: AdministrationTouched
    step_up: list[StepUpTouched]
    services: list[ServiceTouched] | None
    people: list[PersonTouched] | None
    next_cursor: str | None


class PermissionWhatIf(WhatIf):
    result: PermissionAnswer


class DeletionWhatIf(WhatIf):
    """`result`: what the deletion itself would answer, which is nothing."""

    result: None


async def tried(
    kind: type[WhatIf], resources: Resources, caller: Principal, trial: Trial, query: TrialQuery, *, result: object
) -> Response:
    """What the change would answer and do, as `kind`; raises EffectBusy or EffectTimeout."""
    effect = await trial.effect(resources, caller, after=query.after)
    return Response(as_json(kind, effect, result), media_type="application/json")


def as_json(kind: type[WhatIf], effect: Effect, result: object) -> bytes:
    answer = kind.model_validate(
        {
            "gains": effect.gains,
            "loses": effect.loses,
            "administration": effect.administration,
            "step_up": effect.step_up,
            "services": effect.services,
            "people": effect.people,
            "next_cursor": None if effect.more_after is None else write_cursor(effect.more_after),
            "result": result,
        }
    )
    return answer.model_dump_json(by_alias=True).encode()
