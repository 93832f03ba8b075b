"""Webhook endpoints and the last attempts at each."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.models import WebhookDelivery, WebhookEndpoint

# All numbers up to it belong to events that are committed; the transaction that gives the next ones may be under way.
_END = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_position")


async def list_endpoints(session: AsyncSession, *, for_update: bool = False) -> Sequence[WebhookEndpoint]:
    statement = select(WebhookEndpoint).order_by(WebhookEndpoint.id)
    return (await session.scalars(statement.with_for_update() if for_update else statement)).all()


async def count_endpoints(session: AsyncSession) -> int:
    return int(await session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0)


async def find_endpoint(
    session: AsyncSession, endpoint_id: UUID, *, for_update: bool = False
) -> WebhookEndpoint | None:
    return await session.get(WebhookEndpoint, endpoint_id, with_for_update=for_update)


async def end_of_outbox(session: AsyncSession) -> int:
    return int(await session.scalar(_END) or 0)


async def last_deliveries(session: AsyncSession, endpoint_id: UUID, limit: int) -> Sequence[WebhookDelivery]:
    statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    return (await session.scalars(statement.order_by(WebhookDelivery.number.desc()).limit(limit))).all()
