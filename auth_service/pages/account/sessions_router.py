"""Where one is signed in, and the devices one signs in from: both can be ended, a device named."""

from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res, Resources
from auth_service.pages import notices
from auth_service.pages.account.screen import screen, signed_out
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me, Viewer
from auth_service.sessions import devices, service
from auth_service.sessions.fresh import must_be_fresh
from auth_service.sessions.repository import origin_of
from auth_service.sessions.schemas import DeviceAnswer, DevicePatch, device_answer, session_answer

router = page_router()
PAGE = "/account/sessions"


@router.get(PAGE)
async def sessions_page(request: Request, me: Me, resources: Res) -> Response:
    _, here = await origin_of(resources.hot, me.session_id)
    sessions = await service.list_sessions(resources, me.id)
    known = await devices.list_devices(resources, me.id)
    return screen(
        request,
        "account/sessions.html",
        me,
        sessions=[session_answer(row, current=me.session_id) for row in sessions],
        devices=[device_answer(row, resources.clock(), current=here) for row in known],
    )


@router.post(f"{PAGE}/end-others")
async def end_others(request: Request, me: Me, resources: Res) -> Response:
    await must_be_fresh(resources, me.principal)
    await service.end_other_sessions(resources, me.id, me.session_id)
    return go(request, PAGE, notices.OTHERS_ENDED)


@router.post(f"{PAGE}/{{session_id}}/end")
async def end_one(session_id: UUID, request: Request, me: Me, resources: Res) -> Response:
    if session_id != me.session_id:
        await must_be_fresh(resources, me.principal)
    await service.end_own_session(resources, me.id, session_id)
    if session_id == me.session_id:
        return signed_out(request, resources, "/account/sign-in", notices.SIGNED_OUT)
    return go(request, PAGE, notices.SESSION_ENDED)


@router.post(f"{PAGE}/devices/{{device_id}}/forget")
async def forget_device(device_id: UUID, request: Request, me: Me, resources: Res) -> Response:
    """The one at hand too: then this session ends."""
    await must_be_fresh(resources, me.principal)
    _, here = await origin_of(resources.hot, me.session_id)
    await service.revoke_device(resources, me.id, device_id)
    if device_id == here:
        return signed_out(request, resources, "/account/sign-in", notices.SIGNED_OUT)
    return go(request, PAGE, notices.DEVICE_FORGOTTEN)


@router.get(f"{PAGE}/devices/{{device_id}}/name")
async def name_page(device_id: UUID, request: Request, me: Me, resources: Res) -> Response:
    device = await _device(resources, me, device_id)
    return screen(request, "account/device_name.html", me, Form({"name": device.name or ""}), device=device)


@router.post(f"{PAGE}/devices/{{device_id}}/name")
async def name_device(device_id: UUID, request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        await devices.rename(resources, me.id, device_id, form.read(DevicePatch).name)
        return go(request, PAGE, notices.DEVICE_NAMED)
    return screen(request, "account/device_name.html", me, form, device=await _device(resources, me, device_id))


async def _device(resources: Resources, me: Viewer, device_id: UUID) -> DeviceAnswer:
    _, here = await origin_of(resources.hot, me.session_id)
    return device_answer(await devices.get_device(resources, me.id, device_id), resources.clock(), current=here)
