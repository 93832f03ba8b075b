"""No change of access may leave nobody who can undo it: who administers access, before a change and after it.

An account administers by the permissions of UNDOING, held without an end; where one of them asks for a second factor,
only with one that is set up. A mark that somebody else can take off again is no obstacle.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import WouldShutOut
from auth_service.locks import lock_access_rules
from auth_service.permissions.patterns import covering, covers
from auth_service.permissions.repository import load_keepers
from auth_service.permissions.step_up import Demand, demand_of

UNMARK = "permissions:write"
# Each undoes a kind of change: marks of the catalogue, roles, grants, and who is active.
UNDOING = (UNMARK, "roles:write", "roles:grant", "users:write")
_PATTERNS = frozenset(pattern for code in UNDOING for pattern in covering(code))


@dataclass(frozen=True, slots=True)
class Keeper:
    """One account, or several that are alike; `held`: what it has without an end."""

    held: frozenset[str]
    second_factor: bool


@dataclass(frozen=True, slots=True)
class Keepers:
    """`marked`: those of UNDOING that are marked for step-up; `admin_mfa`: all of them ask for a second factor."""

    accounts: Collection[Keeper]
    marked: frozenset[str]
    admin_mfa: bool

    def do_as_much_as(self, before: "Keepers") -> bool:
        """Whether for everyone who could undo changes before, somebody is here who can undo the same."""
        able = self._able()
        return all(
            any(_has_all_of(left, keeper) for left in able[code])
            for code, keepers in before._able().items()
            for keeper in keepers
        )

    def with_second_factors(self) -> "Keepers":
        return replace(self, accounts=[replace(keeper, second_factor=True) for keeper in self.accounts])

    def _able(self) -> Mapping[str, Sequence[Keeper]]:
        """By code of UNDOING: who can use it, at once or after marks were taken off by those who can."""
        marked = self.marked
        while removable := {
            code for code in marked if any(covers(keeper.held, code) for keeper in self._using(UNMARK, marked))
        }:
            marked -= removable
        return {code: self._using(code, marked) for code in UNDOING}

    def _using(self, code: str, marked: Collection[str]) -> list[Keeper]:
        demand = demand_of(code, marked=code in marked, administrative=self.admin_mfa)
        return [
            keeper
            for keeper in self.accounts
            if covers(keeper.held, code) and (keeper.second_factor or demand is Demand.NOTHING)
        ]


def _has_all_of(one: Keeper, other: Keeper) -> bool:
    return all(covers(one.held, pattern) for pattern in other.held)


@asynccontextmanager
async def keeping_administration(resources: Resources, session: AsyncSession) -> AsyncIterator[None]:
    """Around a change of access: one at a time, and rolled back with WouldShutOut if nobody could undo it.

    What nobody could undo before is refused to nobody: a new installation has no second factor yet.
    """
    await lock_access_rules(session)
    before = await _load(resources, session)
    yield
    await session.flush()
    after = await _load(resources, session)
    for then, now in zip(before, after, strict=True):
        if not now.do_as_much_as(then):
            if now.with_second_factors().do_as_much_as(then):
                raise WouldShutOut(
                    "Nobody who could undo this would have the second factor that it takes. First let one of them, or"
                    " another whom you appoint, set one up: POST /api/v1/mfa/totp."
                )
            raise WouldShutOut


async def _load(resources: Resources, session: AsyncSession) -> tuple[Keepers, Keepers]:
    """Those whose grants have begun, and all who are appointed.

    Both must do as much as before: to a worker whose clock is behind, one who was just renewed has not begun.
    """
    rows = await load_keepers(session, resources.clock(), codes=UNDOING, patterns=_PATTERNS)
    marked = frozenset(rows[0]["marked"] if rows else ())
    admin_mfa = resources.settings.admin_mfa_required

    def keepers(column: str) -> Keepers:
        accounts = {Keeper(frozenset(row[column] or ()), row["second_factor"]) for row in rows}
        return Keepers(accounts, marked, admin_mfa)

    return keepers("serving"), keepers("appointed")
