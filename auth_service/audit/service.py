"""Reads the audit trail, and finds out whether it is whole (BEY-4)."""

import base64
import binascii
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import structlog
from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.chain import GENESIS, Content, chained
from auth_service.core.connections import Resources
from auth_service.core.errors import ValidationFailed
from auth_service.models import AuditLog

log = structlog.get_logger(__name__)

BATCH = 1000
_FIELDS = [field.name for field in fields(Content)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problem` is None where the chain is whole; else `rows` counts those before the first bad one."""

    rows: int
    head: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """Whoever or whatever a filter means: rows that have one of these ids, or are of one of these kinds."""

    ids: frozenset[str]
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """`since` is inclusive, `until` is not; all that is given must hold. No `actions`: all."""

    actor: Named | None = None
    actions: Collection[str] = ()
    target: Named | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """`next_cursor` is None on the last page."""

    items: Sequence[AuditLog]
    next_cursor: str | None


async def list_entries(resources: Resources, wanted: AuditFilter, *, cursor: str | None, limit: int) -> AuditPage:
    """Newest first. Raises ValidationFailed for a cursor that we did not give."""
    before = None if cursor is None else _read_cursor(cursor)
    async with resources.db() as session:
        rows = await _page(session, wanted, before, limit)
    items = rows[:limit]
    return AuditPage(items, _write_cursor(items[-1].id) if len(rows) > limit else None)


async def find_entry(resources: Resources, row_id: int) -> AuditLog | None:
    async with resources.db() as session:
        return await session.get(AuditLog, row_id)


async def read_head(resources: Resources) -> tuple[int, str]:
    """Id and hash of the newest row; (0, zeros) of an empty trail."""
    async with resources.db() as session:
        statement = select(AuditLog.id, AuditLog.hash).order_by(AuditLog.id.desc()).limit(1)
        row = (await session.execute(statement)).one_or_none()
    return (0, GENESIS.hex()) if row is None else (row.id, row.hash.hex())


async def publish_head(resources: Resources) -> None:
    """Into the log, which the database's owner does not own: `audit verify --expect-head` takes it from there."""
    row, digest = await read_head(resources)
    if row:
        log.info("audit_head", row=row, hash=digest)


async def count_entries(resources: Resources) -> int:
    async with resources.db() as session:
        return int(await session.scalar(select(func.count()).select_from(AuditLog)) or 0)


async def verify(resources: Resources, *, expected_head: str | None, on_progress: Callable[[int], None]) -> Verdict:
    """Computes every hash anew, oldest first, and stops at the first row that is not as it was written.

    `expected_head`: a hash that was kept elsewhere; that row and all before it must still be there.
    `on_progress` gets how many more rows are good.
    """
    last, previous = 0, GENESIS
    expected_seen = expected_head in {None, GENESIS.hex()}
    while batch := await _after(resources, last):
        for row in batch:
            if row.id != last + 1:
                return Verdict(last, previous.hex(), f"row {last + 1} is missing")
            content = Content(**{name: getattr(row, name) for name in _FIELDS})
            digest = chained(previous, content)
            if digest != row.hash:
                problem = f"row {row.id} is not what was written there: altered, moved, or put in"
                return Verdict(last, previous.hex(), problem)
            last, previous = row.id, digest
            expected_seen = expected_seen or digest.hex() == expected_head
        on_progress(len(batch))
    if not expected_seen:
        problem = f"of {last} rows none has the expected hash: newer ones were removed, or all was written anew"
        return Verdict(last, previous.hex(), problem)
    return Verdict(last, previous.hex())


async def _page(session: AsyncSession, wanted: AuditFilter, before: int | None, limit: int) -> Sequence[AuditLog]:
    """`limit` and one more."""
    actor, target = wanted.actor, wanted.target
    statement = select(AuditLog)
    if actor is not None:
        acted = AuditLog.actor_id.in_(actor.ids)
        statement = statement.where(acted | AuditLog.actor_kind.in_(actor.kinds) if actor.kinds else acted)
    if wanted.actions:
        statement = statement.where(AuditLog.action.in_(wanted.actions))
    if target is not None:
        statement = statement.where(AuditLog.target_id.in_(target.ids))
    if wanted.since is not None:
        statement = statement.where(AuditLog.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(AuditLog.at < wanted.until)
    if wanted.since is None and wanted.until is None:
        if before is not None:
            statement = statement.where(AuditLog.id < before)
        return (await session.scalars(statement.order_by(AuditLog.id.desc()).limit(limit + 1))).all()
    # Along the times themselves: by id, all rows outside of them would be read to find those within.
    if before is not None:
        place = select(AuditLog.at).where(AuditLog.id == before).scalar_subquery()
        statement = statement.where(tuple_(AuditLog.at, AuditLog.id) < tuple_(place, before))
    by_time = statement.order_by(AuditLog.at.desc(), AuditLog.id.desc())
    return (await session.scalars(by_time.limit(limit + 1))).all()


async def _after(resources: Resources, row_id: int) -> Sequence[AuditLog]:
    async with resources.db() as session:
        statement = select(AuditLog).where(AuditLog.id > row_id).order_by(AuditLog.id).limit(BATCH)
        return (await session.scalars(statement)).all()


def _write_cursor(row_id: int) -> str:
    return base64.urlsafe_b64encode(row_id.to_bytes(8)).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        raw = base64.b64decode(f"{cursor}=".encode("ascii"), altchars=b"-_", validate=True)
        if len(raw) != 8 or raw[0] > 0x7F:
            raise ValueError
        return int.from_bytes(raw)
    except (ValueError, binascii.Error):
        raise ValidationFailed("cursor is not one that this service gave") from None
