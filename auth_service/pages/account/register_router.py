"""A new account; who has made one is signed in."""

from fastapi import Request
from starlette.responses import Response

from auth_service.auth import service, transport
from auth_service.core.connections import Res
from auth_service.core.http.limits import take
from auth_service.mfa.challenges import OpenChallenge
from auth_service.pages import notices
from auth_service.pages.account.screen import screen, signed_in
from auth_service.pages.form import posted
from auth_service.pages.own_paths import own_path
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Guest
from auth_service.sessions.client import RequestClient
from auth_service.users.schemas import RegisterBody
from auth_service.users.service import create_user

router = page_router()


@router.get("/account/register")
async def register_page(request: Request, guest: Guest, next: str | None = None) -> Response:
    return screen(request, "account/register.html", guest, next=own_path(next))


@router.post("/account/register")
async def register(request: Request, guest: Guest, client: RequestClient, resources: Res) -> Response:
    form = await posted(request)
    target = own_path(form.fields.get("next"))
    client = transport.with_device(request, resources, client, None, cookies=True)
    with form:
        take(request, "register")
        body = form.read(RegisterBody)
        await create_user(
            resources, login=body.login, email=body.email, password=body.password, full_name=body.full_name, verify=True
        )
        issued = await service.log_in(resources, body.login, body.password, client)
        if isinstance(issued, OpenChallenge):  # nobody has one yet
            return go(request, "/account/sign-in")
        notice = notices.WELCOME_MAIL if resources.settings.has_mail else notices.WELCOME
        return await signed_in(request, resources, issued, client.device_token, to=target, notice=notice)
    return screen(request, "account/register.html", guest, form, next=target)
