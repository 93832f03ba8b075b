"""Every lock that one act holds against another: the advisory ones with their numbers, a user's row, and their order.

Whatever takes several takes them in this order, so that no two acts wait for each other:

1. ACCESS_RULES
2. a user's row (`lock_user`)
3. rows that belong to the user or the act: devices, codes, mails, webhook endpoints, single-use tokens, grant jobs
4. SIGNING_KEYS
5. AUDIT_CHAIN, which audit.trail takes right before the commit

The others stand alone. EVENT_POSITIONS, DENYLIST_REBUILD and WIDE_EFFECTS have transactions of their own; MIGRATIONS,
HISTORY_PARTITIONS, EVENT_BUCKETS and the locks of webhooks and grant jobs belong to a connection, so that Postgres
gives them back when their holder dies. Row locks that a single statement takes and gives back are not listed here.
"""

from enum import IntEnum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.models import User


class Advisory(IntEnum):
    """Numbers are for ever: workers of two versions run side by side and must mean the same lock."""

    ACCESS_RULES = 0x61636373  # "accs"
    AUDIT_CHAIN = 0x61756474  # "audt"
    DENYLIST_REBUILD = 0x64656E79  # "deny"
    EVENT_BUCKETS = 0x6F757462  # "outb"; the second number is the bucket
    EVENT_POSITIONS = 0x706F7369  # "posi"
    HISTORY_PARTITIONS = 0x70617274  # "part"
    MIGRATIONS = 0x6D696772  # "migr"
    SIGNING_KEYS = 0x6B657973  # "keys"
    WIDE_EFFECTS = 0x77696465  # "wide"; the second number is the place


class Executes(Protocol):
    """asyncpg's connection, or one that its pool lends."""

    async def execute(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...


# :key the number; for SQLAlchemy's sessions, until their transaction ends.
HOLD_IN_SESSION = text("SELECT pg_advisory_xact_lock(:key)")
TRY_MIGRATIONS = text(f"SELECT pg_try_advisory_lock({Advisory.MIGRATIONS:d})")
# $1 EVENT_BUCKETS, $2 how many there are: the free ones, now the connection's own.
TAKE_FREE_BUCKETS = "SELECT bucket FROM generate_series(0, $2 - 1) AS bucket WHERE pg_try_advisory_lock($1, bucket)"
# $1 WIDE_EFFECTS, $2 how many places there are: whether one was free, until the transaction ends.
TRY_PLACE = "SELECT EXISTS (SELECT FROM generate_series(1, $2::int) AS n WHERE pg_try_advisory_xact_lock($1, n))"
# $1 the id of the endpoint.
TRY_WEBHOOK = "SELECT pg_try_advisory_lock(hashtextextended('webhook:' || $1::uuid::text, 0))"
GIVE_WEBHOOK_BACK = "SELECT pg_advisory_unlock(hashtextextended('webhook:' || $1::uuid::text, 0))"
# $1 the id of the job.
TRY_GRANT_JOB = "SELECT pg_try_advisory_lock(hashtextextended('grant job:' || $1::uuid::text, 0))"


async def lock_access_rules(session: AsyncSession) -> None:
    """Until the transaction ends nobody else changes roles, grants, the catalogue or who is active (RBAC-2)."""
    await session.execute(HOLD_IN_SESSION, {"key": Advisory.ACCESS_RULES})


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    """Holds the user's row: sessions start and end one at a time for each user (SES-1)."""
    statement = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    return (await session.scalars(statement)).one_or_none()


async def hold(connection: Executes, lock: Advisory) -> None:
    """Until the connection's transaction ends. Waits."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)


async def take(connection: Executes, lock: Advisory) -> None:
    """Until the connection closes or gives it back. Waits."""
    await connection.execute("SELECT pg_advisory_lock($1)", lock)


async def try_take(connection: Executes, lock: Advisory) -> bool:
    """As `take`, but False at once where somebody else has it."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock))
