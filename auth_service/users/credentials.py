"""Checks passwords within budgets of failures that every route shares (LOG-2, LOG-5).

Strangers share one budget for each account, and one for each address range; a device that the user is known from
has its own, so that nobody can lock the owner out (LOG-4).
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import update

from auth_service.core.connections import Resources
from auth_service.core.errors import TooManyRequests
from auth_service.events.kinds import AccountClosedToStrangers
from auth_service.events.outbox import record, record_nothing
from auth_service.locks import lock_user
from auth_service.mail.outbox import enqueue, enqueue_nothing
from auth_service.mail.texts import MailKind
from auth_service.models import User
from auth_service.users import attempts

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """The last three are one and the same to the client (LOG-1)."""

    RIGHT = "right"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105
    LOCKED = "locked"
    INACTIVE = "inactive"


class TooManyFailures(TooManyRequests):
    """Says nothing of any account: it is the address that has failed too often, at whichever accounts."""

    code, detail = "too_many_failures", "Too many failed logins from this address; try again later."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(int(attempts.ADDRESS_WINDOW.total_seconds()))})


class HasPassword(Protocol):
    """What is known of a user whose password is checked."""

    @property
    def id(self) -> UUID: ...

    @property
    def password_hash(self) -> str: ...

    @property
    def is_active(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Who tries: a device that the user is known from, or else a stranger at an address."""

    address: str | None
    device_id: UUID | None = None


async def verify_password(
    resources: Resources, user: HasPassword | None, identifier: str, password: str, origin: Origin
) -> Outcome:
    """The same work for a user and for nobody: one try, one hash. An old hash is replaced after a match (PWD-5).

    Raises TooManyFailures for strangers whose address has used up its tries.
    """
    account = str(user.id) if user is not None else attempts.nobody_key(resources, identifier)
    known = user is not None and origin.device_id is not None
    key = attempts.device_key(origin.device_id) if known and origin.device_id else account
    async with resources.hasher.slot(first=known) as slot:
        # Counted in the turn at the core: parallel right passwords never hold more tries than there are cores (LOG-6).
        failures = await _take(resources, key, known, origin.address)
        if failures is None:
            await slot.verify_nobody(password)
            return Outcome.LOCKED
        closes = failures == resources.settings.login_total_failure_limit and not known
        if user is None:
            await slot.verify_nobody(password)
            if closes:
                await _tell_nobody(resources)
            return Outcome.WRONG_PASSWORD
        matches, upgraded = await slot.verify(password, user.password_hash)
        if not matches:
            if closes:
                await _tell_owner(resources, user.id)
            return Outcome.WRONG_PASSWORD
        if not user.is_active:
            return Outcome.INACTIVE
        # Still in the turn: a try that was right is given back before the next one is taken.
        if known:
            await attempts.clear(resources, key)
            await attempts.break_row(resources, account)
        else:
            await attempts.clear_of_stranger(resources, key, origin.address)
    if upgraded is not None:
        await _replace_hash(resources, user.id, user.password_hash, upgraded)
    return Outcome.RIGHT


async def take_of_address(resources: Resources, address: str | None) -> None:
    """Raises TooManyFailures."""
    if not await attempts.take_of_address(resources, address):
        raise _refused(address)


async def _take(resources: Resources, key: str, known: bool, address: str | None) -> int | None:
    """How many failures in a row this would make; None: locked. Raises TooManyFailures."""
    settings = resources.settings
    window = timedelta(seconds=settings.login_lock_seconds)
    limit, unbroken_limit = settings.login_failure_limit, settings.login_total_failure_limit
    if known:
        return await attempts.take_in_a_row(resources, key, limit=limit, window=window, unbroken_limit=unbroken_limit)
    try:
        return await attempts.take_of_stranger(
            resources, key, address, limit=limit, window=window, unbroken_limit=unbroken_limit
        )
    except attempts.AddressOutOfTries:
        raise _refused(address) from None


def _refused(address: str | None) -> TooManyFailures:
    log.warning("address_out_of_tries", address=attempts.address_key(address), see="TRUSTED_PROXIES, if it is a proxy")
    return TooManyFailures()


async def _tell_owner(resources: Resources, user_id: UUID) -> None:
    log.warning("account_closed_to_strangers", user_id=str(user_id))
    async with resources.db.begin() as session:
        owner = await lock_user(session, user_id)  # None: deleted during the hash
        if owner is not None:
            await enqueue(resources, session, owner, MailKind.MANY_FAILURES)
            await record(resources, session, AccountClosedToStrangers(user_id=owner.id))


async def _tell_nobody(resources: Resources) -> None:
    """The same work for a login that nobody has (LOG-1)."""
    async with resources.db.begin() as session:
        await enqueue_nothing(resources, session)
        await record_nothing(session)


async def _replace_hash(resources: Resources, user_id: UUID, old: str, new: str) -> None:
    async with resources.db.begin() as session:
        # Only if nobody changed the password meanwhile.
        await session.execute(
            update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new)
        )
