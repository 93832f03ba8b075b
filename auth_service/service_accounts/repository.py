"""Service accounts and the hashes of their secrets."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.models import ServiceAccount, ServiceSecret


async def list_services(session: AsyncSession) -> Sequence[ServiceAccount]:
    return (await session.scalars(select(ServiceAccount).order_by(ServiceAccount.name))).all()


async def find_service(session: AsyncSession, service_id: UUID) -> ServiceAccount | None:
    return await session.get(ServiceAccount, service_id)


async def find_by_name(session: AsyncSession, name: str) -> ServiceAccount | None:
    return (await session.scalars(select(ServiceAccount).where(ServiceAccount.name == name))).one_or_none()


async def find_by_secret(
    session: AsyncSession, service_id: UUID, digest: bytes, now: datetime
) -> ServiceAccount | None:
    """The account, if that secret of it has not expired."""
    statement = (
        select(ServiceAccount)
        .join(ServiceSecret, ServiceSecret.service_id == ServiceAccount.id)
        .where(
            ServiceAccount.id == service_id,
            ServiceSecret.secret_hash == digest,
            or_(ServiceSecret.expires_at.is_(None), ServiceSecret.expires_at > now),
        )
    )
    return (await session.scalars(statement)).first()


async def secrets_of(session: AsyncSession, service_id: UUID) -> Sequence[ServiceSecret]:
    statement = select(ServiceSecret).where(ServiceSecret.service_id == service_id).order_by(ServiceSecret.id.desc())
    return (await session.scalars(statement)).all()


async def delete_secrets(session: AsyncSession, ids: Sequence[UUID]) -> None:
    await session.execute(delete(ServiceSecret).where(ServiceSecret.id.in_(ids)))
