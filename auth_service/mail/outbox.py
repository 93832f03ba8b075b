"""The outbox of mails: a row in the transaction of the change it tells of, so that neither is without the other."""

from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import MailNotConfigured
from auth_service.mail.texts import Letter, MailKind, write_letter
from auth_service.models import Mail, User, new_id

NOBODY = "nobody"


async def enqueue(resources: Resources, session: AsyncSession, user: User, kind: MailKind, **facts: str) -> None:
    """In the caller's transaction, to the user's stored address unless `to` is given; sealed, for it may hold a link.

    Without SMTP_URL in production there are no mails.
    """
    settings = resources.settings
    if not settings.has_mail:
        return
    now = resources.clock()
    to = facts.get("to", user.email)
    # Anyone can register www.evil.example with a stranger's address: only a confirmed one is called by its login.
    hello = f"Hello {user.login}" if user.email_verified and to == user.email else "Hello"
    known = {"hello": hello, "base": settings.mail_base, "when": f"at {now:%Y-%m-%d %H:%M} UTC", **facts}
    letter = write_letter(kind, to, known)
    _add(resources, session, user.id, kind, letter)


async def enqueue_nothing(resources: Resources, session: AsyncSession) -> None:
    """As much work as a mail, for an address that nobody has; it is thrown away instead of sent."""
    if resources.settings.has_mail:
        _add(resources, session, None, NOBODY, Letter("", "", ""))


def link(resources: Resources, page: str, token: str) -> str:
    """The token stands in the fragment, which browsers send to no server: no access log holds it."""
    return f"{resources.settings.mail_base}/{page}#token={token}"


def must_have_mail(resources: Resources) -> None:
    """Raises MailNotConfigured; call it before looking at who asks."""
    if not resources.settings.has_mail:
        raise MailNotConfigured


def seal_letter(resources: Resources, mail_id: UUID, letter: Letter) -> bytes:
    return resources.secrets.seal(orjson.dumps([letter.to, letter.subject, letter.text]), bound_to=f"mail:{mail_id}")


def open_letter(resources: Resources, mail: Mail) -> Letter:
    """Raises CannotOpen where it was sealed under a key that is gone."""
    return Letter(*orjson.loads(resources.secrets.unseal(mail.sealed, bound_to=f"mail:{mail.id}")))


async def reseal_all(resources: Resources) -> int:
    """How many unsent mails SECRET_KEY_PREVIOUS opened and SECRET_KEY seals now; raises CannotOpen."""
    async with resources.db.begin() as session:
        waiting = (await session.scalars(select(Mail).where(Mail.sent_at.is_(None)).with_for_update())).all()
        old = [mail for mail in waiting if not resources.secrets.is_current(mail.sealed, bound_to=f"mail:{mail.id}")]
        for mail in old:
            mail.sealed = seal_letter(resources, mail.id, open_letter(resources, mail))
    return len(old)


def _add(resources: Resources, session: AsyncSession, user_id: UUID | None, kind: str, letter: Letter) -> None:
    mail_id, now = new_id(), resources.clock()
    sealed = seal_letter(resources, mail_id, letter)
    session.add(Mail(id=mail_id, user_id=user_id, kind=kind, sealed=sealed, created_at=now, send_at=now))
