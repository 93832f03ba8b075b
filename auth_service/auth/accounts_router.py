"""Accounts, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from auth_service.auth import accounts
from auth_service.auth.accounts import NewAccount
from auth_service.auth.accounts_schemas import (
    AccountDetail,
    AccountPatch,
    AccountsAnswer,
    AccountsQuery,
    NewAccountBody,
    RemovalBody,
)
from auth_service.core.api_docs import refusals
from auth_service.core.connections import Res
from auth_service.core.errors import EmailTaken, LackingYourself, LastSuperuser, LoginTaken, NotFound, WouldShutOut
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require

router = APIRouter(prefix="/admin/users", tags=["administration"])


@router.get("", response_model=AccountsAnswer)
async def list_all(
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
async def create(
    body: NewAccountBody, caller: Annotated[Principal, Require("users:write")], resources: Res
) -> AccountDetail:
    """Mails the link by which the owner sets a password; only with roles that you hold yourself."""
    user_id = await accounts.create_account(resources, caller, NewAccount(**body.model_dump()))
    return await accounts.read_account(resources, caller, user_id)


@router.get("/{user_id}", response_model=AccountDetail)
async def read(user_id: UUID, caller: Annotated[Principal, Require("users:read")], resources: Res) -> AccountDetail:
    return await accounts.read_account(resources, caller, user_id)


@router.patch(
    "/{user_id}",
    response_model=AccountDetail,
    responses=refusals(LackingYourself, LastSuperuser, WouldShutOut, LoginTaken, EmailTaken),
)
async def update(
    user_id: UUID, body: AccountPatch, caller: Annotated[Principal, Require("users:write")], resources: Res
) -> AccountDetail:
    """Of users who hold nothing that you lack; disabling ends their sessions, a new address is to be confirmed."""
    changes = body.model_dump(exclude_unset=True, exclude={"reason"})
    await accounts.change_account(resources, caller, user_id, changes, body.reason)
    return await accounts.read_account(resources, caller, user_id)


@router.delete("/{user_id}", status_code=204, responses=refusals(LackingYourself, LastSuperuser, WouldShutOut))
async def delete(
    user_id: UUID, body: RemovalBody, caller: Annotated[Principal, Require("users:delete")], resources: Res
) -> None:
    """For good, with all that is kept of the account."""
    await accounts.delete_account(resources, caller, user_id, body.reason)
