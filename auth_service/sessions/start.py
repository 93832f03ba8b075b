"""Starts sessions: a row, its device, its history entry and the cap in one step, and then its tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidCredentials, Unauthenticated
from auth_service.events.kinds import SessionStarted
from auth_service.events.outbox import record
from auth_service.locks import lock_user
from auth_service.models import Session, new_id
from auth_service.sessions import devices, repository, session_cap
from auth_service.sessions.client import Client
from auth_service.sessions.refresh_token import write_refresh_token
from auth_service.sessions.service import families, idle_life, record_ended


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """`expires_in`: seconds the access token lives. `device_token` only at a device's first login, where it has to be
    kept; `ended_sessions` (at a login): how many others had to end for this one.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    session_id: UUID
    device_token: str | None = None
    ended_sessions: int | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What a login rests on.

    `credentials_version` as it was before the check; `device_id` of a recognised device; `second_factor`: a code was
    shown; `by_trust`: none had to be, because the device is trusted.
    """

    credentials_version: int
    device_id: UUID | None = None
    second_factor: bool = False
    by_trust: bool = False
    trust_device: bool = False


async def start_session(resources: Resources, user_id: UUID, client: Client, proof: Proof) -> IssuedTokens:
    """Raises InvalidCredentials if, since the proof was looked at, the user was disabled, changed the password, or
    took the trust from the device that the proof rests on.
    """
    await resources.keys.look_again()
    async with resources.db.begin() as session:
        user = await lock_user(session, user_id)
        now = resources.clock()  # of one's turn, so that the last to start is the newest (SES-1)
        if user is None or not user.is_active or user.credentials_version != proof.credentials_version:
            raise InvalidCredentials
        device = await devices.register_in(resources, session, user, proof.device_id, client, trust=proof.trust_device)
        if proof.by_trust and not devices.is_trusted(device.trusted_until, now):
            raise InvalidCredentials
        row = session_cap.NewSession(
            id=new_id(),
            user_id=user_id,
            now=now,
            device_id=device.id,
            device_name=device.name,  # the owner's, if they gave it one
            user_agent=client.user_agent,
            ip=client.ip,
            second_factor_at=now if proof.second_factor else None,
            expires_at=now + timedelta(seconds=resources.settings.session_absolute_seconds),
        )
        surplus = await session_cap.insert(resources, session, row)
        ended = await repository.end(session, now, "session_limit", Session.id.in_(surplus)) if surplus else []
        await record_ended(resources, session, ended, "session_limit")
        await record(resources, session, SessionStarted(user_id=user_id, session_id=row.id, device_id=device.id))
        # Before the commit: with Redis down a login that answers 503 leaves no session and ends no other one.
        await families(resources).restore(row.id, 0, 0)
    if ended:  # a try before, that was answered 503, is a session too, so this one ends another
        await resources.denylist.publish_of(user_id)
    return issue_tokens(
        resources,
        user_id=user_id,
        epoch=user.epoch,
        session_id=row.id,
        generation=0,
        device_token=device.token,
        ended_sessions=len(ended),
    )


async def replace_session(resources: Resources, user_id: UUID, session_id: UUID, proof: Proof) -> IssuedTokens:
    """The same session under a new id, with what was shown just now: whoever had stolen the old one is out (LOG-9).

    Its absolute life does not grow. Raises Unauthenticated if it has ended, or what the proof rests on has changed.
    """
    await resources.keys.look_again()
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        user = await lock_user(session, user_id)
        now = resources.clock()
        old = await repository.find_own(session, user_id, session_id, now, idle_life(resources))
        if user is None or old is None or user.credentials_version != proof.credentials_version:
            raise Unauthenticated
        ended = await repository.end(session, now, "step_up", Session.id == session_id)
        if not ended:
            raise Unauthenticated  # by a logout since it was read: that does not wait for the user's row (REF-5)
        row = _successor(old, now, second_factor=proof.second_factor)
        session.add(row)
        await session.flush()
        await record_ended(resources, session, ended, "step_up")
        await record(resources, session, SessionStarted(user_id=user_id, session_id=row.id, device_id=row.device_id))
        await families(resources).restore(row.id, 0, 0)
    return issue_tokens(resources, user_id=user_id, epoch=user.epoch, session_id=row.id, generation=0)


def issue_tokens(
    resources: Resources,
    *,
    user_id: UUID,
    epoch: int,
    session_id: UUID,
    generation: int,
    device_token: str | None = None,
    ended_sessions: int | None = None,
) -> IssuedTokens:
    """A fresh access token, and the one refresh token that this generation of the session has."""
    access = resources.keys.mint(subject=user_id, kind="user", session_id=session_id, epoch=epoch)
    refresh = write_refresh_token(resources.secrets, session_id, generation)
    life = resources.settings.access_token_seconds
    return IssuedTokens(access, refresh, life, session_id, device_token, ended_sessions)


def _successor(old: Session, now: datetime, *, second_factor: bool) -> Session:
    return Session(
        user_id=old.user_id,
        device_id=old.device_id,
        device_name=old.device_name,
        user_agent=old.user_agent,
        ip=old.ip,
        authenticated_at=now,
        second_factor_at=now if second_factor else old.second_factor_at,
        created_at=old.created_at,
        last_seen_at=now,
        rotated_at=now,
        expires_at=old.expires_at,
    )
