"""One user with a role, its parent, two codes and a service, all of its own: nobody else changes what is said of it."""

import itertools
from dataclasses import replace

from tests.support.coherence.model import Truth
from tests.support.coherence.people import People
from tests.support.coherence.questions import Names, Question, by_own_service, by_service, by_user

_numbers = itertools.count(1)


class Actor:
    """`truths`, from `floor` on, are all that may be so now: two of them while a change is under way."""

    def __init__(self, people: People, *, second_factor: bool) -> None:
        self.people, self.second_factor = people, second_factor
        self.name = f"trial-{next(_numbers)}"
        self.role, self.parent = f"{self.name}-role", f"{self.name}-parent"
        self.codes = {"own": f"{self.name}:use", "inherited": f"{self.name}-more:use"}
        self.truths, self.floor = [Truth()], 0
        self.user, self.service = "", ""
        self.tokens: dict[str, str] = {}  # by session, of those that have ended too
        self.service_token = ""
        self.used_step = 0
        self._era = -1

    @property
    def truth(self) -> Truth:
        assert self.floor == len(self.truths) - 1
        return self.truths[self.floor]

    def may_become(self, truth: Truth) -> None:
        self.truths.append(truth)

    def has_become(self, truth: Truth) -> None:
        """From now on nothing else is true."""
        self.truths.append(truth)
        self.floor = len(self.truths) - 1

    async def begin(self) -> None:
        await self.people.actor(self.name, self.codes)
        await self.new_user()
        await self.new_service()

    async def new_user(self) -> None:
        self.user = await self.people.user(self.role, second_factor=self.second_factor)
        self.used_step = 0
        self.tokens = {}
        self.has_become(replace(self.truth, here=True, active=True, until=float("inf"), sessions=()))

    async def new_service(self) -> None:
        self.service = await self.people.service()
        self.service_token = self.people.service_token(self.service)
        self.has_become(replace(self.truth, service=True))

    async def new_session(self, *, shown: bool = False, generation: int = 0) -> str:
        """`shown`: a second factor, a moment ago."""
        now = self.people.now()
        session, epoch = await self.people.session(self.user, shown=shown, generation=generation)
        self.tokens[session] = self.people.token(self.user, session, epoch)
        # An interval of a second, in which nobody need know exactly when: 15 minutes are not reached.
        self.has_become(self.truth.plus(session, now if shown else None))
        return session

    async def keep_young(self) -> None:
        """Before its tokens expire it begins with new ones."""
        if self._era != self.people.era:
            self._era = self.people.era
            self.service_token = self.people.service_token(self.service)
            self.has_become(replace(self.truth, sessions=()))
            self.tokens = {}
        dead = [one for one in self.tokens if not self.truth.lives(one)]
        for session in dead[:-1]:  # the last one may still be asked with
            del self.tokens[session]

    def questions(self, sessions: list[str]) -> list[Question]:
        names = Names(self.user, self.codes)
        asked = by_own_service(names, self.service_token)
        for session in sessions:
            asked += by_user(names, session, self.tokens[session])
            asked += by_service(names, session, self.people.checker)
        return asked
