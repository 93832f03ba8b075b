"""Who gains and loses by a change, asked of Postgres: counted in one statement however many they are, exact in time.

What matters of a user is which kinds of roles the grants give, and in which order they begin and end. So users are
reduced to that: kinds become bits, times become ranks, those who are alike are counted together, and only each sort of
user is judged, by multiranges. The moments themselves are read of the few who are shown by name.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from auth_service.core.errors import Unavailable
from auth_service.locks import TRY_PLACE, Advisory
from auth_service.permissions.what_if.comparison import Comparison, GrantChange
from auth_service.permissions.what_if.statements import count_statement, spans_statement

BEFORE, AFTER = 1, 2


@dataclass(frozen=True, slots=True)
class Source:
    """Where grants and people are read, as relations in SQL; `arguments` stand for {0}, {1} and so on in both.

    `grants` has user_id, role_name, valid_from, valid_until; `people` has id and login_key of all whose grants count.
    `counts`: of a grant of `grants`, whether m.user_id is one of these, where that is told faster than by a look.
    """

    grants: str = "user_roles"
    people: str = "(SELECT id, login_key FROM users WHERE is_active)"
    arguments: tuple[Any, ...] = ()
    counts: str | None = None

    def relations(self, ours: int) -> tuple[str, str]:
        """Both, in a statement that has so many arguments before these."""
        numbers = [f"${number}" for number in range(ours + 1, ours + 1 + len(self.arguments))]
        return self.grants.format(*numbers), self.people.format(*numbers)


# Few accounts are disabled, and nobody's grants are there without the account.
TODAY = Source(counts="NOT EXISTS (SELECT FROM users u WHERE u.id = m.user_id AND NOT u.is_active)")


@dataclass(slots=True)
class Touched:
    """`gains` and `loses`: how many users by code, only of codes that somebody gains or loses; `gaining` and `losing`:
    how many at all. `administering`: how many lose one of `own`. The lists are ids, by login_key.
    """

    gains: dict[str, int] = field(default_factory=dict)
    loses: dict[str, int] = field(default_factory=dict)
    gaining: int = 0
    losing: int = 0
    administering: int = 0
    people: list[UUID] = field(default_factory=list)
    administrators: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """`starts` None: from now on; `ends` None: for ever."""

    permission: str
    starts: datetime | None
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class Spans:
    gains: list[Span] = field(default_factory=list)
    loses: list[Span] = field(default_factory=list)


# Up to so many grants of roles that differ, their users are looked for first; beyond it everybody's grants are read,
# which may take seconds of Postgres: by so many at once, of all workers.
_FEW = 50_000
_WIDE_AT_ONCE = 2


class EffectBusy(Unavailable):
    code = "effect_busy"
    detail = "Who gains and who loses is being worked out for others just now. Nothing was changed."
    headers = {"Retry-After": "5"}


async def count_people(
    connection: asyncpg.Connection,
    comparison: Comparison,
    changed: Collection[GrantChange] = (),
    *,
    now: datetime,
    own: Collection[str] = (),
    after: str | None = None,
    limit: int | None = None,
    source: Source = TODAY,
    seconds: float | None = None,
) -> Touched:
    """Who gains or loses something at some moment from `now` on. By name `limit` users after the login_key `after`,
    and as many administrators; None: nobody. One statement, and none where nothing is in question. Raises EffectBusy.
    """
    found = Touched()
    if not comparison.given:
        return found
    differing, owned = list(comparison.differing), _classes_with(comparison, own)
    few = await _are_few(connection, differing, source, seconds)
    if not few and not await connection.fetchval(TRY_PLACE, Advisory.WIDE_EFFECTS, _WIDE_AT_ONCE):
        raise EffectBusy
    grants, people = source.relations(17)
    query = count_statement(
        len({*comparison.kinds.values()}),
        few=few,
        changed=bool(changed),
        grants=grants,
        people=people,
        # The account of a grant that changes may be gone by now.
        counts=(None if changed else source.counts) or f"EXISTS (SELECT FROM {people} p WHERE p.id = m.user_id)",
    )
    mine = [*_arguments(comparison, changed, now), differing, owned, after, limit, limit is not None]
    async with _hash_joins(connection, wanted=not few):
        rows = await connection.fetch(query, *mine, *source.arguments, timeout=seconds)
    for row in rows:
        gain, lose = int(row["gain"] or 0), int(row["lose"] or 0)
        match row["what"]:
            case "class":
                codes = comparison.classes[row["class"]]
                found.gains.update(dict.fromkeys(codes, gain) if gain else {})
                found.loses.update(dict.fromkeys(codes, lose) if lose else {})
            case "all":
                found.gaining, found.losing, found.administering = gain, lose, int(row["administer"] or 0)
            case "person":
                found.people.append(UUID(int=row["id"].int))
            case _:
                found.administrators.append(UUID(int=row["id"].int))
    return found


async def spans_of(
    connection: asyncpg.Connection,
    comparison: Comparison,
    changed: Collection[GrantChange] = (),
    *,
    users: Collection[UUID],
    now: datetime,
    source: Source = TODAY,
    seconds: float | None = None,
) -> dict[UUID, Spans]:
    """What these users gain and lose, each by permission and time; who gains and loses nothing is not in it.

    Whether somebody is one of `source.people` is not asked.
    """
    found: dict[UUID, Spans] = defaultdict(Spans)
    if not comparison.given or not users:
        return found
    grants, _ = source.relations(13)
    query = spans_statement(changed=bool(changed), grants=grants)
    mine = [*_arguments(comparison, changed, now), list(users)]
    for row in await connection.fetch(query, *mine, *source.arguments, timeout=seconds):
        spans = found[UUID(int=row["user_id"].int)]
        to = spans.gains if row["gain"] else spans.loses
        to += (Span(code, row["starts"], row["ends"]) for code in comparison.classes[row["class"]])
    for spans in found.values():
        spans.gains.sort(key=_order)
        spans.loses.sort(key=_order)
    return found


def _order(span: Span) -> tuple[str, bool, float]:
    return span.permission, span.starts is not None, 0 if span.starts is None else span.starts.timestamp()


def _classes_with(comparison: Comparison, own: Collection[str]) -> list[int]:
    return [number for number, codes in enumerate(comparison.classes) if not set(own).isdisjoint(codes)]


@asynccontextmanager
async def _hash_joins(connection: asyncpg.Connection, *, wanted: bool) -> AsyncIterator[None]:
    """For who reads everybody's grants: Postgres does not know how few kinds and sorts there are, and would read the
    grants by an index, out of their order on the disk.
    """
    if not wanted:
        yield
        return
    await connection.execute("SET LOCAL enable_mergejoin = off; SET LOCAL enable_nestloop = off")
    yield
    await connection.execute("SET LOCAL enable_mergejoin = on; SET LOCAL enable_nestloop = on")


async def _are_few(
    connection: asyncpg.Connection, roles: Collection[str], source: Source, seconds: float | None
) -> bool:
    grants, _ = source.relations(2)
    query = f"SELECT count(*) FROM (SELECT FROM {grants} g WHERE role_name = ANY($1::text[]) LIMIT $2) few"  # noqa: S608
    count = await connection.fetchval(query, list(roles), _FEW + 1, *source.arguments, timeout=seconds)
    return int(count) <= _FEW


def _arguments(comparison: Comparison, changed: Collection[GrantChange], now: datetime) -> list[Any]:
    """$1 to $12."""
    sides = [
        (grant.user_id, grant.role, period.valid_from, period.valid_until, side)
        for grant in changed
        for period, side in ((grant.before, BEFORE), (grant.after, AFTER))
        if period is not None
    ]
    given = [(one.kind, one.of_class, one.before, one.after) for one in comparison.given]
    return [
        now,
        list(comparison.kinds),
        list(comparison.kinds.values()),
        *([list(column) for column in zip(*sides, strict=True)] if sides else [[]] * 5),
        *(list(column) for column in zip(*given, strict=True)),
    ]
