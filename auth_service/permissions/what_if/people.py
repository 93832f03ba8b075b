"""Who gains and loses by a change, asked of Postgres: counted in one statement however many they are, exact in time.

What matters of a user is which kinds of roles the grants give, and in which order they begin and end. So users are
reduced to that: their times become ranks, those who are alike are counted together, and only each sort of user is
judged, by multiranges. The moments themselves are read of the few who are shown by name.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from auth_service.permissions.what_if.comparison import Comparison, GrantChange

BEFORE, AFTER = 1, 2
_FOR_EVER = 32767  # the rank of an end that never comes


@dataclass(frozen=True, slots=True)
class Source:
    """Where grants and people are read, as relations in SQL; `arguments` stand for {0}, {1} and so on in both.

    `grants` has user_id, role_name, valid_from, valid_until; `people` has id and login_key of all whose grants count.
    """

    grants: str = "user_roles"
    people: str = "(SELECT id, login_key FROM users WHERE is_active)"
    arguments: tuple[Any, ...] = ()


TODAY = Source()


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


# $1 now; $2 roles and $3 their kinds; $4 to $8 the grants that change, each side of each: user, role, start, end, side.
_KIND = "kind AS MATERIALIZED (SELECT * FROM unnest($2::text[], $3::int[]) AS k(role_name, kind))"
_CHANGED = (
    "changed AS MATERIALIZED (SELECT * FROM unnest($4::uuid[], $5::text[], $6::timestamptz[], $7::timestamptz[],"
    " $8::int[]) AS c(user_id, role_name, valid_from, valid_until, side))"
)
# `what`: the kind and the side; `starts` and `ends` only where they lie ahead. {whose} says which users.
_ROWS = """
held AS (
    SELECT g.user_id, k.kind * 4 + 3 AS what, CASE WHEN g.valid_from > $1 THEN g.valid_from END AS starts,
        g.valid_until AS ends
    FROM {grants} g JOIN kind k USING (role_name)
    WHERE (g.valid_until IS NULL OR g.valid_until > $1) AND {whose}
"""
_CHANGED_ROWS = """
    AND NOT EXISTS (SELECT FROM changed c WHERE c.user_id = g.user_id AND c.role_name = g.role_name)
    UNION ALL
    SELECT g.user_id, k.kind * 4 + g.side, CASE WHEN g.valid_from > $1 THEN g.valid_from END, g.valid_until
    FROM changed g JOIN kind k USING (role_name)
    WHERE (g.valid_until IS NULL OR g.valid_until > $1) AND {whose_changed}
"""
# $9 kinds, $10 classes, $11 and $12 whether the one gives the other before and after.
_GIVEN = (
    "given AS MATERIALIZED (SELECT * FROM unnest($9::int[], $10::int[], $11::bool[], $12::bool[])"
    " AS g(kind, class, before, after))"
)
# $13 the roles that differ; $14 the classes with codes of `own`; $15 the login_key to go on after; $16 how many by name
# and $17 whether anybody is shown by name. `sort`: for each grant what it is, and the ranks of its start and end.
_COUNT = """
flat AS (
    SELECT user_id, count(starts) + count(ends) AS moments, array_agg(DISTINCT (what::bigint << 32)
        | ((starts IS NOT NULL)::int << 16) | CASE WHEN ends IS NULL THEN {for_ever} ELSE 1 END) AS sort
    FROM held GROUP BY user_id
), sorted AS (
    SELECT user_id, sort FROM flat WHERE moments < 2
    UNION ALL
    SELECT r.user_id, array_agg(DISTINCT (r.what::bigint << 32)
        | (CASE WHEN r.starts IS NULL THEN 0 ELSE k.starts END << 16)
        | CASE WHEN r.ends IS NULL THEN {for_ever} ELSE k.ends END)
    FROM (
        SELECT *, array_agg(starts) OVER mine || array_agg(ends) OVER mine AS moments
        FROM held WHERE user_id IN (SELECT user_id FROM flat WHERE moments > 1)
        WINDOW mine AS (PARTITION BY user_id)
    ) r CROSS JOIN LATERAL (
        SELECT count(DISTINCT m) FILTER (WHERE m <= r.starts) AS starts, count(DISTINCT m) FILTER (WHERE m <= r.ends)
            AS ends
        FROM unnest(r.moments) m
    ) k
    GROUP BY r.user_id
), holder AS MATERIALIZED (
    SELECT p.id, p.login_key, s.sort FROM sorted s JOIN {people} p ON p.id = s.user_id
), sorts AS (
    SELECT sort, count(*) AS users FROM holder GROUP BY sort
), judged AS MATERIALIZED (
    SELECT sort, users, class, NOT isempty(has - had) AS gains, NOT isempty(had - has) AS loses
    FROM (
        SELECT s.sort, s.users, g.class,
            coalesce(range_agg(i.span) FILTER (WHERE g.before AND i.side & 1 > 0), '{{}}') AS had,
            coalesce(range_agg(i.span) FILTER (WHERE g.after AND i.side & 2 > 0), '{{}}') AS has
        FROM sorts s CROSS JOIN unnest(s.sort) AS one CROSS JOIN LATERAL (
            SELECT (one >> 34)::int AS kind, ((one >> 32) & 3)::int AS side,
                int4range(((one >> 16) & 65535)::int, (one & 65535)::int) AS span
        ) i JOIN given g ON g.kind = i.kind
        GROUP BY s.sort, s.users, g.class
    ) j
), touched AS MATERIALIZED (
    SELECT sort, users, bool_or(gains) AS gains, bool_or(loses) AS loses,
        bool_or(loses AND class = ANY($14::int[])) AS administers
    FROM judged GROUP BY sort, users HAVING bool_or(gains OR loses)
)
SELECT 'class' AS what, class, sum(users) FILTER (WHERE gains) AS gain, sum(users) FILTER (WHERE loses) AS lose,
    NULL::bigint AS administer, NULL::uuid AS id, NULL::text AS login_key
FROM judged WHERE gains OR loses GROUP BY class
UNION ALL
SELECT 'all', NULL, sum(users) FILTER (WHERE gains), sum(users) FILTER (WHERE loses),
    sum(users) FILTER (WHERE administers), NULL, NULL
FROM touched
UNION ALL (
    SELECT 'person', NULL, NULL, NULL, NULL, h.id, h.login_key FROM holder h JOIN touched t USING (sort)
    WHERE $17::bool AND ($15::text IS NULL OR h.login_key > $15) ORDER BY h.login_key LIMIT $16::int
) UNION ALL (
    SELECT 'administrator', NULL, NULL, NULL, NULL, h.id, h.login_key FROM holder h JOIN touched t USING (sort)
    WHERE $17::bool AND t.administers ORDER BY h.login_key LIMIT $16::int
)
"""

# $13 the users.
_SPANS = """
times AS (
    SELECT r.user_id, g.class,
        coalesce(range_agg(s.span) FILTER (WHERE g.before AND (r.what & 1) > 0), '{{}}') AS had,
        coalesce(range_agg(s.span) FILTER (WHERE g.after AND (r.what & 2) > 0), '{{}}') AS has
    FROM held r JOIN given g ON g.kind = r.what >> 2 CROSS JOIN LATERAL (SELECT tstzrange(r.starts, r.ends) AS span) s
    GROUP BY r.user_id, g.class
)
SELECT user_id, class, true AS gain, lower(span) AS starts, upper(span) AS ends FROM times, unnest(has - had) AS span
UNION ALL
SELECT user_id, class, false, lower(span), upper(span) FROM times, unnest(had - has) AS span
"""
_DIFFERING = "SELECT user_id FROM {grants} WHERE role_name = ANY($13::text[])"
_DIFFERING_TOO = f"{_DIFFERING} UNION ALL SELECT user_id FROM changed"  # noqa: S608


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
    and as many administrators; None: nobody. One statement, and none where nothing is in question.
    """
    found = Touched()
    if not comparison.given:
        return found
    query = _query(_COUNT, changed, f"g.user_id IN ({_DIFFERING_TOO if changed else _DIFFERING})", "true")
    owned = [number for number, codes in enumerate(comparison.classes) if not set(own).isdisjoint(codes)]
    mine = [*_arguments(comparison, changed, now), list(comparison.differing), owned, after, limit, limit is not None]
    rows = await connection.fetch(_filled(query, source, len(mine)), *mine, *source.arguments, timeout=seconds)
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
    query = _query(_SPANS, changed, "g.user_id = ANY($13::uuid[])", "g.user_id = ANY($13::uuid[])")
    mine = [*_arguments(comparison, changed, now), list(users)]
    for row in await connection.fetch(_filled(query, source, len(mine)), *mine, *source.arguments, timeout=seconds):
        spans = found[UUID(int=row["user_id"].int)]
        to = spans.gains if row["gain"] else spans.loses
        to += (Span(code, row["starts"], row["ends"]) for code in comparison.classes[row["class"]])
    for spans in found.values():
        spans.gains.sort(key=_order)
        spans.loses.sort(key=_order)
    return found


def _order(span: Span) -> tuple[str, bool, float]:
    return span.permission, span.starts is not None, 0 if span.starts is None else span.starts.timestamp()


def _query(asked: str, changed: Collection[GrantChange], whose: str, whose_changed: str) -> str:
    rows = f"{_ROWS}{_CHANGED_ROWS}" if changed else _ROWS
    rows = rows.replace("{whose}", whose).replace("{whose_changed}", whose_changed)
    return f"WITH {_KIND}, {_CHANGED}, {_GIVEN}, {rows}), {asked}"


def _filled(query: str, source: Source, ours: int) -> str:
    numbers = [f"${number}" for number in range(ours + 1, ours + 1 + len(source.arguments))]
    return query.format(
        grants=source.grants.format(*numbers), people=source.people.format(*numbers), for_ever=_FOR_EVER
    )


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
