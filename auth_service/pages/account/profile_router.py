"""One's name and login."""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.core.http.limits import take
from auth_service.pages import notices
from auth_service.pages.account.screen import screen
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me
from auth_service.users import service
from auth_service.users.schemas import LoginChangeBody, ProfilePatch

router = page_router()


@router.get("/account/name")
async def name_page(request: Request, me: Me) -> Response:
    return screen(request, "account/name.html", me, Form({"full_name": me.account.full_name or ""}))


@router.post("/account/name")
async def change_name(request: Request, me: Me, resources: Res) -> Response:
    """An empty field removes the name."""
    form = await posted(request)
    with form:
        body = form.read(ProfilePatch)
        await service.update_profile(resources, me.id, {"full_name": body.full_name})
        return go(request, "/account", notices.NAME_CHANGED)
    return screen(request, "account/name.html", me, form)


@router.get("/account/login")
async def login_page(request: Request, me: Me) -> Response:
    return screen(request, "account/login.html", me, Form({"login": me.account.login}))


@router.post("/account/login")
async def change_login(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(LoginChangeBody)
        await service.change_login(resources, me.id, me.session_id, body.login, body.current_password)
        return go(request, "/account", notices.LOGIN_CHANGED)
    return screen(request, "account/login.html", me, form)
