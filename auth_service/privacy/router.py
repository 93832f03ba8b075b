"""One's own data, to take along."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from auth_service.core.connections import Res
from auth_service.core.errors import StepUpRequired, TooManyRequests
from auth_service.core.http.api_docs import Responses, refusals
from auth_service.core.http.limits import limited
from auth_service.privacy.export import export
from auth_service.sessions.fresh import FreshUser

router = APIRouter(tags=["own account"])
A_FILE: Responses = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}


@router.get(
    "/users/me/export",
    response_class=StreamingResponse,
    dependencies=[limited("login")],
    responses=A_FILE | refusals(StepUpRequired, TooManyRequests),
)
async def export_own_data(me: FreshUser, resources: Res) -> StreamingResponse:
    """Everything that is kept about oneself, as one JSON file: account, roles, sessions, devices, whole history.

    The password or a code must have been shown within five minutes.
    """
    return StreamingResponse(
        await export(resources, me.subject),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="account.json"'},
    )
