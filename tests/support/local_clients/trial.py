"""One change after the other of one actor, while every client is asked what it changes: before, during, and after."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from tests.support.coherence.changes import possible
from tests.support.coherence.fleet import Fleet
from tests.support.coherence.model import Truth
from tests.support.coherence.questions import CLOCKS, UNKNOWN
from tests.support.coherence.table import Table
from tests.support.coherence.trial import Tries
from tests.support.local_clients.client import BOUND, Following, LocalClient, Sample, boot_seconds
from tests.support.local_clients.truths import Asked, TimedActor, questions

WAIT_SECONDS = BOUND + 0.5
ASKED = 5  # questions for each client and change


@dataclass
class Seen:
    """Seconds from the answer of a change to a client's first answer that is new; below 0 where it was first."""

    late: list[float] = field(default_factory=list)
    kept: int = 0  # trials whose last answer came from memory, too

    def __str__(self) -> str:
        late = sorted(self.late) or [0.0]
        p50, p99, worst = late[len(late) // 2], late[int(len(late) * 0.99)], late[-1]
        return (
            f"the last answer of {self.kept:,} trials came from memory, too; {len(self.late):,} times a client's answer"
            f" became another one, {p50 * 1000:.1f} ms after the change was answered at p50, {p99 * 1000:.1f} ms at p99"
            f" and {worst * 1000:.1f} ms at worst"
        )


class LocalTries(Tries):
    """A trial is one change, one client and one question that it answered from its memory before the change was
    answered, and that it was asked again after that; all that it said meanwhile is compared.
    """

    _actor: TimedActor

    def __init__(
        self,
        actor: TimedActor,
        fleet: Fleet,
        table: Table,
        chance: random.Random,
        *,
        clients: list[LocalClient],
        seen: Seen,
    ) -> None:
        super().__init__(actor, fleet, table, chance)
        self._clients, self._seen = clients, seen

    async def once(self) -> None:
        actor = self._actor
        await actor.keep_young()
        makers = possible(actor)
        (make,) = self._chance.choices([maker for maker, _ in makers], [weight for _, weight in makers])
        change = await make(actor, self._chance)
        row = self._table.rows[change.kind]
        every = questions(actor, [one for one in change.about if one in actor.tokens])
        asked = [
            (client, question)
            for client in self._clients
            for question in self._chance.sample(every, min(ASKED, len(every)))
        ]
        before = actor.truth
        samples = await asyncio.gather(*(client.ask(question.call) for client, question in asked))
        for (client, question), sample in zip(asked, samples, strict=True):
            row.during += self._look(change.kind, client, question, sample)
        following = [client.follow(question.call) for client, question in asked]
        await self._carry_out(change)
        changed, wall = boot_seconds(), time.time()
        row.changes += 1
        ends = [
            self._end(change.kind, client, question, one, (before, changed, wall))
            for (client, question), one in zip(asked, following, strict=True)
        ]
        counted = await asyncio.gather(*ends)
        row.trials += sum(counted)  # by itself: while it waits, other actors count in the same row
        await self._come_back()
        actor.forget_old()

    async def _end(
        self, kind: str, client: LocalClient, asked: Asked, following: Following, change: tuple[Truth, float, float]
    ) -> bool:
        before, changed, wall = change
        words = asked.may_be([self._actor.truth], (wall, wall + WAIT_SECONDS))
        samples = await following.stop(words, WAIT_SECONDS)
        found = [self._look(kind, client, asked, sample) for sample in samples]
        self._table.rows[kind].compared += sum(found)
        new = words - asked.may_be([before], (wall,))
        first = next((sample.answered for sample in samples if sample.word in new), None)
        if first is not None:
            self._seen.late.append(first - changed)
        had = any(sample.kept and sample.asked < changed for sample in samples)
        again = found[-1] and samples[-1].asked > changed
        self._seen.kept += had and again and samples[-1].kept
        return had and again

    def _look(self, kind: str, client: LocalClient, question: Asked, sample: Sample) -> bool:
        """True where it said something."""
        if sample.word == UNKNOWN:
            self._table.rows[kind].unknown += 1
            return False
        offset = time.time() - boot_seconds()
        moments = (sample.asked + offset - CLOCKS, sample.answered + offset + CLOCKS)
        truths = self._actor.between(sample.asked - BOUND, sample.answered)
        expected = question.may_be(truths, moments)
        if sample.word not in expected:
            ended = [f"{sample.asked - until:.3f}" for _, until in self._actor.times if until < sample.asked][-3:]
            self._table.violated(
                kind,
                f"{time.strftime('%H:%M:%S')} {kind} of {self._actor.name}: {client.name} said {sample.word!r} to"
                f" {question.kind}{' from memory' if sample.kept else ''}, not {sorted(expected)}; it took"
                f" {(sample.answered - sample.asked) * 1000:.1f} ms; the last truths ended {', '.join(ended)} s before;"
                f" {truths}",
            )
        return True
