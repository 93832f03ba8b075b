"""Who has a permission, and how: page by page, or the whole list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from fastapi.responses import StreamingResponse

from auth_service.admin.csv_list import Lines, csv_answer, csv_lines, list_codes
from auth_service.admin.holders_schemas import HoldersQuery
from auth_service.core.connections import Resources
from auth_service.core.errors import existing
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import lent_by
from auth_service.permissions.catalogue import get_permission
from auth_service.permissions.checks import holds
from auth_service.permissions.decision import Grant
from auth_service.permissions.holders import Holder, count_holders, holders_of
from auth_service.permissions.holders_then import as_they_were
from auth_service.permissions.repository import Fetches
from auth_service.permissions.then import find_then, load_rules, one_snapshot
from auth_service.roles.service import get_role
from auth_service.users.naming import PERSONAL_DATA
from auth_service.users.people import find_people
from auth_service.users.search import read_cursor, write_cursor

COLUMNS = ("id", "login", "email", "full_name", "role", "via", "pattern", "valid_from", "valid_until")


@dataclass(frozen=True, slots=True)
class PersonWithWays:
    """`email` and `full_name` are None for whoever may not see them."""

    id: UUID
    login: str
    email: str | None
    full_name: str | None
    ways: Sequence[Grant]


@dataclass(frozen=True, slots=True)
class HoldersPage:
    """`next_cursor` is None on the last page."""

    items: Sequence[PersonWithWays]
    next_cursor: str | None


class GrantsAtAMoment(Protocol):
    """Where it is read who has the permission that is asked about."""

    async def page(self, source: Fetches, after: UUID | None, limit: int) -> tuple[Sequence[Holder], UUID | None]: ...

    async def count(self, source: Fetches) -> int: ...


@dataclass(frozen=True, slots=True)
class AsTheyStand:
    """The grants that there are now, of which some begin or end before `at`."""

    code: str
    role: str | None
    at: datetime

    async def page(self, source: Fetches, after: UUID | None, limit: int) -> tuple[Sequence[Holder], UUID | None]:
        return await holders_of(source, self.code, self.role, self.at, after=after, limit=limit)

    async def count(self, source: Fetches) -> int:
        return await count_holders(source, self.code, self.role, self.at)


@dataclass(frozen=True, slots=True)
class HolderList:
    """One question; `personal`: with e-mail addresses and names."""

    resources: Resources
    grants: GrantsAtAMoment
    personal: bool

    async def page(self, after: UUID | None, limit: int) -> tuple[Sequence[PersonWithWays], UUID | None]:
        """By id, and the id to go on behind, None at the end. Who was deleted meanwhile is left out."""
        async with lent_by(self.resources.engine) as source:
            found, last = await self.grants.page(source, after, limit)
            people = await find_people(source, [holder.user_id for holder in found], personal=self.personal)
        items = [
            PersonWithWays(person.id, person.login, person.email, person.full_name, holder.ways)
            for holder in found
            if (person := people.get(holder.user_id)) is not None
        ]
        return items, last

    async def count(self) -> int:
        async with lent_by(self.resources.engine) as source:
            return await self.grants.count(source)


async def who_has(resources: Resources, code: str, query: HoldersQuery, caller: Principal | None = None) -> HolderList:
    """Without a caller: for the operator. Raises NotFound for a code or role that is not, or was not then, there;
    NotKnownThen for a moment that the trail does not reach.
    """
    grants = await _grants_at(resources, code, query)
    personal = caller is None or await holds(resources, caller, PERSONAL_DATA)
    return HolderList(resources, grants, personal)


async def _grants_at(resources: Resources, code: str, query: HoldersQuery) -> GrantsAtAMoment:
    """The one place that chooses, and once for all pages of a list, which may take minutes."""
    now = resources.clock()
    if query.at is None or query.at >= now:
        await get_permission(resources, code)
        if query.role is not None:
            await get_role(resources, query.role)
        return AsTheyStand(code, query.role, query.at or now)
    async with one_snapshot(resources) as (_, connection):
        then = await find_then(connection, query.at)
        rules = await load_rules(connection, then)
    existing(code if code in rules.catalogue else None, "permission")
    existing(rules.roles.get(query.role) if query.role is not None else rules, "role")
    return as_they_were(then, rules, code, query.role)


async def list_holders(asked: HolderList, query: HoldersQuery) -> HoldersPage:
    """Raises ValidationFailed for a cursor that we did not give."""
    items, last = await asked.page(read_cursor(query.cursor), query.limit)
    return HoldersPage(items, None if last is None else write_cursor(last))


def lines_of(asked: HolderList) -> Lines:
    """All of it as CSV."""
    return csv_lines(COLUMNS, asked.page, _rows_of)


async def csv_file(resources: Resources, caller: Principal, asked: HolderList) -> StreamingResponse:
    """As `lines_of`, for a browser to keep; raises what goes wrong with the first batch."""
    codes = list_codes(personal=asked.personal)
    return await csv_answer(resources, caller, lines_of(asked), name="users.csv", codes=codes)


def _rows_of(person: PersonWithWays) -> Iterator[Sequence[Any]]:
    """One for each way, in the order of COLUMNS."""
    for way in person.ways:
        yield (
            *(person.id, person.login, person.email, person.full_name),
            *(way.role, way.via, way.pattern, way.valid_from, way.valid_until),
        )
