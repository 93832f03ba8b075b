"""Grants of everybody: who has which role, given by whom, until when; page by page, or the whole list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi.responses import StreamingResponse

from auth_service.admin.csv_list import Lines, csv_answer, csv_lines
from auth_service.admin.grants_schemas import GrantsQuery
from auth_service.core.connections import Resources
from auth_service.core.errors import existing
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import lent_by
from auth_service.permissions.checks import holds
from auth_service.roles.grant_list import (
    GrantFilter,
    GrantState,
    Place,
    count_grants,
    grants_page,
    read_cursor,
    write_cursor,
)
from auth_service.roles.service import get_role
from auth_service.users.naming import PERSONAL_DATA, find_named, may_name
from auth_service.users.people import Person, find_people

COLUMNS = (
    *("user_id", "login", "email", "full_name", "role", "valid_from", "valid_until"),
    *("granted_by_id", "granted_by", "granted_at", "reason", "state"),
)


@dataclass(frozen=True, slots=True)
class GrantOfPerson:
    """`granted_by` is None for an operator, a service, the service itself, and an account that is gone."""

    user: Person
    role: str
    valid_from: datetime
    valid_until: datetime | None
    granted_by: Person | None
    granted_at: datetime
    reason: str | None
    state: GrantState


@dataclass(frozen=True, slots=True)
class GrantsPage:
    """`next_cursor` is None on the last page."""

    items: Sequence[GrantOfPerson]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class GrantList:
    """One question, whose states are all of the moment `now`; `personal`: with e-mail addresses and names."""

    resources: Resources
    wanted: GrantFilter
    now: datetime
    personal: bool

    async def page(self, after: Place | None, limit: int) -> tuple[Sequence[GrantOfPerson], Place | None]:
        """And the place to go on from, None at the end. Grants of who was deleted meanwhile are left out."""
        async with lent_by(self.resources.engine) as source:
            found, last = await grants_page(source, self.wanted, self.now, after=after, limit=limit)
            ids = {person for grant in found for person in (grant.user_id, grant.granted_by) if person is not None}
            people = await find_people(source, ids, personal=self.personal)
        items = [
            GrantOfPerson(
                user,
                grant.role,
                grant.valid_from,
                grant.valid_until,
                people.get(grant.granted_by) if grant.granted_by else None,
                grant.granted_at,
                grant.reason,
                grant.state,
            )
            for grant in found
            if (user := people.get(grant.user_id)) is not None
        ]
        return items, last

    async def count(self) -> int:
        async with lent_by(self.resources.engine) as source:
            return await count_grants(source, self.wanted, self.now)


async def ask_for_grants(resources: Resources, query: GrantsQuery, caller: Principal | None = None) -> GrantList:
    """Without a caller: for the operator. Raises NotFound for a role or a name that nobody has, PermissionDenied for an
    address that the caller may not ask for.
    """
    for name in (query.user, query.granted_by):
        if name is not None and caller is not None:
            await may_name(resources, caller, name)
    if query.role is not None:
        await get_role(resources, query.role)
    wanted = GrantFilter(
        role=query.role,
        user_id=await _named(resources, query.user),
        granted_by=await _named(resources, query.granted_by),
        state=query.state,
        ends_since=query.ends_since,
        ends_until=query.ends_until,
    )
    personal = caller is None or await holds(resources, caller, PERSONAL_DATA)
    return GrantList(resources, wanted, resources.clock(), personal)


async def list_grants(asked: GrantList, query: GrantsQuery) -> GrantsPage:
    """Raises ValidationFailed for a cursor that we did not give for this question."""
    items, last = await asked.page(read_cursor(query.cursor), query.limit)
    return GrantsPage(items, None if last is None else write_cursor(last))


def lines_of(asked: GrantList) -> Lines:
    """All of it as CSV."""
    return csv_lines(COLUMNS, asked.page, _rows_of)


async def csv_file(resources: Resources, caller: Principal, asked: GrantList) -> StreamingResponse:
    """As `lines_of`, for a browser to keep; raises what goes wrong with the first batch."""
    return await csv_answer(resources, caller, lines_of(asked), name="grants.csv", personal=asked.personal)


def _rows_of(grant: GrantOfPerson) -> Iterator[Sequence[Any]]:
    """One, in the order of COLUMNS."""
    user, granter = grant.user, grant.granted_by
    yield (
        *(user.id, user.login, user.email, user.full_name, grant.role, grant.valid_from, grant.valid_until),
        *((granter.id, granter.login) if granter else (None, None)),
        *(grant.granted_at, grant.reason, grant.state),
    )


async def _named(resources: Resources, name: str | None) -> UUID | None:
    if name is None:
        return None
    async with resources.db() as session:
        return existing(await find_named(session, name), "user").id
