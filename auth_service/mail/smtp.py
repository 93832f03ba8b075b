"""One connection to SMTP_URL; the only file that knows how it is written."""

from urllib.parse import unquote, urlsplit

from aiosmtplib import SMTP

from auth_service.config import Settings

TIMEOUT_SECONDS = 10


async def open_smtp(settings: Settings) -> SMTP:
    """Connected, encrypted where it can be, logged in; raises SMTPException or OSError.

    In production a password is never sent unencrypted: a server (or somebody before it) that does not offer
    STARTTLS gets nothing.
    """
    assert settings.smtp_url is not None  # noqa: S101  nobody calls it without one
    parts = urlsplit(settings.smtp_url.get_secret_value())
    implicit = parts.scheme == "smtps"
    start_tls = False if implicit else True if parts.username and settings.production else None
    smtp = SMTP(
        hostname=parts.hostname,
        port=parts.port or (465 if implicit else 587 if parts.username else 25),
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        use_tls=implicit,
        start_tls=start_tls,  # None: if it is offered
        timeout=TIMEOUT_SECONDS,
    )
    await smtp.connect()
    return smtp
