"""Takes newcomers in: what only the database knows of them, and then all of them or none, in one transaction."""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, operator, write_act
from auth_service.core.confusables import look
from auth_service.core.connections import Resources
from auth_service.core.errors import existing
from auth_service.events.kinds import EmailVerified, Event, NewUser, RoleGranted, UserDeactivated
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules
from auth_service.mfa import service as mfa
from auth_service.models import User, new_id
from auth_service.moving_in.newcomers import Newcomer, Plan, shown
from auth_service.roles.repository import find_role, list_roles
from auth_service.users import look_alikes, repository
from auth_service.users.links import invite
from auth_service.users.new_login import free_logins

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Wishes:
    """`invite`: mail those without a password a link to set one. `keep_look_alikes`: their owners have had these logins
    for long.
    """

    skip_existing: bool = False
    keep_look_alikes: bool = False
    ignore_roles: bool = False
    invite: bool = False


@dataclass(slots=True)
class Settled:
    """Who can come, each with a login; or `problems`, lines as in the plan."""

    newcomers: list[Newcomer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def settle(resources: Resources, plan: Plan, wishes: Wishes) -> Settled:
    """Compares the plan with what is here; writes nothing."""
    problems: dict[str, str] = {}
    async with resources.db() as session:
        known = {role.name for role in await list_roles(session)}
        if wishes.ignore_roles:
            plan.keep_roles(known)
        taken = await _taken(session, plan.newcomers)
        coming = [newcomer for newcomer in plan.newcomers if newcomer.place not in taken]
        if not wishes.keep_look_alikes:
            like = await _look_alikes(session, coming)
            problems |= dict.fromkeys(like, "the login looks like that of an account here")
        problems |= _unsuitable(coming, known, resources.clock())
        if not wishes.skip_existing:
            problems |= dict.fromkeys(taken, "the login or email is taken")
        if problems:
            named = [newcomer.place for newcomer in plan.newcomers if newcomer.place in problems]
            return Settled(problems=[f"{place}: {problems[place]}" for place in named])
        return Settled(newcomers=await _with_logins(session, coming))


async def take_in(
    resources: Resources, newcomers: Sequence[Newcomer], on_progress: Callable[[int], None], wishes: Wishes
) -> None:
    """All of them or none: one transaction, each with the default role and its own. `on_progress` gets how many more
    are in. All must have logins, as `settle` gives them.
    """
    # For those without a password: one that nobody knows.
    nobodys = await resources.hasher.hash(secrets.token_urlsafe(32))
    try:
        async with resources.db.begin() as session:
            await _hold_roles(session, newcomers)
            looks: list[tuple[UUID, str]] = []
            for chunk in _chunks(newcomers):
                looks += await _take_in_some(resources, session, chunk, nobodys, wishes)
                on_progress(len(chunk))
            # Last: who registers meanwhile has an address that no chunk after it can still wait for.
            for number in range(0, len(looks), CHUNK):
                some = looks[number : number + CHUNK]
                await look_alikes.claim_many(session, some, checked=not wishes.keep_look_alikes)
            after = {"count": len(newcomers), "roles": roles_of(newcomers)}
            target = Target("user", None)
            write_act(session, operator(), Action.USERS_IMPORTED, target, at=resources.clock(), after=after)
    except IntegrityError as error:
        raise repository.taken(error) from None  # by a registration since `settle`


def roles_of(newcomers: Sequence[Newcomer]) -> dict[str, int]:
    """How many get each role, beside the default one."""
    return dict(Counter(role for newcomer in newcomers for role in newcomer.roles))


async def _hold_roles(session: AsyncSession, newcomers: Sequence[Newcomer]) -> None:
    """Raises NotFound where a role has gone since `settle`. Without roles of its own a file stops no other admin."""
    roles = roles_of(newcomers)
    if roles:
        await lock_access_rules(session)
    for role in roles:
        existing(await find_role(session, role), "role")


async def _take_in_some(
    resources: Resources, session: AsyncSession, newcomers: Sequence[Newcomer], nobodys: str, wishes: Wishes
) -> list[tuple[UUID, str]]:
    now = resources.clock()
    rows = [_row(newcomer, nobodys, now) for newcomer in newcomers]
    grants: list[dict[str, Any]] = []
    events: list[Event] = []
    for newcomer, row in zip(newcomers, rows, strict=True):
        roles = dict.fromkeys([resources.settings.default_role, *newcomer.roles])
        dates = {"user_id": row["id"], "valid_from": now}
        grants += [{"role_name": role, "granted_at": now, "reason": "imported"} | dates for role in roles]
        events += _events(row, list(roles), now)
    await repository.insert_many(session, rows, grants)
    await record(resources, session, *events)
    seeds = {row["id"]: newcomer.seed for newcomer, row in zip(newcomers, rows, strict=True) if newcomer.seed}
    if seeds:
        await mfa.bring_in(resources, session, seeds)
    if wishes.invite:
        for newcomer, row in zip(newcomers, rows, strict=True):
            if newcomer.password_hash is None and newcomer.is_active:
                await invite(resources, session, User(**row))
    return [(row["id"], look(row["login"])) for row in rows]


def _row(newcomer: Newcomer, nobodys: str, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "login": newcomer.login,
        "login_key": newcomer.login_key,
        "email": newcomer.email,
        "email_key": newcomer.email_key,
        "email_verified_at": now if newcomer.email_verified else None,
        "full_name": newcomer.full_name,
        "password_hash": newcomer.password_hash or nobodys,
        "is_active": newcomer.is_active,
        "created_at": newcomer.created_at or now,
        "updated_at": now,
    }


def _events(row: dict[str, Any], roles: list[str], now: datetime) -> Iterator[Event]:
    user_id: UUID = row["id"]
    yield NewUser(user_id=user_id, username=row["login"], full_name=row["full_name"], created_at=row["created_at"])
    for role in roles:
        yield RoleGranted(user_id=user_id, role=role, valid_from=now, valid_until=None, by=None)
    if row["email_verified_at"] is not None:
        yield EmailVerified(user_id=user_id)
    if not row["is_active"]:
        yield UserDeactivated(user_id=user_id)


async def _taken(session: AsyncSession, newcomers: Sequence[Newcomer]) -> set[str]:
    """Places of those whose login or e-mail address is taken here."""
    taken: set[str] = set()
    for chunk in _chunks(newcomers):
        logins = [newcomer.login_key for newcomer in chunk if newcomer.login_key is not None]
        keys = await repository.existing_keys(session, logins, [newcomer.email_key for newcomer in chunk])
        taken |= {newcomer.place for newcomer in chunk if keys & {newcomer.login_key, newcomer.email_key}}
    return taken


async def _look_alikes(session: AsyncSession, newcomers: Sequence[Newcomer]) -> list[str]:
    """Places of those whose login looks like that of an account here, which is another one."""
    found: list[str] = []
    for chunk in _chunks(newcomers):
        mine = {newcomer.place: look(newcomer.login) for newcomer in chunk if newcomer.login is not None}
        theirs = await look_alikes.taken_looks(session, list(mine.values()))
        found += [place for place, seen in mine.items() if seen in theirs]
    return found


def _unsuitable(newcomers: Sequence[Newcomer], known: set[str], now: datetime) -> dict[str, str]:
    problems: dict[str, str] = {}
    for newcomer in newcomers:
        unknown = next((role for role in newcomer.roles if role not in known), None)
        if unknown is not None:
            problems[newcomer.place] = f"roles: there is no role {shown(unknown)} here"
        if newcomer.created_at is not None and newcomer.created_at > now:
            problems[newcomer.place] = "created_at must not lie in the future"
    return problems


async def _with_logins(session: AsyncSession, newcomers: Sequence[Newcomer]) -> list[Newcomer]:
    used = {look(newcomer.login) for newcomer in newcomers if newcomer.login is not None}
    nameless = [newcomer for newcomer in newcomers if newcomer.login is None]
    logins: dict[str, str] = {}
    for chunk in _chunks(nameless):
        free = await free_logins(session, [newcomer.email for newcomer in chunk], used)
        logins |= {newcomer.place: login for newcomer, login in zip(chunk, free, strict=True)}
    return [replace(newcomer, login=logins.get(newcomer.place, newcomer.login)) for newcomer in newcomers]


def _chunks(newcomers: Sequence[Newcomer]) -> Iterator[Sequence[Newcomer]]:
    return (newcomers[start : start + CHUNK] for start in range(0, len(newcomers), CHUNK))
