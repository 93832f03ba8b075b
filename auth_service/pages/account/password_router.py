"""Another password."""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.core.http.limits import take
from auth_service.pages import notices
from auth_service.pages.account.screen import screen
from auth_service.pages.form import posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me
from auth_service.users import service
from auth_service.users.schemas import ChangePasswordBody

router = page_router()


@router.get("/account/password")
async def password_page(request: Request, me: Me) -> Response:
    return screen(request, "account/password.html", me)


@router.post("/account/password")
async def change_password(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(ChangePasswordBody)
        await service.change_password(resources, me.id, me.session_id, body.current_password, body.new_password)
        return go(request, "/account", notices.PASSWORD_CHANGED)
    return screen(request, "account/password.html", me, form)
