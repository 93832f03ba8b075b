"""A code again, before what takes a second factor: then back to the page that was wanted."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.auth import service
from auth_service.core.connections import Res
from auth_service.core.http.limits import take
from auth_service.core.http.page_paths import CONSOLE
from auth_service.core.schemas import Body
from auth_service.mfa.schemas import TypedCode
from auth_service.mfa.service import state
from auth_service.pages import notices
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.form import posted
from auth_service.pages.own_paths import own_path
from auth_service.pages.page import go
from auth_service.pages.route import page_router

router = page_router()
PAGE = f"{CONSOLE}/confirm"


class CodeBody(Body):
    code: TypedCode


@router.get(PAGE)
async def confirm_page(
    request: Request, me: Annotated[Admin, Staff()], resources: Res, next: str | None = None
) -> Response:
    enabled = (await state(resources, me.id)).enabled
    return screen(request, "console/confirm.html", me, next=own_path(next or CONSOLE), enabled=enabled)


@router.post(PAGE)
async def confirm(request: Request, me: Annotated[Admin, Staff()], resources: Res) -> Response:
    form = await posted(request)
    target = own_path(form.fields.get("next") or CONSOLE)
    with form:
        take(request, "login")
        code = form.read(CodeBody).code
        request.state.issued = await service.step_up(resources, me.id, me.session_id, current_password=None, code=code)
        return go(request, target, notices.CONFIRMED)
    return screen(request, "console/confirm.html", me, form, next=target, enabled=True)
