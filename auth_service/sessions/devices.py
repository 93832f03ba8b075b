"""Devices that a user has logged in from, and the secret that each of them shows again (MFA-8).

A known device has a budget of failures of its own; a trusted one is let in without a second factor for 30 days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound
from auth_service.core.row_tokens import new_secret, write_token
from auth_service.core.stores.postgres_pools import directly
from auth_service.events.kinds import DeviceAdded, DevicesRevoked
from auth_service.events.outbox import record
from auth_service.locks import lock_user
from auth_service.mail.outbox import enqueue
from auth_service.mail.texts import MailKind
from auth_service.models import Device, Session, User, new_id
from auth_service.sessions.client import Client
from auth_service.sessions.user_agent import in_words

TRUST = timedelta(days=30)
KEEP_UNSEEN = timedelta(days=180)
MOST_DEVICES = 50

# Every login asks one of them.
_SEE_AGAIN = """
UPDATE devices SET last_seen_at = $3, ip = $4::text::inet, user_agent = $5, name = coalesce(name, $6),
    trusted_until = coalesce($7, trusted_until)
WHERE id = $1 AND user_id = $2 RETURNING id, name, trusted_until
"""
# With the others there were before it, and how many of them look the same.
_ADD = """
WITH added AS (
    INSERT INTO devices (id, user_id, created_at, last_seen_at, ip, user_agent, name, trusted_until, secret_hash)
    VALUES ($1, $2, $3, $3, $4::text::inet, $5, $6, $7, $8)
)
SELECT count(*), count(*) FILTER (WHERE user_agent IS NOT DISTINCT FROM $5 AND ip IS NOT DISTINCT FROM $4::text::inet)
FROM devices WHERE user_id = $2
"""


@dataclass(frozen=True, slots=True)
class Registered:
    """`token` only for a new device: this once, and only a hash of it is kept."""

    id: UUID
    name: str | None
    trusted_until: datetime | None
    token: str | None = None


def is_trusted(trusted_until: datetime | None, now: datetime) -> bool:
    return trusted_until is not None and now < trusted_until


async def find_in(session: AsyncSession, user_id: UUID, device_id: UUID | None) -> Device | None:
    """Locked, so that nobody deletes it meanwhile; None too for a device of somebody else."""
    if device_id is None:
        return None
    device = await session.get(Device, device_id, populate_existing=True, with_for_update=True)
    return device if device is not None and device.user_id == user_id else None


async def register_in(
    resources: Resources, session: AsyncSession, user: User, device_id: UUID | None, client: Client, *, trust: bool
) -> Registered:
    """The device as seen now, or a new one, of which the user is told; call it with the user's row locked."""
    now = resources.clock()
    seen = (user.id, now, client.ip, client.user_agent, client.device_name, now + TRUST if trust else None)
    if device_id is not None:
        async with directly(session) as connection:
            known = await connection.fetchrow(_SEE_AGAIN, device_id, *seen)
        if known is not None:
            return Registered(**known)
    device_id, (secret, secret_hash) = new_id(), new_secret()
    async with directly(session) as connection:
        others, alike = await connection.fetchrow(_ADD, device_id, *seen, secret_hash)
    # Not of the very first one, nor of a program that looks the same and only forgot its token.
    if others and not alike:
        words, ip = str(in_words(client.user_agent)), client.ip or "unknown"
        await enqueue(resources, session, user, MailKind.NEW_DEVICE, device=words, ip=ip)
    await record(resources, session, DeviceAdded(user_id=user.id, device_id=device_id))
    if others >= MOST_DEVICES:
        await _keep_most_recent(resources, session, user.id, device_id)
    return Registered(device_id, client.device_name, seen[-1], write_token(device_id, secret))


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


async def get_device(resources: Resources, user_id: UUID, device_id: UUID) -> Device:
    """Raises NotFound, for one of somebody else too."""
    async with resources.db() as session:
        return _own(await session.get(Device, device_id), user_id)


async def rename(resources: Resources, user_id: UUID, device_id: UUID, name: str) -> Device:
    """Its live sessions have the new name too; the login history keeps the one of its day. Raises NotFound."""
    async with resources.db.begin() as session:
        await lock_user(session, user_id)  # others end sessions before they forget devices
        device = _own(await find_in(session, user_id, device_id), user_id)
        device.name = name
        of_it = (Session.device_id == device_id, Session.revoked_at.is_(None))
        await session.execute(update(Session).where(*of_it).values(device_name=name))
    return device


async def delete_unseen(session: AsyncSession, before: datetime) -> None:
    """Forgets what nobody has logged in from since then."""
    await session.execute(delete(Device).where(Device.last_seen_at < before))


def _own(device: Device | None, user_id: UUID) -> Device:
    if device is None or device.user_id != user_id:
        raise NotFound("You have no such device.")
    return device


async def _keep_most_recent(resources: Resources, session: AsyncSession, user_id: UUID, here: UUID) -> None:
    """With `here`, whatever a clock says."""
    others = select(Device.id).where(Device.user_id == user_id, Device.id != here)
    newest_first = others.order_by(Device.last_seen_at.desc(), Device.id.desc())
    await _revoke(resources, session, user_id, Device.id.in_(newest_first.offset(MOST_DEVICES - 1)))


async def _revoke(resources: Resources, session: AsyncSession, user_id: UUID, *conditions: ColumnElement[bool]) -> None:
    revoked = (await session.scalars(delete(Device).where(*conditions).returning(Device.id))).all()
    if revoked:
        await record(resources, session, DevicesRevoked(user_id=user_id, device_ids=sorted(revoked)))
