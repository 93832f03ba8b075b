"""What a change means for people and services: who gains, who loses, who is locked out, who must show a code now."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from auth_service.core.connections import Resources
from auth_service.core.errors import Unavailable
from auth_service.core.stores.postgres_pools import lent_by
from auth_service.permissions.codes import OWN_CODES
from auth_service.permissions.what_if.comparison import GrantChange, Rules, compare, services_touched
from auth_service.permissions.what_if.people import TODAY, Source, Span, Spans, count_people, spans_of

MOST_PEOPLE = 100
SECONDS = 30
GRACE = 5  # the server ends a statement before the client gives it up
# Chosen for each question by its own arguments: a role that everybody has is asked about in another way than a new one.
_SETTINGS = (
    f"SET LOCAL statement_timeout = '{SECONDS}s'",
    "SET LOCAL plan_cache_mode = 'force_custom_plan'",
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL jit = off",
)


class EffectTimeout(Unavailable):
    code = "effect_timeout"
    detail = f"Who gains and who loses could not be worked out in {SECONDS} seconds. Nothing was changed."
    headers = {"Retry-After": "60"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and for what of it. `names`: people by name; `services`: services; both need a permission.

    `caller` is None for the operator and for services; `after`: the login_key that the page before ended with.
    """

    names: bool = True
    services: bool = True
    caller: UUID | None = None
    after: str | None = None
    limit: int = MOST_PEOPLE


@dataclass(frozen=True, slots=True)
class Person:
    id: UUID
    login: str
    gains: Sequence[Span]
    loses: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Count:
    permission: str
    users: int


@dataclass(frozen=True, slots=True)
class Side:
    """`users`: how many at all; `permissions`: how many of each, by code."""

    users: int
    permissions: Sequence[Count]


@dataclass(frozen=True, slots=True)
class Administration:
    """Those who lose a permission that this service itself asks for; `people` is None for who may not see names."""

    users: int
    you: bool
    people: Sequence[Person] | None


@dataclass(frozen=True, slots=True)
class StepUp:
    """`step_up`: the mark from now on. `users` have the permission, at some time from now on."""

    permission: str
    step_up: bool
    users: int
    without_second_factor: int


@dataclass(frozen=True, slots=True)
class ServiceEffect:
    id: UUID
    name: str
    gains: Sequence[str]
    loses: Sequence[str]


@dataclass(frozen=True, slots=True)
class Effect:
    """Active users only, since others have nothing. What is None is not for the caller to see.

    `more_after`: the login_key that the next page of people begins after, None on the last one.
    """

    gains: Side
    loses: Side
    administration: Administration
    step_up: Sequence[StepUp]
    services: Sequence[ServiceEffect] | None
    people: Sequence[Person] | None
    more_after: str | None


async def find_effect(
    resources: Resources,
    before: Rules,
    after: Rules,
    changed: Collection[GrantChange],
    asked: Asked,
    *,
    now: datetime,
    source: Source = TODAY,
) -> Effect:
    """In a transaction of its own, on one snapshot, and without a lock; raises EffectTimeout or EffectBusy.

    `source`: of a change that was made, the grants of then; who has a second factor is told of today's alone.
    """
    # In a thread: ten thousand roles take a second of it, in which others must be answered.
    comparison = await asyncio.to_thread(compare, before, after, {grant.role for grant in changed})
    async with _reading(resources) as connection:
        limit = asked.limit + 1 if asked.names else None
        touched = await count_people(
            connection,
            comparison,
            changed,
            now=now,
            own=OWN_CODES,
            after=asked.after,
            limit=limit,
            source=source,
            seconds=SECONDS + GRACE,
        )
        shown, administrators = touched.people[: asked.limit], touched.administrators[: asked.limit]
        ids = {*shown, *administrators, *([asked.caller] if asked.caller else ())}
        spans = await spans_of(
            connection, comparison, changed, users=ids, now=now, source=source, seconds=SECONDS + GRACE
        )
        logins = await _logins(connection, ids)
        step_up = await _step_up(connection, before, after, now) if source is TODAY else []
        services = await _services(connection, before, after) if asked.services else None
    people = [_person(user, logins, spans[user]) for user in shown if user in logins]
    locked_out = [_person(user, logins, _of_ours(spans[user])) for user in administrators if user in logins]
    more = len(touched.people) > len(shown) and people
    return Effect(
        gains=_side(touched.gaining, touched.gains),
        loses=_side(touched.losing, touched.loses),
        administration=Administration(
            users=touched.administering,
            you=asked.caller is not None and bool(_of_ours(spans[asked.caller]).loses),
            people=locked_out if asked.names else None,
        ),
        step_up=step_up,
        services=services,
        people=people if asked.names else None,
        more_after=logins[people[-1].id][1] if more else None,
    )


@asynccontextmanager
async def _reading(resources: Resources) -> AsyncIterator[asyncpg.Connection]:
    """One snapshot for all that is asked, and more time than a request has elsewhere."""
    try:
        async with (
            lent_by(resources.engine) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            for setting in _SETTINGS:
                await connection.execute(setting)
            yield connection
    except asyncpg.QueryCanceledError as error:
        raise EffectTimeout from error


def _side(users: int, counts: dict[str, int]) -> Side:
    return Side(users, [Count(code, count) for code, count in sorted(counts.items())])


def _person(user: UUID, logins: dict[UUID, tuple[str, str]], spans: Spans) -> Person:
    return Person(user, logins[user][0], spans.gains, spans.loses)


def _of_ours(spans: Spans) -> Spans:
    return Spans(loses=[span for span in spans.loses if span.permission in OWN_CODES])


async def _logins(connection: asyncpg.Connection, ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """(login, login_key) by id."""
    rows = await connection.fetch("SELECT id, login, login_key FROM users WHERE id = ANY($1::uuid[])", list(ids))
    return {UUID(int=row["id"].int): (row["login"], row["login_key"]) for row in rows}


_HAVING = """
SELECT count(*) AS users, count(*) FILTER (WHERE t.user_id IS NULL) AS without
FROM (
    SELECT DISTINCT user_id FROM user_roles
    WHERE role_name = ANY($1::text[]) AND (valid_until IS NULL OR valid_until > $2)
) h
JOIN users u ON u.id = h.user_id AND u.is_active
LEFT JOIN mfa_totp t ON t.user_id = h.user_id AND t.confirmed_at IS NOT NULL
"""


async def _step_up(connection: asyncpg.Connection, before: Rules, after: Rules, now: datetime) -> list[StepUp]:
    """Of each mark that is set, a new permission's too, or taken off."""
    marks = {code: mark for code, mark in after.codes.items() if mark is not before.codes.get(code, False)}
    by_roles: dict[frozenset[str], list[str]] = defaultdict(list)
    for code in sorted(marks):
        by_roles[frozenset(after.giving(code))].append(code)
    found = []
    for roles, codes in by_roles.items():
        (row,) = await connection.fetch(_HAVING, list(roles), now, timeout=SECONDS + GRACE)
        found += [StepUp(code, marks[code], row["users"], row["without"]) for code in codes]
    return sorted(found, key=lambda one: one.permission)


async def _services(connection: asyncpg.Connection, before: Rules, after: Rules) -> list[ServiceEffect]:
    if before.codes.keys() == after.codes.keys():
        return []
    found = []
    for row in await connection.fetch("SELECT id, name, scopes FROM service_accounts ORDER BY name"):
        gains, loses = services_touched(before, after, row["scopes"])
        if gains or loses:
            found.append(ServiceEffect(UUID(int=row["id"].int), row["name"], gains, loses))
    return found
