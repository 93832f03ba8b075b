"""One's own sessions and devices."""

from uuid import UUID

from fastapi import APIRouter

from auth_service.core.connections import Res
from auth_service.core.errors import NotFound, StepUpRequired
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import CurrentUser
from auth_service.sessions import devices, service
from auth_service.sessions.fresh import FreshUser, must_be_fresh
from auth_service.sessions.repository import origin_of
from auth_service.sessions.schemas import (
    DeviceAnswer,
    DevicePatch,
    DevicesAnswer,
    SessionsAnswer,
    device_answer,
    session_answer,
)

router = APIRouter(prefix="/users/me", tags=["own sessions and devices"])


@router.get("/sessions", response_model=SessionsAnswer)
async def list_own_sessions(me: CurrentUser, resources: Res) -> SessionsAnswer:
    """Those that live, the one used last first."""
    rows = await service.list_sessions(resources, me.subject)
    return SessionsAnswer(items=[session_answer(row, current=me.session_id) for row in rows])


@router.delete("/sessions/{session_id}", status_code=204, responses=refusals(NotFound, StepUpRequired))
async def end_own_session(session_id: UUID, me: CurrentUser, resources: Res) -> None:
    """The password or a code must have been shown within five minutes, unless it is the session that asks."""
    if session_id != me.session_id:
        await must_be_fresh(resources, me)
    await service.end_own_session(resources, me.subject, session_id)


@router.get("/devices", response_model=DevicesAnswer)
async def list_own_devices(me: CurrentUser, resources: Res) -> DevicesAnswer:
    """What this account was used on, the one seen last first; a trusted one is let in without a second factor."""
    _, here = await origin_of(resources.hot, me.session_id)
    rows = await devices.list_devices(resources, me.subject)
    return DevicesAnswer(items=[device_answer(row, resources.clock(), current=here) for row in rows])


@router.patch("/devices/{device_id}", response_model=DeviceAnswer, responses=refusals(NotFound))
async def rename_own_device(device_id: UUID, body: DevicePatch, me: CurrentUser, resources: Res) -> DeviceAnswer:
    _, here = await origin_of(resources.hot, me.session_id)
    row = await devices.rename(resources, me.subject, device_id, body.name)
    return device_answer(row, resources.clock(), current=here)


@router.delete("/devices/{device_id}", status_code=204, responses=refusals(NotFound, StepUpRequired))
async def revoke_own_device(device_id: UUID, me: FreshUser, resources: Res) -> None:
    """Ends the device's sessions; its next login is that of a stranger."""
    await service.revoke_device(resources, me.subject, device_id)
