"""Takes mails out of the outbox and sends them: at least once, by one worker at a time, never in a request."""

import asyncio
import sys
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from sqlalchemy import delete, select, update

from auth_service.core.connections import Resources
from auth_service.core.secrets import CannotOpen
from auth_service.mail.addresses import shown
from auth_service.mail.message import to_message
from auth_service.mail.outbox import NOBODY, open_letter
from auth_service.mail.smtp import open_smtp
from auth_service.mail.texts import Letter
from auth_service.models import Mail

log = structlog.get_logger(__name__)

DELIVERY_SECONDS = 1
# Longer than a try can take: a mail whose worker died is claimed again after it.
CLAIM = timedelta(seconds=60)
TRY_SECONDS = 40
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(hours=24)
KEEP_PRINTED = timedelta(days=1)


async def deliver(resources: Resources) -> None:
    """Everything that is due; returns early where the mail server cannot be reached."""
    settings = resources.settings
    if settings.smtp_url is not None:
        await _send_all(resources)
    elif settings.prints_mails:
        while (mail := await _claim(resources)) is not None:
            await _print(resources, mail)


async def delete_old(resources: Resources) -> None:
    """Printed mails of yesterday, and what no server was there for."""
    now = resources.clock()
    async with resources.db.begin() as session:
        await session.execute(delete(Mail).where(Mail.sent_at < now - KEEP_PRINTED))
        await session.execute(delete(Mail).where(Mail.created_at < now - GIVE_UP_AFTER - LONGEST_PAUSE - CLAIM))


def pause_after(tries: int) -> timedelta:
    """Doubles from a second to a quarter of an hour."""
    return min(FIRST_PAUSE * (1 << min(tries - 1, 20)), LONGEST_PAUSE)


async def _send_all(resources: Resources) -> None:
    smtp: SMTP | None = None
    try:
        while (mail := await _claim(resources)) is not None:
            if mail.kind == NOBODY:
                await _forget(resources, mail)
                continue
            try:
                letter = open_letter(resources, mail)
            except CannotOpen as error:
                await _put_off(resources, mail, error)
                continue
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    smtp = smtp or await open_smtp(resources.settings)
                    await _send(resources, smtp, mail, letter)
            except (SMTPException, OSError) as error:  # TimeoutError is an OSError
                if smtp is None or not _is_refusal_of_this_mail(error):
                    # The others would fail as this one did, each after its timeout.
                    await _put_off(resources, mail, error)
                    return
                log.warning("mail_refused", mail_id=str(mail.id), kind=mail.kind, error=_name(error))
            await _forget(resources, mail)
        if smtp is not None:
            with suppress(SMTPException, OSError):  # the mails are with the server: a rude farewell loses nothing
                await smtp.quit()
    finally:
        if smtp is not None:
            smtp.close()


async def _send(resources: Resources, smtp: SMTP, mail: Mail, letter: Letter) -> None:
    message = to_message(resources.settings.mail_from, letter, mail.id, mail.created_at)
    await smtp.send_message(message, sender=message["From"].addresses[0].addr_spec, recipients=[letter.to])


async def _claim(resources: Resources) -> Mail | None:
    """The mail that is due for longest, for the time of one try; no other worker gets it meanwhile."""
    now = resources.clock()
    due = (
        select(Mail.id)
        .where(Mail.sent_at.is_(None), Mail.send_at <= now)
        .order_by(Mail.send_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = update(Mail).where(Mail.id == due).values(send_at=now + CLAIM, tries=Mail.tries + 1).returning(Mail)
    async with resources.db.begin() as session:
        return (await session.scalars(statement)).one_or_none()


async def _put_off(resources: Resources, mail: Mail, error: Exception) -> None:
    """To be tried again after a pause; after a day it is given up."""
    now = resources.clock()
    if now - mail.created_at >= GIVE_UP_AFTER:
        log.error("mail_given_up", mail_id=str(mail.id), kind=mail.kind, tries=mail.tries, error=_name(error))
        await _forget(resources, mail)
        return
    log.warning("mail_not_sent", mail_id=str(mail.id), kind=mail.kind, tries=mail.tries, error=_name(error))
    await _update(resources, mail, send_at=now + pause_after(mail.tries))


async def _forget(resources: Resources, mail: Mail) -> None:
    async with resources.db.begin() as session:
        await session.execute(delete(Mail).where(Mail.id == mail.id))


async def _print(resources: Resources, mail: Mail) -> None:
    if mail.kind == NOBODY:
        await _forget(resources, mail)
        return
    letter = open_letter(resources, mail)
    await _update(resources, mail, sent_at=resources.clock())
    # Not into the log: it is the only place where a link may be read (AUD-2).
    sys.stdout.write(f"\n--- mail to {shown(letter.to)}: {letter.subject}\n{letter.text}---\n")
    sys.stdout.flush()


async def _update(resources: Resources, mail: Mail, **values: datetime) -> None:
    async with resources.db.begin() as session:
        await session.execute(update(Mail).where(Mail.id == mail.id).values(**values))


def _is_refusal_of_this_mail(error: Exception) -> bool:
    """The server takes mails, but never this one: its address or its content is refused with 5xx."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(refused.code >= 500 for refused in error.recipients)
    if isinstance(error, SMTPRecipientRefused | SMTPDataError):
        return error.code >= 500
    return isinstance(error, SMTPNotSupported)  # an address that is not ASCII, for a server without SMTPUTF8


def _name(error: Exception) -> str:
    """The class and the code: a server's own words may repeat the address (AUD-2)."""
    if isinstance(error, SMTPRecipientsRefused):
        error = error.recipients[0]
    code = f" {error.code}" if isinstance(error, SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"
