"""One's own second factor, and its reset by an admin."""

from typing import Annotated

from fastapi import APIRouter

from auth_service.core.connections import Res
from auth_service.core.errors import LackingYourself, WouldShutOut, WrongPassword
from auth_service.core.http.api_docs import delete_or_post, refusals
from auth_service.core.http.limits import limited
from auth_service.core.principal import CurrentUser, Principal
from auth_service.mfa import service
from auth_service.mfa.schemas import (
    ConfirmTotpBody,
    Enrolment,
    MfaState,
    NewRecoveryCodes,
    ResetSecondFactorBody,
    SecondFactorBody,
    StartTotpBody,
)
from auth_service.mfa.service import MfaEnabled, MfaNotEnabled, NoEnrolment, StartedEnrolment, State, WrongCode
from auth_service.permissions.require import Require
from auth_service.users.naming import NamedUser
from auth_service.users.service import PasswordChanged

router = APIRouter(tags=["second factor"])


@router.get("/mfa", response_model=MfaState)
async def get_second_factor(me: CurrentUser, resources: Res) -> State:
    return await service.state(resources, me.subject)


@router.post(
    "/mfa/totp",
    response_model=Enrolment,
    status_code=201,
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, MfaEnabled, PasswordChanged),
)
async def start_totp(body: StartTotpBody, me: CurrentUser, resources: Res) -> StartedEnrolment:
    """A secret for an authenticator app; nothing changes until it is confirmed with a code."""
    return await service.start_enrolment(resources, me.subject, me.session_id, body.current_password)


@router.post(
    "/mfa/totp/confirm",
    response_model=NewRecoveryCodes,
    dependencies=[limited("login")],
    responses=refusals(WrongCode, NoEnrolment),
)
async def confirm_totp(body: ConfirmTotpBody, me: CurrentUser, resources: Res) -> NewRecoveryCodes:
    """From now on every login asks for a code; the recovery codes are shown this once. Ends the other sessions."""
    codes = await service.confirm_enrolment(resources, me.subject, me.session_id, body.code)
    return NewRecoveryCodes(recovery_codes=codes)


@delete_or_post(
    router,
    "/mfa/totp",
    "/mfa/totp/disable",
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, WrongCode, MfaNotEnabled, PasswordChanged, WouldShutOut),
)
async def disable_totp(body: SecondFactorBody, me: CurrentUser, resources: Res) -> None:
    """Ends the other sessions. By POST where a DELETE cannot have a body."""
    await service.disable(resources, me.subject, me.session_id, body.current_password, body.code)


@router.post(
    "/mfa/recovery-codes",
    response_model=NewRecoveryCodes,
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, WrongCode, MfaNotEnabled, PasswordChanged),
)
async def replace_recovery_codes(body: SecondFactorBody, me: CurrentUser, resources: Res) -> NewRecoveryCodes:
    """Ten new ones; the old ones stop working."""
    codes = await service.new_recovery_codes(resources, me.subject, me.session_id, body.current_password, body.code)
    return NewRecoveryCodes(recovery_codes=codes)


@router.post(
    "/admin/users/{user_id}/reset-mfa",
    status_code=204,
    responses=refusals(LackingYourself, MfaNotEnabled, WouldShutOut),
)
async def reset_second_factor(
    caller: Annotated[Principal, Require("users:write")],
    user_id: NamedUser,
    body: ResetSecondFactorBody,
    resources: Res,
) -> None:
    """For a user who lost phone and recovery codes; ends all sessions of the user."""
    await service.reset(resources, caller, user_id, body.reason)
