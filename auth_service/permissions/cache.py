"""HOT. The near cache of a worker and its only owner: verified tokens, and for each subject the answers it was given.

Nothing here is older than the last change that anyone was told has been made:

- A place is made before the stores are asked, and a change of the subject takes the place away (`changed`). So what
  was read before the change is put where nobody looks.
- Answers are given only while the worker holds its lease (`Coherence.until`), which says that it has heard of every
  change that was answered.
- What time alone ends has an `until`: a grant, a step-up, a token, its key. A clock that was set back empties all.

Bounded in bytes, by what an entry was measured to take. Two generations stand for "least recently used": what was not
asked for while half of the bytes were filled anew goes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from sys import intern
from uuid import UUID

from auth_service.core.clock import utc_now
from auth_service.core.coherence import boot_seconds
from auth_service.core.connections import Resources
from auth_service.core.http.fast_routes import Headers, json_head
from auth_service.core.principal import Principal
from auth_service.core.telemetry.metrics import Metrics
from auth_service.permissions.codes import CHECK_OTHERS
from auth_service.permissions.decision import Decision, Reason
from auth_service.permissions.patterns import covers
from auth_service.permissions.schemas import check_body

ALWAYS = float("inf")
SUBJECT_BYTES, ANSWER_BYTES, CALLER_BYTES = 420, 130, 2600  # tests/permissions/test_cache.py measures them
MOST_REPLIES = 1024
SET_BACK_SECONDS = 0.001  # datetime cuts microseconds, so that what is read later may be a little less
MOST_ASKED = 16  # of one caller; an own page asks for a few


class Reply:
    """What goes out for a decision, or for a caller at the forward authentication."""

    __slots__ = ("allowed", "body", "head", "reason")

    def __init__(self, allowed: bool, reason: str, head: Headers, body: bytes) -> None:
        self.allowed, self.reason, self.head, self.body = allowed, reason, head, body


class Kept:
    """A reply, and the Unix time from which on it may be another one."""

    __slots__ = ("reply", "until")

    def __init__(self, reply: Reply, until: float) -> None:
        self.reply, self.until = reply, until


class Asked:
    """`granted`: how many decisions the reply stands for, where it is that all are granted; 0: one, with its reason."""

    __slots__ = ("granted", "reply", "until")

    def __init__(self, reply: Reply, until: float, granted: int) -> None:
        self.reply, self.until, self.granted = reply, until, granted


class Subject:
    """Answers by code; by code and session where the code asks for a second factor."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers: dict[str | tuple[str, str | None], Kept] = {}


class Caller:
    """Of one Authorization header; it counts while `subject` stands at its id. `checks` and `queries`: what it asked
    about itself, as the bytes that came, with the answer.
    """

    __slots__ = ("checks", "id", "named", "principal", "queries", "scoped", "service", "session", "subject", "until")

    def __init__(self, principal: Principal, subject: Subject, until: float) -> None:
        self.principal = principal
        self.id = str(principal.subject)
        self.session = str(principal.session_id)
        self.service = principal.is_service
        self.scoped = self.service and covers(principal.claims.scopes, CHECK_OTHERS)
        self.subject, self.until = subject, until
        self.named: Reply | None = None  # what the forward authentication says of it
        self.checks: dict[bytes, Asked] = {}
        self.queries: dict[bytes, Asked] = {}


class CheckCache:
    """Of one worker. `now` is a Unix time by the clock that decisions go by."""

    def __init__(self, resources: Resources) -> None:
        clock = resources.clock
        self.unix_time = time.time if clock is utc_now else lambda: clock().timestamp()
        self.hits: Counter[tuple[str, str]] = Counter()  # by method and route
        self.decided: Counter[str] = Counter()  # by reason
        self._coherence = resources.coherence
        self._keys = resources.keys
        self._most = resources.settings.check_cache_bytes // 2  # of a generation
        self._spent = 0
        self._latest = 0.0
        self._callers: dict[bytes, Caller] = {}
        self._old_callers: dict[bytes, Caller] = {}
        self._subjects: dict[str, Subject] = {}
        self._old_subjects: dict[str, Subject] = {}
        self._replies: dict[tuple[Reason, datetime | None], Reply] = {}
        self._loading: dict[Hashable, asyncio.Event] = {}
        if self._most:
            resources.coherence.tell(self.changed, self.forget)

    def current(self) -> float | None:
        """The time to answer at; None where nothing may be answered from here. To be asked before each answer: the
        process may have been frozen since the one before.
        """
        if boot_seconds() >= self._coherence.until:
            return None
        now = self.unix_time()
        self.seen(now)
        return now

    def seen(self, now: float) -> None:
        """A time that was gone by; to be told right when it is read."""
        if now < self._latest - SET_BACK_SECONDS:
            self.clear()
        self._latest = now

    def caller(self, authorization: bytes, now: float) -> Caller | None:
        """Whose token is good at this moment."""
        found = self._callers.get(authorization)
        if found is None:
            found = self._old_callers.pop(authorization, None)
            if found is None:
                return None
            self._callers[authorization] = found
            self._spend(CALLER_BYTES)
        if now < found.until and self._subject(found.id) is found.subject:
            return found
        self._callers.pop(authorization, None)
        return None

    def again(self, asked: Asked | None, now: float) -> Reply | None:
        """The answer to what was asked before, counted."""
        if asked is None or now >= asked.until:
            return None
        if asked.granted:
            self.decided["granted"] += asked.granted
        elif asked.reply.reason:
            self.decided[asked.reply.reason] += 1
        return asked.reply

    def find(self, caller: Caller, code: str, user: str | None, session: str | None, now: float) -> Kept | None:
        """What the ordinary route would say, where it is known: see `checks.answer_checks`."""
        if not caller.scoped:
            if caller.service:
                return None
            if user is None or user == caller.id:
                return _good(caller.subject, code, caller.session, now)
            may = _good(caller.subject, CHECK_OTHERS, caller.session, now)
            if may is None or not may.reply.allowed:
                return None
        if user is None:
            return None
        subject = self._subjects.get(user) or self._subject(user)
        return None if subject is None else _good(subject, code, session, now)

    def places(self, users: Collection[UUID]) -> Mapping[UUID, Subject] | None:
        """To be asked for before the stores are; None where nothing may be kept."""
        if not self._most or not self._coherence.hearing.is_set():
            return None
        return {user: self._place(str(user)) for user in users}

    def keep(self, place: Subject, code: str, session: UUID | None, decision: Decision, *, of_session: bool) -> None:
        until = ALWAYS if decision.valid_until is None else decision.valid_until.timestamp()
        reply = self._replies.get((decision.reason, decision.valid_until))
        if reply is None:
            body = check_body(decision)
            reply = Reply(decision.allowed, str(decision.reason), json_head(body), body)
            if len(self._replies) >= MOST_REPLIES:
                self._replies = {}
            self._replies[decision.reason, decision.valid_until] = reply
        code = intern(code)
        key = (code, str(session) if session else None) if of_session else code
        if key not in place.answers:
            self._spend(ANSWER_BYTES)
        place.answers[key] = Kept(reply, until)

    def keep_caller(self, place: Subject, token: str, principal: Principal) -> None:
        until = self._keys.good_until(token)
        if until is not None and self._subject(str(principal.subject)) is place:
            self._callers[b"Bearer " + token.encode()] = Caller(principal, place, until)
            self._spend(CALLER_BYTES)

    def name(self, token: str, head: Headers) -> None:
        """What the forward authentication says of a caller, where it is kept."""
        caller = self._callers.get(b"Bearer " + token.encode())
        if caller is not None:
            caller.named = Reply(True, "", head, b"")

    @asynccontextmanager
    async def one_at_a_time(self, key: Hashable) -> AsyncIterator[bool]:
        """Whoever asks for what somebody is just loading waits for that one, once; True where there was nobody."""
        ahead = self._loading.get(key)
        if ahead is not None:
            await ahead.wait()
            yield False
            return
        mine = self._loading[key] = asyncio.Event()
        try:
            yield True
        finally:
            del self._loading[key]
            mine.set()

    def forget_unknown(self, user: UUID, place: Subject) -> None:
        """Nobody would tell of it if there were such a user one day."""
        if not place.answers:
            self._drop(str(user), place)

    def changed(self, what: str) -> None:
        """As Postgres tells of it: migration 0012."""
        if what.startswith("u:"):
            self._drop(what[2:])
            return
        if what == "r":
            self.clear()
        else:
            self.forget()

    def forget(self) -> None:
        """Changes may have been missed."""
        self.clear()
        self._keys.distrust()

    def clear(self) -> None:
        self._callers, self._old_callers, self._subjects, self._old_subjects = {}, {}, {}, {}
        self._replies = {}
        self._spent = 0

    def _subject(self, user: str) -> Subject | None:
        found = self._subjects.get(user)
        if found is None:
            found = self._old_subjects.pop(user, None)
            if found is not None:
                self._subjects[user] = found
                self._spend(SUBJECT_BYTES + ANSWER_BYTES * len(found.answers))
        return found

    def _drop(self, user: str, only: Subject | None = None) -> None:
        """`only`: where that one is still there."""
        for subjects in (self._subjects, self._old_subjects):
            if only is None or subjects.get(user) is only:
                subjects.pop(user, None)

    def _place(self, user: str) -> Subject:
        found = self._subject(user)
        if found is None:
            found = self._subjects[user] = Subject()
            self._spend(SUBJECT_BYTES)
        return found

    def _spend(self, size: int) -> None:
        self._spent += size
        if self._spent > self._most:
            self._old_callers, self._callers = self._callers, {}
            self._old_subjects, self._subjects = self._subjects, {}
            self._spent = 0


@asynccontextmanager
async def counting(cache: CheckCache, metrics: Metrics) -> AsyncIterator[CheckCache]:
    """What the cache answers is in the metrics too, beside what they count as requests and decisions."""

    def take_over() -> None:
        hits, cache.hits = cache.hits, Counter()
        decided, cache.decided = cache.decided, Counter()
        for (method, route), count in hits.items():
            metrics.requests.labels(method, route, "200").inc(count)
            metrics.check_hits.labels(route).inc(count)
        for reason, count in decided.items():
            metrics.checks.labels(reason).inc(count)

    metrics.tallies.append(take_over)
    try:
        yield cache
    finally:
        take_over()


def _good(subject: Subject, code: str, session: str | None, now: float) -> Kept | None:
    kept = subject.answers.get(code) or subject.answers.get((code, session))
    return kept if kept is not None and now < kept.until else None
