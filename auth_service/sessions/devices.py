"""Devices that a user has logged in from, and the secret that each of them shows again (MFA-8).

A known device has a budget of failures of its own; a trusted one is let in without a second factor for 30 days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound
from auth_service.core.row_tokens import new_secret, read_token, write_token
from auth_service.events.kinds import DeviceAdded, DevicesRevoked
from auth_service.events.outbox import record
from auth_service.mail.outbox import enqueue
from auth_service.mail.texts import MailKind
from auth_service.models import Device, Session, User, new_id
from auth_service.sessions.client import Client
from auth_service.sessions.user_agent import in_words

TRUST = timedelta(days=30)
KEEP_UNSEEN = timedelta(days=180)
MOST_DEVICES = 50


@dataclass(frozen=True, slots=True)
class Registered:
    """`token` only for a new device: this once, and only a hash of it is kept."""

    id: UUID
    token: str | None


async def recognise(resources: Resources, token: str | None) -> Device | None:
    """The device that was given this token, whoever's it is: asking takes as long for every user."""
    named = None if token is None else read_token(token)
    if named is None:
        return None
    device_id, secret_hash = named
    async with resources.db() as session:
        statement = select(Device).where(Device.id == device_id, Device.secret_hash == secret_hash)
        return (await session.scalars(statement)).one_or_none()


def is_trusted(device: Device | None, now: datetime) -> bool:
    return device is not None and device.trusted_until is not None and now < device.trusted_until


async def find_in(session: AsyncSession, user_id: UUID, device_id: UUID | None) -> Device | None:
    """Locked, so that nobody deletes it meanwhile; None too for a device of somebody else."""
    if device_id is None:
        return None
    device = await session.get(Device, device_id, populate_existing=True, with_for_update=True)
    return device if device is not None and device.user_id == user_id else None


async def register_in(
    resources: Resources, session: AsyncSession, user: User, device: Device | None, client: Client, *, trust: bool
) -> Registered:
    """The device as seen now, or a new one, of which the user is told; call it with the user's row locked."""
    now = resources.clock()
    token = None
    if device is None:
        await _tell_of_new_device(resources, session, user, client)
        secret, secret_hash = new_secret()
        device = Device(id=new_id(), user_id=user.id, secret_hash=secret_hash, created_at=now)
        session.add(device)
        token = write_token(device.id, secret)
    device.last_seen_at, device.ip, device.user_agent = now, client.ip, client.user_agent
    device.name = device.name or client.device_name
    if trust:
        device.trusted_until = now + TRUST
    await session.flush()
    if token is not None:
        await record(resources, session, DeviceAdded(user_id=user.id, device_id=device.id))
        await _keep_most_recent(resources, session, user.id, device.id)
    return Registered(device.id, token)


async def forget_in(
    resources: Resources, session: AsyncSession, user_id: UUID, *, keep_of_session: UUID | None = None
) -> None:
    """After a change of the password or the second factor: no device is trusted, none is known but the one at hand."""
    here = None
    if keep_of_session is not None:
        here = await session.scalar(select(Session.device_id).where(Session.id == keep_of_session))
    await _revoke(resources, session, user_id, Device.user_id == user_id, Device.id.is_distinct_from(here))
    await session.execute(update(Device).where(Device.user_id == user_id).values(trusted_until=None))


async def list_devices(resources: Resources, user_id: UUID) -> Sequence[Device]:
    """The one seen last first."""
    async with resources.db() as session:
        statement = select(Device).where(Device.user_id == user_id).order_by(Device.last_seen_at.desc(), Device.id)
        return (await session.scalars(statement)).all()


async def ids_in(session: AsyncSession, user_id: UUID) -> Sequence[UUID]:
    return (await session.scalars(select(Device.id).where(Device.user_id == user_id))).all()


async def rename(resources: Resources, user_id: UUID, device_id: UUID, name: str) -> Device:
    async with resources.db.begin() as session:
        device = await find_in(session, user_id, device_id)
        if device is None:
            raise NotFound("You have no such device.")
        device.name = name
    return device


async def delete_unseen(session: AsyncSession, before: datetime) -> None:
    """Forgets what nobody has logged in from since then."""
    await session.execute(delete(Device).where(Device.last_seen_at < before))


async def _tell_of_new_device(resources: Resources, session: AsyncSession, user: User, client: Client) -> None:
    """Not of the very first one, nor of a program that looks the same and only forgot its token."""
    looks_known = Device.user_agent.is_not_distinct_from(client.user_agent) & Device.ip.is_not_distinct_from(client.ip)
    statement = select(func.count(), func.count().filter(looks_known)).where(Device.user_id == user.id)
    devices, alike = (await session.execute(statement)).one()
    if devices and not alike:
        device, ip = str(in_words(client.user_agent)), client.ip or "unknown"
        await enqueue(resources, session, user, MailKind.NEW_DEVICE, device=device, ip=ip)


async def _keep_most_recent(resources: Resources, session: AsyncSession, user_id: UUID, here: UUID) -> None:
    """With `here`, whatever a clock says."""
    others = select(Device.id).where(Device.user_id == user_id, Device.id != here)
    newest_first = others.order_by(Device.last_seen_at.desc(), Device.id.desc())
    await _revoke(resources, session, user_id, Device.id.in_(newest_first.offset(MOST_DEVICES - 1)))


async def _revoke(resources: Resources, session: AsyncSession, user_id: UUID, *conditions: ColumnElement[bool]) -> None:
    revoked = (await session.scalars(delete(Device).where(*conditions).returning(Device.id))).all()
    if revoked:
        await record(resources, session, DevicesRevoked(user_id=user_id, device_ids=sorted(revoked)))
