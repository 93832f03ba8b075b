"""One's own account."""

from fastapi import APIRouter

from auth_service.core.connections import Res
from auth_service.core.errors import LastSuperuser, LoginTaken, ValidationFailed, WouldShutOut, WrongPassword
from auth_service.core.http.api_docs import delete_or_post, refusals
from auth_service.core.http.limits import limited
from auth_service.core.principal import CurrentUser
from auth_service.models import User
from auth_service.users import service
from auth_service.users.repository import Account
from auth_service.users.schemas import (
    ChangePasswordBody,
    DeleteAccountBody,
    LoginChangeBody,
    ProfilePatch,
    UserAnswer,
)
from auth_service.users.service import PasswordChanged

router = APIRouter(prefix="/users/me", tags=["own account"])


@router.get("", response_model=UserAnswer)
async def get_own_account(me: CurrentUser, resources: Res) -> Account:
    return await service.get_account(resources, me.subject)


@router.patch("", response_model=UserAnswer)
async def update_own_account(body: ProfilePatch, me: CurrentUser, resources: Res) -> User:
    """Changes only what is sent; `full_name: null` removes the name."""
    return await service.update_profile(resources, me.subject, body.model_dump(exclude_unset=True))


@delete_or_post(
    router,
    "",
    "/delete",
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, LastSuperuser, WouldShutOut, PasswordChanged),
)
async def delete_own_account(body: DeleteAccountBody, me: CurrentUser, resources: Res) -> None:
    """Deletes the account for good; asks for the password again. By POST where a DELETE cannot have a body."""
    await service.delete_own_account(resources, me.subject, me.session_id, body.current_password)


@router.post(
    "/password",
    status_code=204,
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, ValidationFailed, PasswordChanged),
)
async def change_password(body: ChangePasswordBody, me: CurrentUser, resources: Res) -> None:
    """Ends the other sessions; this one stays."""
    await service.change_password(resources, me.subject, me.session_id, body.current_password, body.new_password)


@router.post(
    "/login",
    response_model=UserAnswer,
    dependencies=[limited("login")],
    responses=refusals(WrongPassword, LoginTaken, PasswordChanged),
)
async def change_login(body: LoginChangeBody, me: CurrentUser, resources: Res) -> User:
    return await service.change_login(resources, me.subject, me.session_id, body.login, body.current_password)
