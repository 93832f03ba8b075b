"""Bodies and answers about service accounts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from auth_service.core.schemas import Answer, Body, Moment
from auth_service.permissions.schemas import Description, PermissionPattern

ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,63}$")]


class ServiceBody(Body):
    name: ServiceName
    description: Description = ""
    scopes: Annotated[list[PermissionPattern], Field(max_length=20)] = ["permissions:check"]


class SecretBody(Body):
    """`expires_at` None: until the account is deleted."""

    expires_at: Moment | None = None


class ServiceAnswer(Answer):
    id: UUID
    name: str
    description: str
    scopes: list[str]
    created_at: datetime


class SecretAnswer(Answer):
    """`client_secret` is shown this once."""

    client_id: UUID
    client_secret: str
    expires_at: datetime | None


class NewServiceAnswer(ServiceAnswer):
    client_id: UUID
    client_secret: str
