"""One's e-mail address: another one, or a new mail that confirms the present one."""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res, Resources
from auth_service.core.http.limits import take
from auth_service.mail.addresses import shown
from auth_service.pages import notices
from auth_service.pages.account.screen import screen
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me, Viewer
from auth_service.users import email
from auth_service.users.schemas import EmailChangeBody

router = page_router()


@router.get("/account/email")
async def email_page(request: Request, me: Me, resources: Res) -> Response:
    return await _page(request, me, resources)


@router.post("/account/email")
async def change_email(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(EmailChangeBody)
        await email.ask_for_change(resources, me.id, me.session_id, body.email, body.current_password)
        return go(request, "/account", notices.EMAIL_UNDERWAY)
    return await _page(request, me, resources, form)


@router.post("/account/email/verify")
async def send_again(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        await email.send_verification(resources, me.id)
        return go(request, "/account", notices.MAIL_UNDERWAY)
    return await _page(request, me, resources, form)


@router.post("/account/email/cancel")
async def cancel(request: Request, me: Me, resources: Res) -> Response:
    await email.cancel_change(resources, me.id)
    return go(request, "/account", notices.EMAIL_CANCELLED)


async def _page(request: Request, me: Viewer, resources: Resources, form: Form | None = None) -> Response:
    change = await email.waiting_change(resources, me.id)
    return screen(request, "account/email.html", me, form, email=shown(me.account.email), change=change)
