"""Lists and ends sessions; what ends here is refused by every worker before the caller is answered."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound
from auth_service.events.kinds import DevicesRevoked, RefreshTokenReused, SessionEnded, SessionsEnded
from auth_service.events.outbox import record
from auth_service.locks import lock_user
from auth_service.models import Session
from auth_service.sessions import devices, repository
from auth_service.sessions.refresh_families import Families

REFRESH_REUSE = "refresh_reuse"


def idle_life(resources: Resources) -> timedelta:
    return timedelta(seconds=resources.settings.session_idle_seconds)


def families(resources: Resources) -> Families:
    return Families(
        resources.redis,
        grace_seconds=resources.settings.refresh_grace_seconds,
        idle_seconds=resources.settings.session_idle_seconds,
    )


async def list_sessions(resources: Resources, user_id: UUID) -> Sequence[Session]:
    """Those that live, the one used last first."""
    async with resources.db() as session:
        return await repository.live_sessions(session, user_id, resources.clock(), idle_life(resources))


async def count_sessions(resources: Resources, user_id: UUID) -> int:
    """Of those of `list_sessions`."""
    return await repository.count_live(resources.hot, user_id, resources.clock(), idle_life(resources))


async def end_own_session(resources: Resources, user_id: UUID, session_id: UUID) -> None:
    """Raises NotFound alike for one that has ended, that never was, and that is somebody else's (SES-2)."""
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        await end_one_in(resources, session, user_id, session_id, "ended_by_user")
    await families(resources).forget([session_id])


async def end_one_in(resources: Resources, session: AsyncSession, user_id: UUID, session_id: UUID, reason: str) -> None:
    """In the caller's transaction, raising as `end_own_session`; the caller is `announcing`."""
    mine = (Session.id == session_id, Session.user_id == user_id)
    ended = await repository.end(session, resources.clock(), reason, *mine)
    if not ended:
        raise NotFound("There is no such session.")
    await record_ended(resources, session, ended, reason)


async def revoke_device(resources: Resources, user_id: UUID, device_id: UUID) -> None:
    """The device is a stranger again, and its sessions end; raises NotFound, also for somebody else's."""
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        await lock_user(session, user_id)  # no login from it may be half-way
        device = await devices.find_in(session, user_id, device_id)
        if device is None:
            raise NotFound("You have no such device.")
        ended = await repository.end(session, resources.clock(), "device_revoked", Session.device_id == device_id)
        await record_ended(resources, session, ended, "device_revoked")
        await session.delete(device)
        await record(resources, session, DevicesRevoked(user_id=user_id, device_ids=[device_id]))
    await _forget_families(resources, ended)


async def end_session(resources: Resources, session_id: UUID, reason: str) -> bool:
    """True if it was live until now; raises a store failure (503) where it is not certain that it has ended on every
    worker, also where it ended before: the one who ended it was perhaps told 503, and asks again.
    """
    async with resources.db.begin() as session:
        ended = await repository.end(session, resources.clock(), reason, Session.id == session_id)
        if reason == REFRESH_REUSE:
            reused = [RefreshTokenReused(user_id=user_id, session_id=session_id) for user_id, session_id in ended]
            await record(resources, session, *reused)
        await record_ended(resources, session, ended, reason)
        owner = await repository.owner_of(session, session_id)
    await resources.denylist.publish_of(owner)
    await _forget_families(resources, ended)
    return bool(ended)


async def end_other_sessions(resources: Resources, user_id: UUID, keep: UUID) -> int:
    """How many were ended."""
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        ended = await end_others_in(resources, session, user_id, keep, "logout_others")
    await _forget_families(resources, ended)
    return len(ended)


async def end_others_in(
    resources: Resources, session: AsyncSession, user_id: UUID, keep: UUID, reason: str, *, forget_devices: bool = False
) -> list[tuple[UUID, UUID]]:
    """(user id, session id) of those ended, in the caller's transaction; the caller is `announcing`."""
    user = await lock_user(session, user_id)
    if user is not None:
        user.credentials_version += 1
    if forget_devices:
        await devices.forget_in(resources, session, user_id, keep_of_session=keep)
    ended = await repository.end(session, resources.clock(), reason, Session.user_id == user_id, Session.id != keep)
    if ended:
        await record(resources, session, SessionsEnded(user_id=user_id, reason=reason, kept_session_id=keep))
    await _record_denials(resources, session, ended)
    return ended


async def end_all_sessions(resources: Resources, user_id: UUID, reason: str) -> None:
    """One raised epoch denies all their access tokens, however many there are (OUT-3)."""
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        await end_all_in(resources, session, user_id, reason)


async def end_all_in(
    resources: Resources, session: AsyncSession, user_id: UUID, reason: str, *, forget_devices: bool = False
) -> None:
    """In the caller's transaction; the caller is `announcing`."""
    user = await lock_user(session, user_id)
    if user is None:
        return
    user.epoch += 1
    user.credentials_version += 1
    if forget_devices:
        await devices.forget_in(resources, session, user_id)
    if await repository.end(session, resources.clock(), reason, Session.user_id == user_id):
        await record(resources, session, SessionsEnded(user_id=user_id, reason=reason, kept_session_id=None))
    await resources.denylist.record(session, [resources.denylist.older_epochs(user_id, user.epoch)])


async def record_ended(
    resources: Resources, session: AsyncSession, ended: Sequence[tuple[UUID, UUID]], reason: str
) -> None:
    """Their denials and an event for each, in the caller's transaction, of (user id, session id) pairs; the caller is
    `announcing`.
    """
    events = [SessionEnded(user_id=user_id, session_id=session_id, reason=reason) for user_id, session_id in ended]
    await record(resources, session, *events)
    await _record_denials(resources, session, ended)


async def _record_denials(resources: Resources, session: AsyncSession, ended: Sequence[tuple[UUID, UUID]]) -> None:
    denials = [resources.denylist.session(user_id, session_id) for user_id, session_id in ended]
    await resources.denylist.record(session, denials)


async def _forget_families(resources: Resources, ended: Sequence[tuple[UUID, UUID]]) -> None:
    await families(resources).forget([session_id for _, session_id in ended])
