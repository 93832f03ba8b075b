"""What a mailbox can do: set a forgotten password, confirm an address, change it."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from auth_service.core.connections import Res
from auth_service.core.errors import (
    EmailTaken,
    LackingYourself,
    ValidationFailed,
    WrongPassword,
)
from auth_service.core.http.api_docs import refusals
from auth_service.core.http.cookies import DEVICE_COOKIE_SECONDS, cookie_names, set_cookie, wants_cookies
from auth_service.core.http.limits import limited
from auth_service.core.principal import CurrentUser, Principal
from auth_service.permissions.require import Require
from auth_service.sessions.client import RequestClient
from auth_service.users import email, forgotten_password
from auth_service.users.email import Confirmation, EmailVerified
from auth_service.users.forgotten_password import AccountDisabled
from auth_service.users.mailed_tokens import InvalidMailToken
from auth_service.users.naming import NamedUser
from auth_service.users.schemas import (
    ConfirmationAnswer,
    ConfirmEmailBody,
    EmailChangeAnswer,
    EmailChangeBody,
    ForgottenPasswordBody,
    MailUnderway,
    ResetAnswer,
    ResetPasswordBody,
)
from auth_service.users.service import PasswordChanged

router = APIRouter(tags=["account by mail"])


@router.post("/auth/password/forgot", response_model=MailUnderway, status_code=202, dependencies=[limited("login")])
async def request_password_reset(body: ForgottenPasswordBody, resources: Res) -> MailUnderway:
    """Mails a link to set a new password. The answer is the same for an address that nobody has."""
    await forgotten_password.ask(resources, body.email)
    return MailUnderway(detail="If the address is known, a mail is on its way.")


@router.post(
    "/auth/password/reset",
    response_model=ResetAnswer,
    response_model_exclude_none=True,
    dependencies=[limited("login")],
    responses=refusals(InvalidMailToken, ValidationFailed),
)
async def reset_password(
    body: ResetPasswordBody, request: Request, response: Response, client: RequestClient, resources: Res
) -> ResetAnswer:
    """With the token of the mailed link; ends all sessions, logs nobody in, and leaves the second factor.

    The device is a known one from now on, by `device_token` or, with X-Token-Transport: cookie, by its cookie.
    """
    settings = resources.settings
    as_cookie = wants_cookies(request, settings)
    device_token = await forgotten_password.reset(resources, body.token, body.new_password, client)
    if not as_cookie:
        return ResetAnswer(device_token=device_token)
    set_cookie(response, settings, cookie_names(settings).device, device_token, DEVICE_COOKIE_SECONDS)
    return ResetAnswer()


@router.post(
    "/auth/email/confirm",
    response_model=ConfirmationAnswer,
    dependencies=[limited("login")],
    responses=refusals(InvalidMailToken, EmailTaken),
)
async def confirm_email(body: ConfirmEmailBody, resources: Res) -> Confirmation:
    """With the token of a mailed link. `waiting_for`: which end of an e-mail change has yet to confirm."""
    return await email.confirm(resources, body.token)


@router.post(
    "/users/me/email/verify",
    response_model=MailUnderway,
    status_code=202,
    dependencies=[limited("login")],
    responses=refusals(EmailVerified),
)
async def request_email_confirmation(me: CurrentUser, resources: Res) -> MailUnderway:
    """Mails the link that confirms one's address once more."""
    await email.send_verification(resources, me.subject)
    return MailUnderway(detail="A mail is on its way.")


@router.post(
    "/users/me/email",
    response_model=EmailChangeAnswer,
    status_code=202,
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, EmailTaken, PasswordChanged),
)
async def change_email(body: EmailChangeBody, me: CurrentUser, resources: Res) -> Confirmation:
    """Mails a link to the old and to the new address; it changes when both have confirmed, within 24 hours."""
    return await email.ask_for_change(resources, me.subject, me.session_id, body.email, body.current_password)


@router.delete("/users/me/email", status_code=204)
async def cancel_email_change(me: CurrentUser, resources: Res) -> None:
    """Cancels a change that waits to be confirmed; the present address stays."""
    await email.cancel_change(resources, me.subject)


@router.post(
    "/admin/users/{user_id}/send-password-reset",
    response_model=MailUnderway,
    status_code=202,
    responses=refusals(LackingYourself, AccountDisabled),
)
async def send_password_reset(
    caller: Annotated[Principal, Require("users:write")], user_id: NamedUser, resources: Res
) -> MailUnderway:
    """Mails the user a link to set a new password; the admin sees neither."""
    await forgotten_password.start_for(resources, caller, user_id)
    return MailUnderway(detail="A mail is on its way.")
