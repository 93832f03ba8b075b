"""A letter as RFC 5322 wants it. Pure."""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from uuid import UUID

from auth_service.mail.texts import Letter


def to_message(mail_from: str, letter: Letter, mail_id: UUID, written_at: datetime) -> EmailMessage:
    """The Message-ID is the mail's own: a reader that gets it twice can tell."""
    name, address = parseaddr(mail_from)
    message = EmailMessage()
    message["From"] = Address(name, addr_spec=address)
    username, _, domain = letter.to.rpartition("@")
    message["To"] = Address(username=username, domain=domain)  # unlike addr_spec, takes letters of any script
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(written_at)
    message["Message-ID"] = f"<{mail_id}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(letter.text, cte="quoted-printable")
    return message
