"""Webhooks, for admins."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from auth_service.core.connections import Res
from auth_service.core.errors import TooManyWebhooks
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.models import WebhookEndpoint
from auth_service.permissions.require import Require
from auth_service.webhooks import service
from auth_service.webhooks.schemas import (
    DeliveriesAnswer,
    DeliveriesQuery,
    DeliveryAnswer,
    NewWebhookAnswer,
    PingAnswer,
    WebhookAnswer,
    WebhookBody,
    WebhookPatch,
    WebhookSecretAnswer,
)

router = APIRouter(prefix="/admin/webhooks", tags=["webhooks"])
Reader = Annotated[Principal, Require("webhooks:read")]
Writer = Annotated[Principal, Require("webhooks:write")]


@router.get("", response_model=list[WebhookAnswer])
async def list_webhooks(_caller: Reader, resources: Res) -> Sequence[WebhookEndpoint]:
    return await service.list_endpoints(resources)


@router.post("", response_model=NewWebhookAnswer, status_code=201, responses=refusals(TooManyWebhooks))
async def create_webhook(body: WebhookBody, caller: Writer, resources: Res) -> NewWebhookAnswer:
    """Takes `audit:read` too, without an end. The secret is shown this once."""
    endpoint, secret = await service.create_endpoint(resources, caller, **body.model_dump())
    return NewWebhookAnswer(**WebhookAnswer.model_validate(endpoint).model_dump(), secret=secret)


@router.get("/{webhook_id}", response_model=WebhookAnswer)
async def get_webhook(webhook_id: UUID, _caller: Reader, resources: Res) -> WebhookEndpoint:
    return await service.get_endpoint(resources, webhook_id)


@router.patch("/{webhook_id}", response_model=WebhookAnswer)
async def update_webhook(webhook_id: UUID, body: WebhookPatch, caller: Writer, resources: Res) -> WebhookEndpoint:
    return await service.update_endpoint(resources, caller, webhook_id, **body.model_dump())


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(webhook_id: UUID, caller: Writer, resources: Res) -> None:
    await service.delete_endpoint(resources, caller, webhook_id)


@router.post("/{webhook_id}/secrets", response_model=WebhookSecretAnswer, status_code=201)
async def rotate_webhook_secret(webhook_id: UUID, caller: Writer, resources: Res) -> WebhookSecretAnswer:
    """A new secret; the present one signs too for 24 hours."""
    endpoint, secret = await service.rotate_secret(resources, caller, webhook_id)
    assert endpoint.previous_secret_until is not None  # noqa: S101  it has just been set
    return WebhookSecretAnswer(secret=secret, previous_secret_until=endpoint.previous_secret_until)


@router.post("/{webhook_id}/test", response_model=PingAnswer)
async def ping_webhook(webhook_id: UUID, caller: Writer, resources: Res) -> PingAnswer:
    """Sends `auth.ping` once, and says what became of it within ten seconds."""
    return PingAnswer.model_validate(await service.ping(resources, caller, webhook_id))


@router.get("/{webhook_id}/deliveries", response_model=DeliveriesAnswer)
async def list_webhook_deliveries(
    webhook_id: UUID, _caller: Reader, query: Annotated[DeliveriesQuery, Query()], resources: Res
) -> DeliveriesAnswer:
    """The last attempts, newest first; of the receiver's answers only the status."""
    found = await service.list_deliveries(resources, webhook_id, query.limit)
    return DeliveriesAnswer(items=[DeliveryAnswer.model_validate(item) for item in found])
