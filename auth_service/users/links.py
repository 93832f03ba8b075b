"""Mails with a link: the token and the letter that carries it, in one step."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.mail.outbox import enqueue, enqueue_nothing, link
from auth_service.mail.texts import MailKind
from auth_service.models import User
from auth_service.users import attempts, mailed_tokens
from auth_service.users.identifiers import canonical_email
from auth_service.users.mailed_tokens import Purpose

MAILBOX_BUDGET, MAILBOX_WINDOW = 20, timedelta(hours=1)
_PAGES = {
    Purpose.RESET_PASSWORD: "reset-password",
    Purpose.VERIFY_EMAIL: "confirm-email",
    Purpose.EMAIL_CHANGE_OLD: "confirm-email",
    Purpose.EMAIL_CHANGE_NEW: "confirm-email",
}


async def may_mail(resources: Resources, email_key: str) -> bool:
    """An atomic step of its own: so many links an hour to an address that somebody named, over all accounts.

    Else new accounts, or one that is deleted and made again, would flood a stranger's mailbox.
    """
    key = attempts.mailbox_key(resources, email_key)
    return await attempts.take(resources, key, limit=MAILBOX_BUDGET, window=MAILBOX_WINDOW)


async def send_link(
    resources: Resources, session: AsyncSession, user: User, purpose: Purpose, *, to: str | None = None, **facts: str
) -> None:
    """To the user's address unless `to` is given. Call it with the user's row locked, or just made.

    Where there is no mail there is no token either.
    """
    if not resources.settings.has_mail:
        return
    address = to or user.email
    token = await mailed_tokens.issue(session, user.id, canonical_email(address)[1], purpose, resources.clock())
    url = link(resources, _PAGES[purpose], token)
    await enqueue(resources, session, user, MailKind(purpose), to=address, link=url, **facts)


async def invite(resources: Resources, session: AsyncSession, user: User) -> None:
    """A link to set the first password, for an account that was just made; flushed with what comes after it, so that
    thousands are not thousands of round trips.
    """
    purpose = Purpose.RESET_PASSWORD
    token = mailed_tokens.issue_first(session, user.id, user.email_key, purpose, resources.clock())
    await enqueue(
        resources, session, user, MailKind(purpose), to=user.email, link=link(resources, _PAGES[purpose], token)
    )


async def send_nothing(resources: Resources, session: AsyncSession, purpose: Purpose) -> None:
    """As much work as `send_link`, for an address that nobody has."""
    await mailed_tokens.issue(session, None, "", purpose, resources.clock())
    await enqueue_nothing(resources, session)
