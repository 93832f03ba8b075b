"""Service accounts, for admins."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path

from auth_service.core.connections import Res
from auth_service.core.errors import LackingYourself, ServiceExists, ValidationFailed
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.models import ServiceAccount
from auth_service.permissions.require import Require
from auth_service.service_accounts import service
from auth_service.service_accounts.schemas import (
    NewServiceAnswer,
    SecretAnswer,
    SecretBody,
    ServiceAnswer,
    ServiceBody,
)

router = APIRouter(prefix="/services", tags=["service accounts"])


async def _named(
    service_id: Annotated[str, Path(description="The id or the name of the account.")], resources: Res
) -> UUID:
    return await service.find_id(resources, service_id)


# Behind the guard, so that strangers learn of no name whether it is one.
NamedService = Annotated[UUID, Depends(_named)]


@router.get("", response_model=list[ServiceAnswer])
async def list_services(
    _caller: Annotated[Principal, Require("services:read")], resources: Res
) -> Sequence[ServiceAccount]:
    return await service.list_services(resources)


@router.post(
    "",
    response_model=NewServiceAnswer,
    status_code=201,
    responses=refusals(LackingYourself, ServiceExists, ValidationFailed),
)
async def create_service(
    body: ServiceBody, caller: Annotated[Principal, Require("services:write")], resources: Res
) -> NewServiceAnswer:
    """The client secret is shown this once."""
    account, secret = await service.create_service(resources, caller, body.name, body.description, body.scopes)
    shown = ServiceAnswer.model_validate(account).model_dump()
    return NewServiceAnswer(**shown, client_id=account.id, client_secret=secret)


@router.post(
    "/{service_id}/secrets",
    response_model=SecretAnswer,
    status_code=201,
    responses=refusals(LackingYourself, ValidationFailed),
)
async def add_service_secret(
    caller: Annotated[Principal, Require("services:write")],
    service_id: NamedService,
    resources: Res,
    body: SecretBody | None = None,
) -> SecretAnswer:
    """A second secret beside the last one; older ones stop working. Without a body it has no end."""
    expires_at = body.expires_at if body else None
    secret = await service.add_secret(resources, caller, service_id, expires_at)
    return SecretAnswer(client_id=service_id, client_secret=secret, expires_at=expires_at)


@router.delete("/{service_id}", status_code=204, responses=refusals(LackingYourself))
async def delete_service(
    caller: Annotated[Principal, Require("services:write")], service_id: NamedService, resources: Res
) -> None:
    """Its tokens are dead at once."""
    await service.delete_service(resources, caller, service_id)
