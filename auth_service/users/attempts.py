"""Budgets of failures, exact over all workers: counted before the check, cleared by success (LOG-2).

Three kinds of keys: a user's id or a login that nobody has (strangers share it), a device that the user is known
from, and an address range across all accounts.
"""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.http.client_address import rate_limit_bucket
from auth_service.models import LoginAttempts

ADDRESS_WINDOW = timedelta(minutes=15)
KEEP_UNBROKEN = timedelta(days=30)

# No row comes back where the budget is used up; the lock then runs out by itself, `window` after the last try.
# $5: how many since the last success are the most; none: such failures are not counted, and 0 comes back.
_TAKE = """
INSERT INTO login_attempts AS a (key, failures, unbroken, last_at)
VALUES ($1, 1, CASE WHEN $5::bigint IS NULL THEN 0 ELSE 1 END, $2)
ON CONFLICT (key) DO UPDATE SET last_at = $2,
    failures = CASE WHEN a.last_at <= $3 THEN 1 ELSE a.failures + 1 END,
    unbroken = CASE WHEN $5::bigint IS NULL THEN 0 ELSE a.unbroken + 1 END
WHERE (a.failures < $4 OR a.last_at <= $3) AND ($5::bigint IS NULL OR a.unbroken < $5)
RETURNING unbroken
"""

# Here last_at is the window's beginning: behind one address there may be many who each fail now and then.
_TAKE_IN_WINDOW = """
INSERT INTO login_attempts AS a (key, failures, last_at) VALUES ($1, 1, $2)
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN a.last_at <= $3 THEN 1 ELSE a.failures + 1 END,
    last_at = CASE WHEN a.last_at <= $3 THEN $2 ELSE a.last_at END
WHERE a.failures < $4 OR a.last_at <= $3
RETURNING failures
"""

# Nothing is taken of the account where the address has none left. Whatever locks both rows has the address first, so
# that no two wait for each other.
_TAKE_OF_STRANGER = f"""
WITH address AS ({_TAKE_IN_WINDOW}), account AS (
    INSERT INTO login_attempts AS a (key, failures, unbroken, last_at) SELECT $5, 1, 1, $2 FROM address
    ON CONFLICT (key) DO UPDATE SET last_at = $2,
        failures = CASE WHEN a.last_at <= $6 THEN 1 ELSE a.failures + 1 END, unbroken = a.unbroken + 1
    WHERE (a.failures < $7 OR a.last_at <= $6) AND a.unbroken < $8
    RETURNING unbroken
)
SELECT EXISTS (SELECT FROM address) AS address_taken, (SELECT unbroken FROM account) AS unbroken
"""  # noqa: S608  our own words, here and below

_GIVE_BACK = "UPDATE login_attempts SET failures = greatest(failures - 1, 0) WHERE key = $1"

_CLEAR_OF_STRANGER = f"""
WITH address AS ({_GIVE_BACK} RETURNING key), given_back AS (SELECT count(*) FROM address)
DELETE FROM login_attempts USING given_back WHERE key = $2
"""  # noqa: S608


class AddressOutOfTries(Exception):
    """Whichever the accounts were that it failed at; nothing was taken of this one."""


def nobody_key(resources: Resources, identifier: str) -> str:
    """What strangers type may be a password in the wrong field: it is kept only as a keyed hash."""
    mac = resources.secrets.mac(f"nobody:{identifier}".encode())
    return f"nobody:{hashlib.sha256(mac).hexdigest()}"


def mailbox_key(resources: Resources, email_key: str, prefix: str = "mailbox") -> str:
    """A keyed hash too, for known and unknown alike: no other work, and what strangers type is kept nowhere."""
    mac = resources.secrets.mac(f"{prefix}:{email_key}".encode())
    return f"{prefix}:{hashlib.sha256(mac).hexdigest()}"


def device_key(device_id: UUID) -> str:
    return f"device:{device_id}"


def address_key(address: str | None) -> str:
    """One IPv4 address, or one IPv6 /64 (LOG-7)."""
    return f"address:{rate_limit_bucket(address)}"


async def take(resources: Resources, key: str, *, limit: int, window: timedelta) -> bool:
    """An atomic step of its own, which survives the refusal that may follow; False: do not check anything."""
    now = resources.clock()
    return await resources.hot.fetchval(_TAKE, key, now, now - window, limit, None) is not None


async def take_in_a_row(
    resources: Resources, key: str, *, limit: int, window: timedelta, unbroken_limit: int
) -> int | None:
    """As `take`, and bounded since the last success too: how many failures in a row this would make, or None."""
    now = resources.clock()
    taken: int | None = await resources.hot.fetchval(_TAKE, key, now, now - window, limit, unbroken_limit)
    return taken


async def take_of_stranger(
    resources: Resources, key: str, address: str | None, *, limit: int, window: timedelta, unbroken_limit: int
) -> int | None:
    """`take_of_address` and then `take_in_a_row` in one atomic step; raises AddressOutOfTries."""
    now, address_limit = resources.clock(), resources.settings.login_address_failure_limit
    of_address = (address_key(address), now, now - ADDRESS_WINDOW, address_limit)
    row = await resources.hot.fetchrow(_TAKE_OF_STRANGER, *of_address, key, now - window, limit, unbroken_limit)
    if not row["address_taken"]:
        raise AddressOutOfTries
    taken: int | None = row["unbroken"]
    return taken


async def take_of_address(resources: Resources, address: str | None) -> bool:
    """Across all accounts (LOG-7); a success gives its own try back, and no more than that."""
    now, limit = resources.clock(), resources.settings.login_address_failure_limit
    key = address_key(address)
    return await resources.hot.fetchval(_TAKE_IN_WINDOW, key, now, now - ADDRESS_WINDOW, limit) is not None


async def give_back(resources: Resources, key: str) -> None:
    """For a try that was no guess."""
    await resources.hot.execute(_GIVE_BACK, key)


async def clear(resources: Resources, *keys: str) -> None:
    """The whole budget again."""
    await resources.hot.execute("DELETE FROM login_attempts WHERE key = ANY($1)", list(keys))


async def clear_of_stranger(resources: Resources, key: str, address: str | None) -> None:
    """`clear` for the account, and `give_back` for the address, in one atomic step."""
    await resources.hot.execute(_CLEAR_OF_STRANGER, address_key(address), key)


async def clear_in(session: AsyncSession, *keys: str) -> None:
    """As `clear`, in the caller's transaction."""
    await session.execute(delete(LoginAttempts).where(LoginAttempts.key.in_(keys)))


async def break_row(resources: Resources, key: str) -> None:
    """The owner was here: failures are counted anew, but a lock that is on stays on for strangers."""
    await resources.hot.execute("UPDATE login_attempts SET unbroken = 0 WHERE key = $1 AND unbroken > 0", key)


async def forget_user(session: AsyncSession, user_id: UUID) -> None:
    """In the caller's transaction, whatever the prefixes of the keys; reads the whole table, which is small."""
    await session.execute(delete(LoginAttempts).where(LoginAttempts.key.contains(str(user_id))))


async def forget_old(resources: Resources, before: datetime) -> None:
    """Counts that no lock needs any more; failures in a row against a user's account are kept until it succeeds.

    Not those of a user who was deleted while they were counted. What is being counted just now is left for next time:
    waiting for it, with others in hand, could stop both.
    """
    await resources.hot.execute(
        "DELETE FROM login_attempts WHERE key IN (SELECT key FROM login_attempts"
        " WHERE last_at < $1 AND (unbroken = 0 OR (last_at < $2"
        " AND NOT EXISTS (SELECT FROM users WHERE id = CASE WHEN key LIKE '%:%' THEN NULL ELSE key::uuid END)))"
        " FOR UPDATE SKIP LOCKED)",
        before,
        resources.clock() - KEEP_UNBROKEN,
    )
