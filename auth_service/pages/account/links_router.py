"""Where the links of our mails lead, and the page that asks for one.

Opening a page changes nothing, since scanners of mail open links too; its button does. The token is behind the # of
the link, which no server sees; the page's script puts it into the form, and without scripts it is pasted there.
"""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.core.http.cookies import DEVICE_COOKIE_SECONDS, cookie_names, set_cookie
from auth_service.core.http.limits import take
from auth_service.pages import notices
from auth_service.pages.account.screen import screen
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Guest
from auth_service.sessions.client import RequestClient
from auth_service.users import email, forgotten_password
from auth_service.users.schemas import ConfirmEmailBody, ForgottenPasswordBody, ResetPasswordBody

router = page_router()


@router.get("/confirm-email")
async def confirm_email_page(request: Request, guest: Guest) -> Response:
    return screen(request, "account/confirm_email.html", guest)


@router.post("/confirm-email")
async def confirm_email(request: Request, guest: Guest, resources: Res) -> Response:
    form = await _with_token(request)
    with form:
        take(request, "login")
        confirmation = await email.confirm(resources, form.read(ConfirmEmailBody).token)
        return go(request, f"/account/confirmed{'?waiting=true' if confirmation.waiting_for else ''}")
    return screen(request, "account/confirm_email.html", guest, form)


@router.get("/account/confirmed")
async def confirmed_page(request: Request, guest: Guest, waiting: bool = False) -> Response:
    """`waiting`: a change of address, whose other end has yet to confirm."""
    return screen(request, "account/email_confirmed.html", guest, waiting=waiting)


@router.get("/forgot-password")
async def forgot_password_page(request: Request, guest: Guest) -> Response:
    return screen(request, "account/forgot_password.html", guest)


@router.post("/forgot-password")
async def forgot_password(request: Request, guest: Guest, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        await forgotten_password.ask(resources, form.read(ForgottenPasswordBody).email)
        return go(request, "/account/mail-sent")
    return screen(request, "account/forgot_password.html", guest, form)


@router.get("/account/mail-sent")
async def mail_sent_page(request: Request, guest: Guest) -> Response:
    """The same for an address that nobody has."""
    return screen(request, "account/mail_sent.html", guest)


@router.get("/reset-password")
async def reset_password_page(request: Request, guest: Guest) -> Response:
    return screen(request, "account/reset_password.html", guest)


@router.post("/reset-password")
async def reset_password(request: Request, guest: Guest, client: RequestClient, resources: Res) -> Response:
    form = await _with_token(request)
    with form:
        take(request, "login")
        body = form.read(ResetPasswordBody)
        device_token = await forgotten_password.reset(resources, body.token, body.new_password, client)
        response = go(request, "/account/sign-in", notices.PASSWORD_SET)
        name = cookie_names(resources.settings).device
        set_cookie(response, resources.settings, name, device_token, DEVICE_COOKIE_SECONDS)
        return response
    return screen(request, "account/reset_password.html", guest, form)


async def _with_token(request: Request) -> Form:
    """Who has no scripts may paste the whole link."""
    form = await posted(request)
    form.fields["token"] = form.fields.get("token", "").strip().rpartition("#token=")[2]
    return form
