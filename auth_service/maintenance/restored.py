"""After a restore from a back-up: what was ended since must not be alive again (REL-11)."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import driver_of
from auth_service.events.kinds import SessionsEnded
from auth_service.events.outbox import record
from auth_service.mfa.totp import SECONDS, STEPS_AROUND
from auth_service.models import EmailChange, LoginChallenge, Mail, MailedToken, Session, User
from auth_service.permissions.actor import Actor, who
from auth_service.sessions import repository

BATCH = 500
RESTORED = "restored"

# Counters that the lost time may have raised by any number: past all of it, also after a second restore. Nobody counts
# faster than a thousand a second.
_RAISE_EPOCHS = text(
    "UPDATE users u SET epoch = greatest(u.epoch + 1, :now_ms), credentials_version = u.credentials_version + 1"
    " FROM (SELECT id FROM users WHERE id > :after ORDER BY id LIMIT :most FOR UPDATE) AS batch WHERE u.id = batch.id"
    " RETURNING u.id"
)
_RAISE_POSITIONS = text("SELECT setval('outbox_position', greatest(nextval('outbox_position'), :now_ms))")
_USE_UP_CODES = text("UPDATE mfa_totp SET last_step = greatest(last_step, :newest)")
_TRUST_NO_DEVICE = text("UPDATE devices SET trusted_until = NULL WHERE trusted_until IS NOT NULL")


async def end_all(
    resources: Resources, caller: Principal | Actor, on_progress: Callable[[int], None]
) -> tuple[int, str]:
    """How many users had sessions, and the new signing key. It may be run again, and must be if it was cut off.

    Every session ends and every access token is refused, those of services too; `on_progress` gets how many more
    users are done.
    """
    await resources.keys.load()  # says so first if SECRET_KEY is not that of the back-up
    with_sessions, after = 0, UUID(int=0)
    while True:
        async with resources.db.begin() as session:
            ids = await _raise_epochs(session, after, resources.clock())
            ended = await repository.end(session, resources.clock(), RESTORED, Session.user_id.in_(ids))
            users = {user_id for user_id, _ in ended}
            events = [SessionsEnded(user_id=user_id, reason=RESTORED, kept_session_id=None) for user_id in users]
            await record(resources, session, *events)
        if not ids:
            break
        with_sessions, after = with_sessions + len(users), ids[-1]
        on_progress(len(ids))
    kid = await _end_the_rest(resources, caller, with_sessions)
    await resources.keys.load()
    return with_sessions, kid


async def count_users(session: AsyncSession) -> int:
    return int(await session.scalar(select(func.count()).select_from(User)) or 0)


async def _raise_epochs(session: AsyncSession, after: UUID, now: datetime) -> list[UUID]:
    values = {"after": after, "most": BATCH, "now_ms": _milliseconds(now)}
    return sorted((await session.scalars(_RAISE_EPOCHS, values)).all())


async def _end_the_rest(resources: Resources, caller: Principal | Actor, with_sessions: int) -> str:
    """What is single use may have been used since; a key that was retired since may have leaked."""
    async with resources.db.begin() as session:
        now = resources.clock()
        for single_use in (LoginChallenge, MailedToken, EmailChange):
            await session.execute(delete(single_use))
        await session.execute(delete(Mail).where(Mail.sent_at.is_(None)))
        await session.execute(_TRUST_NO_DEVICE)
        newest = int(now.timestamp()) // SECONDS + max(STEPS_AROUND)
        await session.execute(_USE_UP_CODES, {"newest": newest})
        await session.execute(_RAISE_POSITIONS, {"now_ms": _milliseconds(now)})
        kid = await resources.keys.replace_in(await driver_of(session))
        write_act(
            session,
            who(caller),
            Action.DATABASE_RESTORED,
            Target("database", None),
            at=now,
            after={"users_logged_out": with_sessions, "signing_key": kid},
        )
    return kid


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
