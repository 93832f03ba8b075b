"""Whose mailbox an address is: confirmed after registration, and at both ends before it changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import Conflict, EmailTaken, TooManyRequests, existing
from auth_service.events import kinds
from auth_service.events.outbox import record
from auth_service.locks import lock_user
from auth_service.mail.addresses import shown
from auth_service.mail.outbox import enqueue, must_have_mail
from auth_service.mail.texts import MailKind
from auth_service.models import EmailChange, MailedToken, User
from auth_service.users import attempts, mailed_tokens, repository
from auth_service.users.identifiers import canonical_email
from auth_service.users.links import may_mail, send_link
from auth_service.users.mailed_tokens import EMAIL_CHANGE, LIVES, InvalidMailToken, Purpose
from auth_service.users.service import confirm_password, get_user, lock_confirmed

log = structlog.get_logger(__name__)

BUDGET, BUDGET_WINDOW = 10, timedelta(hours=1)
End = Literal["old", "new"]
_WAITING = """
SELECT email, old_confirmed_at, new_confirmed_at FROM email_changes WHERE user_id = $1 AND expires_at > $2
"""


class EmailVerified(Conflict):
    code, detail = "email_verified", "This e-mail address is confirmed already."


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`verified`: the account has the address, and its mailbox has confirmed it. `waiting_for`: who has not yet."""

    email: str
    verified: bool
    waiting_for: Sequence[End]


async def send_verification(resources: Resources, user_id: UUID) -> None:
    """Once more; older links are void.

    Raises EmailVerified, or TooManyRequests after ten in an hour, or twenty to that mailbox.
    """
    must_have_mail(resources)
    known = await get_user(resources, user_id)
    if known.email_verified:
        raise EmailVerified
    await _take_budget(resources, f"verify-email:{user_id}", known.email_key)
    async with resources.db.begin() as session:
        user = await _locked(session, user_id)
        if not user.email_verified:  # meanwhile, by an older link
            await send_link(resources, session, user, Purpose.VERIFY_EMAIL)


async def confirm(resources: Resources, text: str) -> Confirmation:
    """Of any link that confirms an address; raises InvalidMailToken or, with nothing changed, EmailTaken."""
    now = resources.clock()
    try:
        async with resources.db.begin() as session:
            token = await mailed_tokens.find(session, text, [Purpose.VERIFY_EMAIL, *EMAIL_CHANGE], now)
            user = None if token.user_id is None else await lock_user(session, token.user_id)
            if user is None or not user.is_active:
                raise InvalidMailToken
            await mailed_tokens.use(session, token, now)
            if token.purpose == Purpose.VERIFY_EMAIL:
                return await _verify(resources, session, user, token, now)
            return await _confirm_end(resources, session, user, token, now)
    except IntegrityError as error:
        raise repository.taken(error) from None  # somebody registered it meanwhile


async def ask_for_change(
    resources: Resources, user_id: UUID, session_id: UUID, email: str, current_password: str
) -> Confirmation:
    """Letters to both ends; an address that was never confirmed has no say. Replaces a change that waits.

    Raises WrongPassword, EmailTaken, or TooManyRequests after ten in an hour, or twenty to that mailbox.
    """
    must_have_mail(resources)
    confirmed = await confirm_password(resources, user_id, session_id, current_password)
    address, key = canonical_email(email)
    await _take_budget(resources, f"change-email:{user_id}", key)
    now = resources.clock()
    async with resources.db.begin() as session:
        user = await lock_confirmed(session, confirmed)
        owner = await repository.find_by_key(session, key, is_email=True)
        # One's own in other letters may be another mailbox to its server: both ends confirm that too.
        if owner is not None and (owner.id != user_id or address == user.email):
            raise EmailTaken
        await _forget_change(session, user_id)
        old_needed = user.email_verified_at is not None
        change = EmailChange(
            user_id=user_id,
            email=address,
            email_key=key,
            old_confirmed_at=None if old_needed else now,
            new_confirmed_at=None,
            created_at=now,
            expires_at=now + LIVES[Purpose.EMAIL_CHANGE_NEW],
        )
        session.add(change)
        if old_needed:
            await send_link(resources, session, user, Purpose.EMAIL_CHANGE_OLD, new_email=shown(address))
        await send_link(resources, session, user, Purpose.EMAIL_CHANGE_NEW, to=address)
    return Confirmation(address, False, waiting_for(change))


async def replace_in(resources: Resources, session: AsyncSession, user: User, email: str) -> None:
    """By an admin, in the caller's transaction and with the user's row locked: unconfirmed until the new mailbox
    confirms it. The old one is told, and no link that was sent to it works any more.
    """
    address, key = canonical_email(email)
    await enqueue(resources, session, user, MailKind.EMAIL_CHANGED, to=user.email, new_email=shown(address))
    user.email, user.email_key, user.email_verified_at = address, key, None
    user.updated_at = resources.clock()
    await session.flush()
    await _forget_change(session, user.id)
    await mailed_tokens.void(session, user.id, list(Purpose))
    await record(resources, session, kinds.EmailChanged(user_id=user.id, email=user.email))
    await send_link(resources, session, user, Purpose.VERIFY_EMAIL)


async def cancel_change(resources: Resources, user_id: UUID) -> None:
    """No error where none waits."""
    async with resources.db.begin() as session:
        await _locked(session, user_id)
        await _forget_change(session, user_id)


async def waiting_change(resources: Resources, user_id: UUID) -> Confirmation | None:
    """The change that was asked for and has yet to be confirmed."""
    row = await resources.hot.fetchrow(_WAITING, user_id, resources.clock())
    return None if row is None else Confirmation(row["email"], False, waiting_for(EmailChange(**row)))


def waiting_for(change: EmailChange) -> list[End]:
    ends: list[tuple[End, datetime | None]] = [("old", change.old_confirmed_at), ("new", change.new_confirmed_at)]
    return [end for end, confirmed_at in ends if confirmed_at is None]


async def delete_expired(session: AsyncSession, now: datetime) -> None:
    await session.execute(delete(EmailChange).where(EmailChange.expires_at < now))
    await mailed_tokens.delete_expired(session, now)


async def _verify(
    resources: Resources, session: AsyncSession, user: User, token: MailedToken, now: datetime
) -> Confirmation:
    if user.email_key != token.email_key:
        raise InvalidMailToken
    if user.email_verified_at is None:
        user.email_verified_at = now
        await record(resources, session, kinds.EmailVerified(user_id=user.id))
    return Confirmation(user.email, True, [])


async def _confirm_end(
    resources: Resources, session: AsyncSession, user: User, token: MailedToken, now: datetime
) -> Confirmation:
    change = await session.get(EmailChange, user.id, populate_existing=True)
    if change is None or change.expires_at <= now:
        raise InvalidMailToken
    is_old = token.purpose == Purpose.EMAIL_CHANGE_OLD
    if token.email_key != (user.email_key if is_old else change.email_key):
        raise InvalidMailToken
    if is_old:
        change.old_confirmed_at = now
    else:
        change.new_confirmed_at = now
    if waiting_for(change):
        return Confirmation(change.email, False, waiting_for(change))
    await enqueue(resources, session, user, MailKind.EMAIL_CHANGED, to=user.email, new_email=shown(change.email))
    user.email, user.email_key = change.email, change.email_key
    user.email_verified_at = user.updated_at = now
    await _forget_change(session, user.id)
    await mailed_tokens.void(session, user.id, list(Purpose))  # they were sent to the old address
    await record(resources, session, kinds.EmailChanged(user_id=user.id, email=user.email))
    log.info("email_changed", user_id=str(user.id))
    return Confirmation(user.email, True, [])


async def _forget_change(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(EmailChange).where(EmailChange.user_id == user_id))
    await mailed_tokens.void(session, user_id, EMAIL_CHANGE)


async def _take_budget(resources: Resources, key: str, email_key: str) -> None:
    """Of the account, and of the mailbox that is written to."""
    by_account = await attempts.take(resources, key, limit=BUDGET, window=BUDGET_WINDOW)
    if not (by_account and await may_mail(resources, email_key)):
        raise TooManyRequests(headers={"Retry-After": str(round(BUDGET_WINDOW.total_seconds()))})


async def _locked(session: AsyncSession, user_id: UUID) -> User:
    return existing(await lock_user(session, user_id), "user")
