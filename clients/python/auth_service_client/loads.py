"""Asks the service about many subjects at once: whoever asks while others do goes with the next batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from auth_service_client.answers import Decision, Question
from auth_service_client.errors import InvalidRequest, Unavailable
from auth_service_client.memory import Memory, Place

MOST_IN_A_BATCH = 100
# At once. Ten thousand subjects that are asked for together wait for each other, not for the service; and where one of
# three replicas hangs, the others are asked still.
MOST_BATCHES = 8

CLOSED = partial(Unavailable, "closed", "the client was closed meanwhile")

AskMany = Callable[[Sequence[Question]], Awaitable[list[Decision]]]


@dataclass(slots=True, eq=False)
class _Load:
    question: Question
    key: Hashable
    place: Place
    answer: asyncio.Future[Decision]
    sent: bool = False


def key_of(question: Question) -> Hashable:
    """Under which a place keeps the answer."""
    return question.permission if question.session_id is None else (question.permission, str(question.session_id))


class Loads:
    """Of one event loop. For a memory that is used, `ask_many` must ask the stores, not what a worker keeps."""

    def __init__(self, memory: Memory, ask_many: AskMany) -> None:
        self._memory, self._ask_many = memory, ask_many
        self._waiting: deque[_Load] = deque()
        self._batches: set[asyncio.Task[None]] = set()

    async def load(self, question: Question) -> Decision:
        """One question in flight for each subject and permission, until the subject changes; raises as `ask_many`.

        While changes are not known, only what was not sent yet is waited for: nobody could say how old the answer is
        to what was sent before this was asked.
        """
        place, key = self._memory.place(question.user_id), key_of(question)
        load: _Load | None = place.loading.get(key)
        if load is None or (load.sent and not self._memory.good):
            load = place.loading[key] = _Load(question, key, place, asyncio.get_running_loop().create_future())
            self._waiting.append(load)
            if len(self._batches) < MOST_BATCHES:
                batch = asyncio.create_task(self._work())
                self._batches.add(batch)
        return await asyncio.shield(load.answer)

    async def close(self) -> None:
        """Who waits is told."""
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)
        _fail(self._waiting, CLOSED())
        self._waiting.clear()

    async def _work(self) -> None:
        try:
            await asyncio.sleep(0)  # whoever asks in the same turn of the loop comes along
            while self._waiting:
                loads = [self._waiting.popleft() for _ in range(min(MOST_IN_A_BATCH, len(self._waiting)))]
                try:
                    await self._answer(loads)
                finally:
                    for load in loads:
                        if load.place.loading.get(load.key) is load:
                            del load.place.loading[load.key]
                    _fail(loads, CLOSED())  # who was not answered
        finally:  # in the turn in which it sees that nobody waits: a callback would come after somebody else
            self._batches.discard(cast(asyncio.Task[None], asyncio.current_task()))

    async def _answer(self, loads: list[_Load]) -> None:
        for load in loads:
            load.sent = True
        try:
            decisions = await self._ask_many([load.question for load in loads])
        except InvalidRequest as error:
            if len(loads) > 1:  # of one of them: the others must not suffer from it
                for load in loads:
                    await self._answer([load])
                return
            _fail(loads, error)
        except Exception as error:  # noqa: BLE001  whoever waits is told, whatever it is
            _fail(loads, error)
        else:
            for load, decision in zip(loads, decisions, strict=True):
                self._memory.keep(load.place, load.key, decision)
                if not load.answer.done():
                    load.answer.set_result(decision)


def _fail(loads: Iterable[_Load], error: Exception) -> None:
    for load in loads:
        if not load.answer.done():
            load.answer.set_exception(error)
            load.answer.exception()  # looked at: whoever waited may have gone
