"""The stream of changes over HTTP."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from auth_service.changes.stream import NoChanges, TooManyStreams, follow
from auth_service.core.connections import Res
from auth_service.core.health import is_draining
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require

router = APIRouter(tags=["permissions"])


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


@router.get(
    "/changes",
    response_class=StreamingResponse,  # and not ours: the document would say that errors are events, too
    responses={
        200: {"description": "It goes on.", "content": {EventStream.media_type: {"schema": {"type": "string"}}}},
        **refusals(NoChanges, TooManyStreams),
    },
)
async def follow_changes(
    request: Request,
    caller: Annotated[Principal, Require("changes:read")],
    resources: Res,
    last_event_id: Annotated[str | None, Header(description="The id of the last event that was seen.")] = None,
) -> EventStream:
    """Who keeps answers in memory is told here what to forget: server-sent events, see docs/changes.md.

    `start` says whether it goes on behind Last-Event-ID; if not, all that was kept is to be forgotten. `change` names
    what has changed, `beat` up to when all changes have been told.
    """
    events = follow(resources, caller, last_event_id, is_ending=partial(is_draining, request))
    return EventStream(events, headers={"X-Accel-Buffering": "no"})
