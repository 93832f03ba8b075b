"""What every way to set a new password has in common."""

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import ValidationFailed
from auth_service.core.passwords.hashing import check_context
from auth_service.events.kinds import PasswordChanged
from auth_service.events.outbox import record
from auth_service.mail.outbox import enqueue
from auth_service.mail.texts import MailKind
from auth_service.models import EmailChange, User
from auth_service.users.mailed_tokens import EMAIL_CHANGE, Purpose, void


def refuse_known_words(resources: Resources, password: str, *, login: str, email: str, field: str) -> None:
    """Raises ValidationFailed for the named field (PWD-3); the rules that need no user are `check_rules`."""
    words = (login, email.rpartition("@")[0], resources.settings.issuer_name)
    try:
        check_context(password, words)
    except ValueError as error:
        raise ValidationFailed(str(error), field=f"body.{field}") from None


async def replace_password(resources: Resources, session: AsyncSession, user: User, hashed: str, *, how: str) -> None:
    """In the transaction that ends sessions, with the user's row locked; tells the user (PWD-7).

    What the former password asked for by mail is void: a thief who is locked out must not have the last word.
    """
    user.password_hash = hashed
    user.updated_at = resources.clock()
    await void_what_waits(session, user)
    await enqueue(resources, session, user, MailKind.PASSWORD_CHANGED)
    await record(resources, session, PasswordChanged(user_id=user.id, how=how))


async def void_what_waits(session: AsyncSession, user: User) -> None:
    """A link to a new password, and a change of the address."""
    await void(session, user.id, [Purpose.RESET_PASSWORD, *EMAIL_CHANGE])
    await session.execute(delete(EmailChange).where(EmailChange.user_id == user.id))
