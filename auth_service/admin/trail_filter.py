"""The audit trail as somebody asks for it: by names, which become what its rows have, and with names beside ids.

A row names people and services by id alone, and stays when they are gone. So a name stands for whoever has it now, an
id also for who had it. What nobody and nothing has is NotFound: an empty list would look like an answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, exists, or_, select

from auth_service.audit.schemas import AuditAnswer, AuditEntry, AuditQuery
from auth_service.audit.service import AuditFilter, Named, find_entry, list_entries
from auth_service.audit.words import differences
from auth_service.core.connections import Resources
from auth_service.core.errors import NotFound, existing
from auth_service.core.ids import read_id
from auth_service.core.principal import Principal
from auth_service.events.positions import is_known
from auth_service.models import AuditLog, Permission, Role, ServiceAccount, SigningKey, WebhookEndpoint
from auth_service.permissions.checks import holds
from auth_service.permissions.repository import logins_of
from auth_service.permissions.why import READ_USERS
from auth_service.service_accounts.repository import find_by_name
from auth_service.users.naming import find_named, may_name

KINDS = frozenset({"operator", "system"})  # actors that may be named by what they are


async def read_trail(resources: Resources, query: AuditQuery, caller: Principal | None = None) -> AuditAnswer:
    """Without a caller: for the operator. Raises NotFound for a name that nobody and nothing has, PermissionDenied for
    an address that the caller may not ask for, ValidationFailed for a cursor that we did not give.
    """
    for name in (query.actor, query.target):
        if name is not None and caller is not None:
            await may_name(resources, caller, name)
    actor = None if query.actor is None else await _actor(resources, query.actor)
    target = None if query.target is None else await _target(resources, query.target)
    wanted = AuditFilter(actor, query.actions, target, query.since, query.until)
    page = await list_entries(resources, wanted, cursor=query.cursor, limit=query.limit)
    return AuditAnswer(items=await _entries(resources, page.items, caller), next_cursor=page.next_cursor)


async def read_row(resources: Resources, row_id: int, caller: Principal) -> AuditEntry:
    """Raises NotFound."""
    row = existing(await find_entry(resources, row_id), "row of the audit trail")
    (entry,) = await _entries(resources, [row], caller)
    return entry


async def _entries(resources: Resources, rows: Sequence[AuditLog], caller: Principal | None) -> list[AuditEntry]:
    names: dict[UUID, str] = {}
    if caller is None or await holds(resources, caller, READ_USERS):
        names = await logins_of(resources.hot, {user_id for row in rows for user_id in _users_in(row)})
    return [_entry(row, names) for row in rows]


def _users_in(row: AuditLog) -> Iterator[UUID]:
    for kind, name in ((row.actor_kind, row.actor_id), (row.target_kind, row.target_id)):
        if (user_id := _user_id(kind, name)) is not None:
            yield user_id


def _user_id(kind: str, name: str | None) -> UUID | None:
    return read_id(name) if kind == "user" and name else None


def _entry(row: AuditLog, names: Mapping[UUID, str]) -> AuditEntry:
    def login(kind: str, name: str | None) -> str | None:
        user_id = _user_id(kind, name)
        return names.get(user_id) if user_id else None

    return AuditEntry(
        id=row.id,
        at=row.at,
        actor_kind=row.actor_kind,
        actor_id=row.actor_id,
        actor_name=login(row.actor_kind, row.actor_id),
        action=row.action,
        target_kind=row.target_kind,
        target_id=row.target_id,
        target_name=login(row.target_kind, row.target_id),
        before=row.before,
        after=row.after,
        changes=differences(row.before, row.after),
        reason=row.reason,
        request_id=row.request_id,
        client_address=row.client_address,
        hash=row.hash.hex(),
    )


async def _actor(resources: Resources, name: str) -> Named:
    ids, kinds = await _ids(resources, name), frozenset({name} & KINDS)
    if not kinds and not await _is_known(resources, name, ids, AuditLog.actor_id.in_(ids)):
        raise NotFound("There is no user, service or operator of this name or id.")
    return Named(ids, kinds)


async def _target(resources: Resources, name: str) -> Named:
    ids = await _ids(resources, name)
    things = [Role.name == name, Permission.code == name, SigningKey.kid == name, WebhookEndpoint.id == read_id(name)]
    if not await _is_known(resources, name, ids, AuditLog.target_id.in_(ids), *things):
        raise NotFound("There is nothing of this name or id that could be changed.")
    return Named(ids)


async def _ids(resources: Resources, name: str) -> frozenset[str]:
    """All that rows may have for it: a name may be a user's, a service's, a role's and an operator's at once."""
    if (number := read_id(name)) is not None:
        return frozenset({str(number)})
    async with resources.db() as session:
        user, service = await find_named(session, name), await find_by_name(session, name)
    return frozenset({name, *(str(found.id) for found in (user, service) if found is not None)})


async def _is_known(resources: Resources, name: str, ids: frozenset[str], *places: ColumnElement[bool]) -> bool:
    """Whether somebody has the name, or had the id: in one of the places, in the events, or now."""
    number = read_id(name)
    if len(ids) > 1 or (number is not None and await is_known(resources.hot, number)):
        return True
    async with resources.db() as session:
        found = [exists().where(place) for place in (*places, ServiceAccount.id == number)]
        return bool(await session.scalar(select(or_(*found))))
