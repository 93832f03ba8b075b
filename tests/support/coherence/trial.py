"""One trial after the other of one actor: asked before, asked during, changed, and asked after on every worker."""

import asyncio
import os
import random
import time
from contextlib import suppress
from dataclasses import replace

from tests.support.coherence.actor import Actor
from tests.support.coherence.changes import ENDS_SOON, Change, brought, grant_for_ever, log_out_of_all, possible
from tests.support.coherence.fleet import Fleet, Worker
from tests.support.coherence.questions import UNKNOWN, Question, said
from tests.support.coherence.table import Table
from tests.support.coherence.wire import Answer, Broken

# Questions for each worker and trial: more of them compare more answers a second, of fewer changes.
ASKED = int(os.environ.get("TRIAL_QUESTIONS", "2"))
PAUSE = 0.01  # between what is asked while a change is under way, and then longer and longer
AGAIN_SECONDS = 0.1
PATIENCE = 90


class Tries:
    """Of one actor, on all workers."""

    def __init__(self, actor: Actor, fleet: Fleet, table: Table, chance: random.Random) -> None:
        self._actor, self._fleet, self._table, self._chance = actor, fleet, table, chance

    async def once(self) -> None:
        actor = self._actor
        await actor.keep_young()
        makers = possible(actor)
        (make,) = self._chance.choices([maker for maker, _ in makers], [weight for _, weight in makers])
        change = await make(actor, self._chance)
        row = self._table.rows[change.kind]
        every = actor.questions([one for one in change.about if one in actor.tokens])
        asked = {worker: self._chance.sample(every, min(ASKED, len(every))) for worker in self._fleet.workers}
        await self._ask_all(change.kind, asked, after=False)  # so that all have it in memory
        done = asyncio.Event()
        checkers = [
            asyncio.create_task(self._keep_asking(change.kind, worker, questions, done))
            for worker, questions in asked.items()
        ]
        try:
            await self._carry_out(change)
            answered = await self._ask_all(change.kind, asked, after=True)
        finally:
            done.set()
            await asyncio.gather(*checkers)
        row.changes += 1
        row.trials += answered
        await self._come_back()

    async def _carry_out(self, change: Change) -> None:
        """Until it is certain; as long as it is not, the old and the new may be true."""
        actor, row = self._actor, self._table.rows[change.kind]
        actor.may_become(change.then)
        sent, then, good = change.sent, change.then, change.good
        deadline, tries = time.monotonic() + PATIENCE, 0
        while True:
            worker, begun = await self._any_worker(), time.monotonic()
            answer = await self._try(worker, sent)
            waited = time.monotonic() - begun
            tries += 1
            if answer is not None and answer.status in good:
                break
            if answer is not None and answer.status == 422 and change.kind == ENDS_SOON:
                sent, then = grant_for_ever(actor)
                actor.may_become(then)
            elif answer is not None and answer.status != 503:
                self._table.odd.append(f"{change.kind}: {answer.status} {answer.body.decode()[:200]}")
            row.repeated += 1
            if not change.again:  # nobody can know what became of it, so all of the user is ended
                then = actor.truths[actor.floor].only()
                actor.may_become(then)
                sent, good = log_out_of_all(actor), frozenset({204})
            assert time.monotonic() < deadline, f"{change.kind} did not come to an end: {answer}"
            await asyncio.sleep(AGAIN_SECONDS)
        if change.session is not None and sent is change.sent:
            session, token, then = brought(change, answer.body, then)
            actor.tokens[session] = token
        actor.has_become(then)
        row.waits.append(waited)

    async def _try(self, worker: Worker, sent: bytes) -> Answer | None:
        with suppress(Broken):
            return await worker.ask(sent)
        return None

    async def _any_worker(self) -> Worker:
        """After a pause of half a minute the service has closed all lines, and new ones are on their way."""
        async with asyncio.timeout(PATIENCE):
            while not (workers := self._fleet.workers):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return self._chance.choice(workers)

    async def _ask_all(self, kind: str, asked: dict[Worker, list[Question]], *, after: bool) -> int:
        """How many workers answered something that was compared."""
        calls = [self._ask_one(kind, worker, questions, after=after) for worker, questions in asked.items()]
        return sum(await asyncio.gather(*calls))

    async def _ask_one(self, kind: str, worker: Worker, questions: list[Question], *, after: bool) -> bool:
        found = await asyncio.gather(*(self._compare(kind, worker, question) for question in questions))
        row = self._table.rows[kind]
        if after:
            row.compared += sum(found)
        else:
            row.during += sum(found)
        return any(found)

    async def _keep_asking(self, kind: str, worker: Worker, questions: list[Question], done: asyncio.Event) -> None:
        row, pause = self._table.rows[kind], PAUSE
        while not done.is_set():
            row.during += await self._compare(kind, worker, self._chance.choice(questions))
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), pause)
            pause *= 1.5

    async def _compare(self, kind: str, worker: Worker, question: Question) -> bool:
        """True where there was an answer, and it said something."""
        actor, row = self._actor, self._table.rows[kind]
        try:
            line = await worker.take()
            floor, begun, wall = actor.floor, time.monotonic(), time.time()
            answer = await worker.ask_on(line, question.sent)
        except Broken:
            row.broken += 1
            return False
        truths = actor.truths[floor:]
        word = said(answer)
        if word == UNKNOWN:
            row.unknown += 1
            return False
        expected = question.may_be(truths, wall, time.time())
        if word not in expected:
            took = (time.monotonic() - begun) * 1000
            self._table.violated(
                kind,
                f"{time.strftime('%H:%M:%S')} {kind} of {actor.name}: {worker.name} said {word!r} to {question.kind},"
                f" not {sorted(expected)}; after {took:.1f} ms; {truths}",
            )
        return True

    async def _come_back(self) -> None:
        """What a deletion took away is made anew; what was given with an end is given again one day by itself."""
        actor = self._actor
        if not actor.truth.here:
            await actor.new_user()
        if not actor.truth.service:
            await actor.new_service()
        if len(actor.truths) > 1000:
            actor.truths, actor.floor = [replace(actor.truth)], 0
