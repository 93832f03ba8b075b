"""Accounts, for admins."""

from typing import Annotated

from fastapi import APIRouter, Query

from auth_service.admin import accounts
from auth_service.admin.accounts import NewAccount
from auth_service.admin.accounts_schemas import (
    AccountDetail,
    AccountPatch,
    AccountsAnswer,
    AccountsQuery,
    NewAccountBody,
    RemovalBody,
)
from auth_service.core.connections import Res
from auth_service.core.errors import EmailTaken, LackingYourself, LastSuperuser, LoginTaken, NotFound, WouldShutOut
from auth_service.core.http.api_docs import delete_or_post, refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require
from auth_service.users.naming import NamedUser

router = APIRouter(prefix="/admin/users", tags=["administration"])


@router.get("", response_model=AccountsAnswer)
async def list_users(
    caller: Annotated[Principal, Require("users:read")], query: Annotated[AccountsQuery, Query()], resources: Res
) -> AccountsAnswer:
    """By creation; `next_cursor` leads to the next page. Names and e-mail addresses only with users:write."""
    return await accounts.list_accounts(resources, caller, query)


@router.post(
    "",
    response_model=AccountDetail,
    status_code=201,
    responses=refusals(LackingYourself, NotFound, LoginTaken, EmailTaken),
)
async def create_user(
    body: NewAccountBody, caller: Annotated[Principal, Require("users:write")], resources: Res
) -> AccountDetail:
    """Mails the link by which the owner sets a password; only with roles that you hold yourself."""
    user_id = await accounts.create_account(resources, caller, NewAccount(**body.model_dump()))
    return await accounts.read_account(resources, caller, user_id)


@router.get("/{user_id}", response_model=AccountDetail)
async def get_user(
    caller: Annotated[Principal, Require("users:read")], user_id: NamedUser, resources: Res
) -> AccountDetail:
    return await accounts.read_account(resources, caller, user_id)


@router.patch(
    "/{user_id}",
    response_model=AccountDetail,
    responses=refusals(LackingYourself, LastSuperuser, WouldShutOut, LoginTaken, EmailTaken),
)
async def update_user(
    caller: Annotated[Principal, Require("users:write")], user_id: NamedUser, body: AccountPatch, resources: Res
) -> AccountDetail:
    """Of users who hold nothing that you lack; disabling ends their sessions, a new address is to be confirmed."""
    changes = body.model_dump(exclude_unset=True, exclude={"reason"})
    await accounts.change_account(resources, caller, user_id, changes, body.reason)
    return await accounts.read_account(resources, caller, user_id)


@delete_or_post(
    router, "/{user_id}", "/{user_id}/delete", responses=refusals(LackingYourself, LastSuperuser, WouldShutOut)
)
async def delete_user(
    caller: Annotated[Principal, Require("users:delete")], user_id: NamedUser, body: RemovalBody, resources: Res
) -> None:
    """For good, with all that is kept of the account. By POST where a DELETE cannot have a body."""
    await accounts.delete_account(resources, caller, user_id, body.reason)
