"""The outbox over HTTP: for consumers without Kafka, and for those who want to look."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import NotFound
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.core.schemas import Answer, Typed
from auth_service.events.cloud_event import to_cloud_event
from auth_service.events.kinds import EventKind
from auth_service.events.positions import is_known, read_after
from auth_service.permissions.require import Require
from auth_service.users.naming import find_named_id, may_name

router = APIRouter(tags=["administration"])


class EventsQuery(BaseModel):
    """`user_id`: id, login or, with users:write, e-mail address. Events of a deleted user are found by id."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    after: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=100, ge=1, le=1000)
    kind: EventKind | None = None
    user_id: Annotated[str, Typed(1, 320)] | None = None


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


@router.get("/admin/events", response_model=EventsAnswer, responses=refusals(NotFound))
async def list_events(
    caller: Annotated[Principal, Require("audit:read")], query: Annotated[EventsQuery, Query()], resources: Res
) -> EventsAnswer:
    """Behind a position, in the order of their commits; nothing ever appears before what was read (REL-4)."""
    user_id = None if query.user_id is None else await _named(resources, caller, query.user_id)
    events = await read_after(resources.hot, query.after, limit=query.limit, kind=query.kind, user_id=user_id)
    source = resources.settings.issuer
    items = [EventAnswer(position=event.position, **to_cloud_event(source, event)) for event in events]
    return EventsAnswer(items=items, next_after=events[-1].position if events else query.after)


async def _named(resources: Resources, caller: Principal, name: str) -> UUID:
    """Raises NotFound for what is neither an account nor in the outbox: an empty list would look like an answer."""
    await may_name(resources, caller, name)
    user_id = await find_named_id(resources, name)
    if user_id is None or not await is_known(resources.hot, user_id):
        raise NotFound("There is no such user.")
    return user_id
