"""One role for many users, or from them, in few statements; events and audit rows are as by an act for each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, Who, write_act_on_many
from auth_service.core.connections import Resources
from auth_service.core.errors import ValidationFailed
from auth_service.core.stores.postgres_pools import directly
from auth_service.core.turns import in_turns
from auth_service.events.kinds import Event, RoleGranted, RoleRevoked
from auth_service.events.outbox import record
from auth_service.permissions.actor import Actor, Standing, load_actor, who
from auth_service.roles.grants import must_manage

# The trigger tell_granted names as many users in a statement; of more it says that all must be forgotten, and then
# every worker and every client with a memory asks for everybody anew.
TOLD_BY_NAME = 100

_PRESENT = """
SELECT u.id, g.user_id IS NOT NULL AS there, g.valid_from, g.valid_until
FROM users u LEFT JOIN user_roles g ON g.user_id = u.id AND g.role_name = $2
WHERE u.id = ANY($1::uuid[])
"""
_GRANT = """
INSERT INTO user_roles (user_id, role_name, valid_from, valid_until, granted_by, granted_at, reason)
SELECT user_id, $2, $3, $4, $5, $6, $7 FROM unnest($1::uuid[]) AS user_id
ON CONFLICT (user_id, role_name) DO UPDATE SET valid_from = excluded.valid_from, valid_until = excluded.valid_until,
    granted_by = excluded.granted_by, granted_at = excluded.granted_at, reason = excluded.reason
"""
_REVOKE = "DELETE FROM user_roles WHERE user_id = ANY($1::uuid[]) AND role_name = $2"


class Act(StrEnum):
    GRANT = "grant"
    REVOKE = "revoke"


class Outcome(StrEnum):
    GRANTED = "granted"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REVOKED = "revoked"
    NOT_THERE = "not_there"
    NO_SUCH_USER = "no_such_user"


@dataclass(frozen=True, slots=True)
class Dates:
    """Of a grant."""

    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What each of the users is to get, or to lose. Without `valid_from` a grant starts when it is made."""

    act: Act
    role: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    reason: str | None = None

    def check(self, now: datetime) -> None:
        """Raises ValidationFailed for a grant that would end before it starts, as after a long wait."""
        if self.valid_until is not None and self.valid_until <= (self.valid_from or now):
            raise ValidationFailed("valid_until must lie after valid_from, or after now without it")

    def dates(self, now: datetime) -> Dates:
        """Of a grant that is made now."""
        return Dates(self.valid_from or now, self.valid_until)

    def outcome(self, present: Dates | None, now: datetime) -> Outcome:
        """For somebody who has this grant of the role. A grant that began is as good as one from now on."""
        if self.act is Act.REVOKE:
            return Outcome.NOT_THERE if present is None else Outcome.REVOKED
        if present is None:
            return Outcome.GRANTED
        begins = present.valid_from <= now if self.valid_from is None else present.valid_from == self.valid_from
        return Outcome.UNCHANGED if begins and present.valid_until == self.valid_until else Outcome.CHANGED


def row_by_row(wish: Wish, rows: Sequence[UUID | None], outcomes: Mapping[UUID, Outcome]) -> list[Outcome]:
    """`outcomes` for rows that may name a user again, who has just been dealt with then, or nobody."""
    left, found = dict(outcomes), []
    for user_id in rows:
        outcome = Outcome.NO_SUCH_USER if user_id is None else left[user_id]
        if user_id is not None and outcome is not Outcome.NO_SUCH_USER:
            left[user_id] = Outcome.NOT_THERE if wish.act is Act.REVOKE else Outcome.UNCHANGED
        found.append(outcome)
    return found


async def may_do(session: AsyncSession, caller: Standing, wish: Wish, now: datetime) -> Actor:
    """Under the access lock it stays true. Raises PermissionDenied, LackingYourself, NotFound or ValidationFailed."""
    wish.check(now)
    actor = await load_actor(session, caller, now, may="roles:grant")
    await must_manage(session, actor, wish.role, until=now if wish.act is Act.REVOKE else wish.valid_until)
    return actor


async def foresee(
    session: AsyncSession, wish: Wish, user_ids: Collection[UUID], now: datetime
) -> Mapping[UUID, Outcome]:
    """What would come out, but for what keeps a superuser."""
    present = await _present(session, wish.role, user_ids)
    return {user_id: _outcome(wish, present, user_id, now) for user_id in user_ids}


async def do_for_many(
    resources: Resources, session: AsyncSession, caller: Standing, wish: Wish, user_ids: Collection[UUID]
) -> Mapping[UUID, Outcome]:
    """In the caller's transaction, which keeps a superuser; raises what `may_do` does, and then nothing is written."""
    now = resources.clock()
    actor = await may_do(session, caller, wish, now)
    present = await _present(session, wish.role, user_ids)
    outcomes = {user_id: _outcome(wish, present, user_id, now) for user_id in user_ids}
    touched = [
        user_id
        for user_id, outcome in outcomes.items()
        if outcome in {Outcome.GRANTED, Outcome.CHANGED, Outcome.REVOKED}
    ]
    async for some in in_turns(touched, TOLD_BY_NAME):
        await _do(session, wish, some, actor, now)
        await record(resources, session, *(_event(wish, user_id, actor, now) for user_id in some))
        async for few in in_turns(some):
            _write(session, who(caller), wish, {user_id: present[user_id] for user_id in few}, now)
    return outcomes


def _outcome(wish: Wish, present: Mapping[UUID, Dates | None], user_id: UUID, now: datetime) -> Outcome:
    return wish.outcome(present[user_id], now) if user_id in present else Outcome.NO_SUCH_USER


async def _present(session: AsyncSession, role: str, user_ids: Collection[UUID]) -> dict[UUID, Dates | None]:
    """Of each user that there is: the grant of the role, whether it is active or not."""
    async with directly(session) as connection:
        rows = await connection.fetch(_PRESENT, list(user_ids), role)
    return {
        UUID(int=row["id"].int): Dates(row["valid_from"], row["valid_until"]) if row["there"] else None for row in rows
    }


async def _do(session: AsyncSession, wish: Wish, user_ids: Sequence[UUID], actor: Actor, now: datetime) -> None:
    async with directly(session) as connection:
        if wish.act is Act.REVOKE:
            await connection.execute(_REVOKE, user_ids, wish.role)
        else:
            dates = wish.dates(now)
            values = (dates.valid_from, dates.valid_until, actor.user_id, now, wish.reason)
            await connection.execute(_GRANT, user_ids, wish.role, *values)


def _event(wish: Wish, user_id: UUID, actor: Actor, now: datetime) -> Event:
    if wish.act is Act.REVOKE:
        return RoleRevoked(user_id=user_id, role=wish.role, by=actor.user_id)
    since, until = wish.dates(now).valid_from, wish.valid_until
    return RoleGranted(user_id=user_id, role=wish.role, valid_from=since, valid_until=until, by=actor.user_id)


def _write(session: AsyncSession, asker: Who, wish: Wish, before: Mapping[UUID, Dates | None], now: datetime) -> None:
    gone = wish.act is Act.REVOKE
    write_act_on_many(
        session,
        asker,
        Action.ROLE_REVOKED if gone else Action.ROLE_GRANTED,
        {
            Target("user", str(user_id)): None if dates is None else _facts(wish.role, dates)
            for user_id, dates in before.items()
        },
        at=now,
        after=None if gone else _facts(wish.role, wish.dates(now)),
        reason=wish.reason,
    )


def _facts(role: str, dates: Dates) -> dict[str, Any]:
    return {"role": role, "valid_from": dates.valid_from, "valid_until": dates.valid_until}
