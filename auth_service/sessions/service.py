"""Starts and ends sessions; what ends here is refused by every worker before the caller is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.denylist import Denial
from auth_service.core.errors import InvalidCredentials
from auth_service.models import LoginHistory, Session
from auth_service.sessions import repository
from auth_service.sessions.families import Families
from auth_service.sessions.refresh_token import write_refresh_token

MAX_USER_AGENT = 400


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, for the session's row and the history."""

    ip: str | None
    user_agent: str | None
    device_name: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """`expires_in`: seconds the access token lives."""

    access_token: str
    refresh_token: str
    expires_in: int
    session_id: UUID


def idle_life(resources: Resources) -> timedelta:
    return timedelta(seconds=resources.settings.session_idle_seconds)


def families(resources: Resources) -> Families:
    return Families(
        resources.redis,
        grace_seconds=resources.settings.refresh_grace_seconds,
        idle_seconds=resources.settings.session_idle_seconds,
    )


async def start_session(
    resources: Resources, user_id: UUID, client: Client, *, credentials_version: int
) -> IssuedTokens:
    """A row, its history entry and the cap in one step.

    Raises InvalidCredentials if, since `credentials_version` was read, the user was disabled or changed the password.
    """
    now = resources.clock()
    settings = resources.settings
    async with resources.db.begin() as session:
        user = await repository.lock_user(session, user_id)
        if user is None or not user.is_active or user.credentials_version != credentials_version:
            raise InvalidCredentials
        row = Session(
            user_id=user_id,
            device_name=client.device_name,
            user_agent=client.user_agent,
            ip=client.ip,
            created_at=now,
            last_seen_at=now,
            rotated_at=now,
            expires_at=now + timedelta(seconds=settings.session_absolute_seconds),
        )
        session.add(row)
        await session.flush()
        surplus = await repository.beyond_limit(session, user_id, now, idle_life(resources), settings.session_limit)
        ended = await repository.end(session, now, "session_limit", Session.id.in_(surplus)) if surplus else []
        denials = await _record_denials(resources, session, ended)
        session.add(
            LoginHistory(
                login_at=now,
                user_id=user_id,
                succeeded=True,
                session_id=row.id,
                device_name=client.device_name,
                user_agent=client.user_agent,
                ip=client.ip,
            )
        )
        # Before the commit: with Redis down a login that answers 503 leaves no session and ends no other one.
        await families(resources).restore(row.id, 0, 0)
    await resources.denylist.publish(denials)
    return issue_tokens(resources, user_id=user_id, epoch=user.epoch, session_id=row.id, generation=0)


def issue_tokens(resources: Resources, *, user_id: UUID, epoch: int, session_id: UUID, generation: int) -> IssuedTokens:
    """A fresh access token, and the one refresh token that this generation of the session has."""
    access = resources.keys.mint(subject=user_id, kind="user", session_id=session_id, epoch=epoch)
    refresh = write_refresh_token(resources.secrets, session_id, generation)
    return IssuedTokens(access, refresh, resources.settings.access_token_seconds, session_id)


async def end_session(resources: Resources, session_id: UUID, reason: str) -> bool:
    """True if it was live until now; raises a store failure (503) where that is not certain to hold."""
    async with resources.db.begin() as session:
        ended = await repository.end(session, resources.clock(), reason, Session.id == session_id)
        denials = await _record_denials(resources, session, ended)
    await _announce(resources, denials, ended)
    return bool(ended)


async def end_other_sessions(resources: Resources, user_id: UUID, keep: UUID) -> int:
    """How many were ended."""
    async with resources.db.begin() as session:
        ended, denials = await end_others_in(resources, session, user_id, keep, "logout_others")
    await _announce(resources, denials, ended)
    return len(ended)


async def end_others_in(
    resources: Resources, session: AsyncSession, user_id: UUID, keep: UUID, reason: str
) -> tuple[list[tuple[UUID, UUID]], list[Denial]]:
    """In the caller's transaction; the caller publishes the denials after it."""
    user = await repository.lock_user(session, user_id)
    if user is not None:
        user.credentials_version += 1
    ended = await repository.end(session, resources.clock(), reason, Session.user_id == user_id, Session.id != keep)
    return ended, await _record_denials(resources, session, ended)


async def end_all_sessions(resources: Resources, user_id: UUID, reason: str) -> None:
    """One raised epoch denies all their access tokens, however many there are (OUT-3)."""
    async with resources.db.begin() as session:
        denials = await end_all_in(resources, session, user_id, reason)
    await resources.denylist.publish(denials)


async def end_all_in(resources: Resources, session: AsyncSession, user_id: UUID, reason: str) -> list[Denial]:
    """In the caller's transaction; the caller publishes the denials after it."""
    user = await repository.lock_user(session, user_id)
    if user is None:
        return []
    user.epoch += 1
    user.credentials_version += 1
    await repository.end(session, resources.clock(), reason, Session.user_id == user_id)
    denials = [resources.denylist.older_epochs(user_id, user.epoch)]
    await resources.denylist.record(session, denials)
    return denials


async def _record_denials(
    resources: Resources, session: AsyncSession, ended: Sequence[tuple[UUID, UUID]]
) -> list[Denial]:
    denials = [resources.denylist.session(user_id, session_id) for user_id, session_id in ended]
    await resources.denylist.record(session, denials)
    return denials


async def _announce(resources: Resources, denials: Sequence[Denial], ended: Sequence[tuple[UUID, UUID]]) -> None:
    await resources.denylist.publish(denials)
    await families(resources).forget([session_id for _, session_id in ended])
