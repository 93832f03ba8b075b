"""Writes the audit trail, in the transaction of the act: neither is without the other (AUD-4)."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict

import orjson
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from auth_service.audit.chain import GENESIS, Content, chained, values_of
from auth_service.core.http.call import current_call, note_change
from auth_service.core.turns import IN_A_TURN
from auth_service.locks import HOLD_IN_SESSION, Advisory
from auth_service.models import AuditLog

_PENDING = "audit entries"
# By the driver: row by row through SQLAlchemy an act on many took four times as long.
_INSERT = """
INSERT INTO audit_log (id, at, actor_kind, actor_id, action, target_kind, target_id, before, after, reason, request_id,
    client_address, hash)
SELECT id, at, actor_kind, actor_id, action, target_kind, target_id, before::jsonb, after::jsonb, reason, request_id,
    client_address, hash
FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[])
    AS row (id, at, actor_kind, actor_id, action, target_kind, target_id, before, after, reason, request_id,
        client_address, hash)
"""


class Action(StrEnum):
    """Stable codes; docs/admin.md says what each is."""

    ROLE_CREATED = "role.created"
    ROLE_UPDATED = "role.updated"
    ROLE_DELETED = "role.deleted"
    ROLE_GRANTED = "role.granted"
    ROLE_REVOKED = "role.revoked"
    GRANT_JOB_CREATED = "grant_job.created"
    GRANT_JOB_CANCELLED = "grant_job.cancelled"
    PERMISSION_CREATED = "permission.created"
    PERMISSION_UPDATED = "permission.updated"
    PERMISSION_DELETED = "permission.deleted"
    SERVICE_CREATED = "service.created"
    SERVICE_SECRET_ADDED = "service.secret_added"  # noqa: S105
    SERVICE_DELETED = "service.deleted"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_DELETED = "webhook.deleted"
    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    USERS_IMPORTED = "users.imported"
    USER_UNLOCKED = "user.unlocked"
    USER_LOGGED_OUT = "user.logged_out"
    SESSION_ENDED = "session.ended"
    MFA_RESET = "user.mfa_reset"
    PASSWORD_SET = "user.password_set"  # noqa: S105
    PASSWORD_RESET_SENT = "user.password_reset_sent"  # noqa: S105
    KEY_ROTATED = "key.rotated"
    KEY_RETIRED = "key.retired"
    SECRETS_RESEALED = "secrets.resealed"
    DATABASE_RESTORED = "database.restored"


@dataclass(frozen=True, slots=True)
class Who:
    """`kind`: user, service, operator (at the command line; `id` is the name that the system knows them by), or system:
    the service itself, where what it does by itself is as far-reaching as an admin's act.
    """

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Target:
    """`kind`: user, role, grant_job, permission, service, webhook, key, database. `id` is None for many at once."""

    kind: str
    id: str | None


@dataclass(frozen=True, slots=True)
class _Entry:
    at: datetime
    who: Who
    action: Action
    target: Target
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None


def operator() -> Who:
    """By the process' user, not by variables of its environment, which anybody sets."""
    number = os.getuid()
    try:
        return Who("operator", pwd.getpwuid(number).pw_name)
    except KeyError:
        return Who("operator", str(number))  # as in a container


def write_act(
    session: AsyncSession,
    who: Who,
    action: Action,
    target: Target,
    *,
    at: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """One row, written as the last thing before the caller's commit.

    `before` and `after`: what changed. Nothing secret, and nothing that names a person but by id: rows stay when a
    user is erased.
    """
    write_act_on_many(session, who, action, {target: before}, at=at, after=after, reason=reason)


def write_act_on_many(
    session: AsyncSession,
    who: Who,
    action: Action,
    targets: Mapping[Target, Mapping[str, Any] | None],
    *,
    at: datetime,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """As `write_act` for each of `targets`, with what was there before. Where there are many, memory is full of what
    waits for the commit: `after` is one object for all.
    """
    note_change()
    pending = session.info.setdefault(_PENDING, [])
    if not pending:
        event.listen(session.sync_session, "before_commit", _append)
    then = _plain(after)
    pending += (_Entry(at, who, action, target, _plain(before), then, reason) for target, before in targets.items())


class Difference(TypedDict):
    before: dict[str, Any]
    after: dict[str, Any]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """`before` and `after` for `write_act`, with what is not the same in both."""
    changed = [name for name in after if name not in before or before[name] != after[name]]
    return {
        "before": {name: before[name] for name in changed if name in before},
        "after": {name: after[name] for name in changed},
    }


def _append(session: Session) -> None:
    entries: list[_Entry] = session.info.pop(_PENDING, [])
    if not entries:
        return
    session.flush()
    # One after another, so that each row has one predecessor. Last of all locks, and as late as can be: it is held
    # for two statements, or some more of an act on many, and the commit.
    session.execute(HOLD_IN_SESSION, {"key": Advisory.AUDIT_CHAIN})
    newest = select(AuditLog.id, AuditLog.hash).order_by(AuditLog.id.desc()).limit(1)
    head = session.execute(newest).one_or_none()
    row_id, previous = (0, GENESIS) if head is None else (head.id, head.hash)
    for start in range(0, len(entries), IN_A_TURN):
        rows = []
        for entry in entries[start : start + IN_A_TURN]:
            row_id += 1
            content = _content(row_id, entry)
            previous = chained(previous, content)
            values = values_of(content) | {"before": _json(content.before), "after": _json(content.after)}
            rows.append((*values.values(), previous))
        session.connection().exec_driver_sql(_INSERT, tuple(list(column) for column in zip(*rows, strict=True)))


def _content(row_id: int, entry: _Entry) -> Content:
    call = current_call()
    return Content(
        id=row_id,
        at=entry.at,
        actor_kind=entry.who.kind,
        actor_id=entry.who.id,
        action=entry.action,
        target_kind=entry.target.kind,
        target_id=entry.target.id,
        before=entry.before,
        after=entry.after,
        reason=entry.reason,
        request_id=call.request_id,
        client_address=call.client_address,
    )


def _json(facts: dict[str, Any] | None) -> str | None:
    return None if facts is None else orjson.dumps(facts).decode()


def _plain(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if facts is None else {name: _json_value(value) for name, value in facts.items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return sorted(value) if isinstance(value, set | frozenset | list | tuple) else value
