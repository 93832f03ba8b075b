"""What the client knows of subjects, and until when it may say so. Pure: the clock is given.

Two facts make it right. A place is made before the service is asked, and a change of the subject takes the place away:
what was asked before the change is put where nobody looks. And nothing is answered once the stream has not proven for
`staleness` seconds that all changes have been told, by a clock that goes on while the process or the machine sleeps.
"""

import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any
from uuid import UUID

from auth_service_client.answers import Decision

MOST_ANSWERS = 256  # of one subject; whoever asks for more begins anew
# What two machines' clocks may run apart while a stream lasts; `prove` notices those that ran further.
DRIFT = 0.0005
NEVER = float("-inf")
ALWAYS = float("inf")


def boot_seconds() -> float:
    """Where the system has such a clock. Elsewhere a machine that slept has to be told by the stream's end."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Place:
    """One subject's: answers by permission, or permission and session, with the service's time that ends them."""

    __slots__ = ("answers", "loading", "tokens", "used")

    def __init__(self) -> None:
        self.answers: dict[Hashable, tuple[Decision, float]] = {}
        self.tokens: dict[str, float] = {}  # ids of access tokens that the service has confirmed, and when they end
        self.loading: dict[Hashable, Any] = {}  # what Loads has on the way
        self.used = False  # since it became old


class Memory:
    """`known` may be asked by any thread, and so changes no dictionary; all else is for the thread of the event loop.

    Two generations stand for "least recently used": what was not asked for while half of `most` came anew goes.
    """

    def __init__(self, staleness: float, most: int, clock: Callable[[], float] = boot_seconds) -> None:
        self._bound, self._most, self._clock = staleness, max(1, most // 2), clock
        self._young: dict[str, Place] = {}
        self._old: dict[str, Place] = {}
        self._proven = NEVER
        self._until = NEVER
        self._ahead = NEVER  # the service's clock of this one, at the most

    @property
    def staleness(self) -> float:
        """How many seconds ago all changes were known; infinite where they never were."""
        return self._clock() - self._proven

    @property
    def good(self) -> bool:
        return self._clock() < self._until

    @property
    def service_time(self) -> float | None:
        """The Unix time of the service, by what it has told; None before. Nobody can set it on this machine."""
        return None if self._ahead == NEVER else self._clock() + self._ahead

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def known(self, user_id: str, key: Hashable) -> Decision | None:
        """HOT. None for what has to be asked."""
        now = self._clock()
        if now >= self._until:
            return None
        place = self._young.get(user_id)
        if place is None:
            place = self._old.get(user_id)
            if place is None:
                return None
            place.used = True
        kept = place.answers.get(key)
        return kept[0] if kept is not None and now + self._ahead < kept[1] else None

    def confirms(self, user_id: UUID, token_id: str) -> bool:
        """Whether the service has accepted that token since the subject last changed, and it has not expired."""
        now = self._clock()
        if now >= self._until:
            return False
        place = self._find(str(user_id))
        return place is not None and now + self._ahead < place.tokens.get(token_id, NEVER)

    def place(self, user_id: UUID) -> Place:
        """To be asked for before the service is."""
        name = str(user_id)
        found = self._find(name)
        if found is None:
            if len(self._young) >= self._most:
                self._turn()
            found = self._young[name] = Place()
        return found

    def keep(self, place: Place, key: Hashable, decision: Decision) -> None:
        if len(place.answers) >= MOST_ANSWERS:
            place.answers = {}
        until = ALWAYS if decision.valid_until is None else decision.valid_until.timestamp()
        place.answers[key] = (decision, until)

    def keep_token(self, place: Place, token_id: str, until: float) -> None:
        """`until`: the Unix time at which the service refuses it."""
        if len(place.tokens) >= MOST_ANSWERS:
            place.tokens = {}
        place.tokens[token_id] = until

    def forget(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            self._young.pop(subject, None)
            self._old.pop(subject, None)

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def distrust(self) -> None:
        """Changes may have been missed."""
        self.clear()
        self._proven = self._until = NEVER

    def prove(self, asked_at: float, seconds: float, wall: float) -> bool:
        """All changes are told that were committed before `seconds` after the request that arrived after `asked_at`;
        the service's clock said `wall` then.

        False for a moment that has yet to come: the clocks of the two machines run apart, as where this one is a
        virtual machine that was halted, and all that is known by that stream's clock may be older than it seems.
        """
        moment = asked_at + seconds - max(0.0, seconds) * DRIFT
        if moment > self._clock():
            self._proven = self._until = NEVER
            return False
        self._ahead = wall - moment
        if moment > self._proven:
            self._proven, self._until = moment, moment + self._bound
        return True

    def _find(self, name: str) -> Place | None:
        place = self._young.get(name)
        if place is None:
            place = self._old.get(name)
            if place is not None:
                place.used = True
        return place

    def _turn(self) -> None:
        used = {name: place for name, place in self._old.items() if place.used}
        for place in used.values():
            place.used = False
        self._old, self._young = self._young, used if len(used) < self._most else {}
