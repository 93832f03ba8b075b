"""The outbox over HTTP: for consumers without Kafka, and for those who want to look."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from auth_service.core.connections import Res
from auth_service.core.principal import Principal
from auth_service.core.schemas import Answer
from auth_service.events.cloud_event import to_cloud_event
from auth_service.events.positions import read_after
from auth_service.permissions.require import Require

router = APIRouter(tags=["administration"])


class EventsQuery(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    after: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=100, ge=1, le=1000)
    kind: str | None = Field(default=None, pattern="^[a-z_]{1,40}$")
    user_id: UUID | None = None


class EventAnswer(Answer):
    """A CloudEvent; `position` goes up, with gaps."""

    position: int
    specversion: str
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    data: dict[str, Any]


class EventsAnswer(Answer):
    """`next_after` is the `after` of the next call."""

    items: list[EventAnswer]
    next_after: int


@router.get("/admin/events", response_model=EventsAnswer)
async def read(
    _caller: Annotated[Principal, Require("audit:read")], query: Annotated[EventsQuery, Query()], resources: Res
) -> EventsAnswer:
    """Behind a position, in the order of their commits; nothing ever appears before what was read (REL-4)."""
    events = await read_after(resources.hot, query.after, limit=query.limit, kind=query.kind, user_id=query.user_id)
    source = resources.settings.issuer
    items = [EventAnswer(position=event.position, **to_cloud_event(source, event)) for event in events]
    return EventsAnswer(items=items, next_after=events[-1].position if events else query.after)
