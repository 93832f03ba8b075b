"""The changes that are tried: how each is asked for, and what is true after it."""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from tests.support.api import PASSWORD
from tests.support.coherence.actor import Actor
from tests.support.coherence.model import FOR_EVER, Truth
from tests.support.coherence.people import TOTP_SECRET
from tests.support.coherence.wire import request
from tests.support.phone import shown_at

REASON = {"reason": "a trial"}
LIMIT = 3  # sessions of a user: SESSION_LIMIT of the replicas
ENDS_SOON = "grant that ends soon"
STALE = 2  # a generation of a refresh token long before the present one


@dataclass(slots=True)
class Change:
    """`good`: statuses that say that it is done. `session`: what the answer brings, if it is a new session, and when
    its code was shown. `again`: whether a try whose answer was lost can simply be repeated.
    """

    kind: str
    sent: bytes
    good: frozenset[int]
    then: Truth
    about: list[str]
    session: Callable[[], float | None] | None = None
    again: bool = True


Maker = Callable[[Actor, random.Random], Awaitable[Change]]


def _change(kind: str, sent: bytes, good: set[int], then: Truth, about: list[str]) -> Change:
    return Change(kind, sent, frozenset(good), then, about)


async def _sessions(actor: Actor, count: int, *, shown: bool = False) -> list[str]:
    """So many that live; the last is the newest."""
    alive = [session for session, _ in actor.truth.sessions]
    while len(alive) < count:
        alive.append(await actor.new_session(shown=shown))
    return alive[:count]


async def logout(actor: Actor, _random: random.Random) -> Change:
    one, other = await _sessions(actor, 2)
    sent = request("POST", "/auth/logout", actor.tokens[one])
    return _change("logout", sent, {204}, actor.truth.without(one), [one, other])


async def end_session(actor: Actor, _random: random.Random) -> Change:
    one, other = await _sessions(actor, 2)
    sent = request("DELETE", f"/users/me/sessions/{one}", actor.tokens[other])
    return _change("end of a session", sent, {204, 404}, actor.truth.without(one), [one, other])


async def logout_others(actor: Actor, _random: random.Random) -> Change:
    one, other = await _sessions(actor, 2)
    sent = request("POST", "/auth/logout-others", actor.tokens[one])
    return _change("logout-others", sent, {204}, actor.truth.only(one), [one, other])


async def logout_all(actor: Actor, _random: random.Random) -> Change:
    """A second try may find its own token dead, which says that the first has worked."""
    one, other = await _sessions(actor, 2)
    sent = request("POST", "/auth/logout-all", actor.tokens[one])
    return _change("logout-all", sent, {204, 401}, actor.truth.only(), [one, other])


async def grant(actor: Actor, chance: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    soon = chance.random() < 0.5
    until = time.time() + chance.uniform(0.2, 2) if soon else FOR_EVER
    body = {**REASON, "valid_until": datetime.fromtimestamp(until, UTC).isoformat()} if soon else REASON
    sent = request("PUT", f"/users/{actor.user}/roles/{actor.role}", actor.people.admin, body)
    kind = ENDS_SOON if soon else "grant"
    return _change(kind, sent, {200}, replace(actor.truth, until=until), [one])


async def revoke(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    sent = request("DELETE", f"/users/{actor.user}/roles/{actor.role}", actor.people.admin)
    return _change("revoke", sent, {204, 404}, replace(actor.truth, until=None), [one])


async def edit_role(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    own = not actor.truth.own
    body = {"permissions": [actor.codes["own"]] if own else []}
    sent = request("PATCH", f"/roles/{actor.role}", actor.people.admin, body)
    return _change("role edit", sent, {200}, replace(actor.truth, own=own), [one])


async def edit_parents(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    inherits = not actor.truth.inherits
    sent = request("PATCH", f"/roles/{actor.role}", actor.people.admin, {"parents": [actor.parent] if inherits else []})
    return _change("parent edit", sent, {200}, replace(actor.truth, inherits=inherits), [one])


async def mark(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    marked = not actor.truth.marked
    sent = request("PATCH", f"/permissions/{actor.codes['own']}", actor.people.admin, {"step_up": marked})
    return _change("step-up mark", sent, {200}, replace(actor.truth, marked=marked), [one])


async def disable(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    body = {"is_active": False, **REASON}
    sent = request("PATCH", f"/admin/users/{actor.user}", actor.people.admin, body)
    return _change("deactivate", sent, {200}, replace(actor.truth.only(), active=False), [one])


async def enable(actor: Actor, _random: random.Random) -> Change:
    body = {"is_active": True, **REASON}
    sent = request("PATCH", f"/admin/users/{actor.user}", actor.people.admin, body)
    return _change("activate", sent, {200}, replace(actor.truth, active=True), list(actor.tokens)[-1:])


async def delete_user(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    sent = request("POST", f"/admin/users/{actor.user}/delete", actor.people.admin, REASON)
    return _change("delete user", sent, {204, 404}, replace(actor.truth.only(), here=False), [one])


async def delete_service(actor: Actor, _random: random.Random) -> Change:
    (one,) = await _sessions(actor, 1)
    sent = request("DELETE", f"/services/{actor.service}", actor.people.admin)
    return _change("service deletion", sent, {204, 404}, replace(actor.truth, service=False), [one])


async def reuse(actor: Actor, _random: random.Random) -> Change:
    (other,) = await _sessions(actor, 1)
    one = await actor.new_session(generation=STALE + 5)
    body = {"refresh_token": actor.people.refresh_token(one, STALE)}
    return _change(
        "refresh reuse", request("POST", "/auth/refresh", None, body), {401}, actor.truth.without(one), [one, other]
    )


async def step_up(actor: Actor, _random: random.Random) -> Change:
    """The session goes on under a new id, and the old token is dead."""
    (one,) = await _sessions(actor, 1)
    body = {"code": shown_at(TOTP_SECRET, datetime.now(UTC))}
    actor.used_step = _step()
    change = _change(
        "step-up by code",
        request("POST", "/auth/step-up", actor.tokens[one], body),
        {200},
        actor.truth.without(one),
        [one],
    )
    change.session, change.again = actor.people.now, False
    return change


async def login_too_many(actor: Actor, _random: random.Random) -> Change:
    """Of a new user, whose sessions are all known."""
    await actor.new_user()
    sessions = [await actor.new_session() for _ in range(LIMIT)]
    body = {"login": actor.people.login_of(actor.user), "password": PASSWORD}
    change = _change(
        "login beyond the cap",
        request("POST", "/auth/login", None, body),
        {200},
        actor.truth.without(sessions[0]),
        sessions[:2],
    )
    change.session, change.again = lambda: None, False
    return change


def grant_for_ever(actor: Actor) -> tuple[bytes, Truth]:
    """In the place of one whose end has come before it was granted."""
    sent = request("PUT", f"/users/{actor.user}/roles/{actor.role}", actor.people.admin, REASON)
    return sent, replace(actor.truths[actor.floor], until=FOR_EVER)


def log_out_of_all(actor: Actor) -> bytes:
    """Ends a doubt: it can be repeated until it works."""
    return request("POST", f"/admin/users/{actor.user}/logout-all", actor.people.admin)


def brought(change: Change, body: bytes, then: Truth) -> tuple[str, str, Truth]:
    """Session, token and the truth with it."""
    assert change.session is not None
    value = orjson.loads(body)
    session = str(value["session_id"])
    return session, str(value["access_token"]), then.plus(session, change.session())


def possible(actor: Actor) -> list[tuple[Maker, float]]:
    """With the weight of each; rarer are those that empty whole caches, wait for one lock, or hash a password."""
    truth = actor.truth
    if not truth.active:
        return [(enable, 1.0)]
    makers: list[tuple[Maker, float]] = [
        (logout, 4.0),
        (end_session, 4.0),
        (logout_others, 3.0),
        (logout_all, 3.0),
        (grant, 3.0),
        (edit_role, 0.6),
        (edit_parents, 0.6),
        (mark, 0.6),
        (disable, 1.2),
        (delete_user, 1.2),
        (delete_service, 1.5),
        (reuse, 3.0),
    ]
    if truth.until is not None:
        makers.append((revoke, 3.0))
    if actor.second_factor and _step() > actor.used_step:
        makers.append((step_up, 12.0))
    if not actor.second_factor:
        makers.append((login_too_many, 0.2))
    return makers


def _step() -> int:
    return int(time.time()) // 30
