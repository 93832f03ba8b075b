"""Bodies and answers about webhooks."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from auth_service.core.schemas import Answer, Body, Typed
from auth_service.events.kinds import EventKind
from auth_service.permissions.schemas import Description
from auth_service.webhooks.addresses import MOST_CHARACTERS, problem_of


def _url(value: str) -> str:
    if problem := problem_of(value):
        raise ValueError(problem)
    return value


Url = Annotated[str, Typed(0, MOST_CHARACTERS, format="uri"), AfterValidator(_url)]
Kinds = Annotated[list[EventKind], Field(max_length=100)]


class WebhookBody(Body):
    """`kinds`: which events are sent; none: all."""

    url: Url
    description: Description = ""
    kinds: Kinds = []


class WebhookPatch(Body):
    """`enabled: true` begins again where it stopped, with what is still kept."""

    url: Url | None = None
    description: Description | None = None
    kinds: Kinds | None = None
    enabled: StrictBool | None = None


class WebhookAnswer(Answer):
    """`failing_since` and `next_try_at` while deliveries fail; `disabled_reason`: by_admin, failed or gone."""

    id: UUID
    url: str
    description: str
    kinds: list[str]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    next_try_at: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    created_by: UUID | None


class NewWebhookAnswer(WebhookAnswer):
    """`secret` is shown this once."""

    secret: str


class WebhookSecretAnswer(Answer):
    """`secret` is shown this once; the former one signs too until `previous_secret_until`."""

    secret: str
    previous_secret_until: datetime


class PingAnswer(Answer):
    """`status` of the receiver, or `error` where there was none."""

    delivered: bool
    status: int | None
    error: str | None
    milliseconds: int


class DeliveriesQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    limit: int = Field(default=20, ge=1, le=100)


class DeliveryAnswer(Answer):
    """One attempt."""

    event_id: UUID
    kind: str
    at: datetime
    status: int | None
    error: str | None
    milliseconds: int


class DeliveriesAnswer(Answer):
    items: list[DeliveryAnswer]
