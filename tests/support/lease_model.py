"""Every way in which workers, their stream and time can take turns, within bounds: does anybody answer from old data?

The rules are the shipped ones of core.leases; around them stand a store with a version, a stream, and a near cache of
one entry, as permissions.cache has many. A worker may stop at any step for as long as it likes (frozen), for ever
(killed), or begin anew on another connection. Time goes by in steps, a lease lasts two of them, and there is no end to
it: what differs only in what was long ago is one state.
"""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from auth_service.core.leases import Leases, Message

LEASE, MARGIN = 2, 0
NEVER = float("-inf")


@dataclass(slots=True)
class Worker:
    leases: Leases
    unheard: list[Message | int] = field(default_factory=list)  # of the stream; a number: the change to that version
    sending: Message | None = None  # on its way to the store
    committed: int | None = None  # the version of its own change that nobody has been told of
    asked: int | None = None  # the number of the message that asks for it
    wants: bool = False
    read: int | None = None  # what was read for a place in the cache that was made before
    kept: int | None = None  # what may be answered
    alive: bool = True


@dataclass(slots=True)
class State:
    workers: list[Worker]
    now: int = 0
    version: int = 0
    answered: int = 0  # the newest version that somebody was told has been made
    restarts: int = 0
    kills: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a history goes. Who changes something, and who has a cache: the others only take part."""

    changers: str = "a"
    caches: str = "b"
    changes: int = 1
    messages: int = 2  # of each worker's connection
    restarts: int = 0
    kills: int = 0


class Model:
    """`keeps_late`: a mistake around the rules, as other kinds of Leases are mistakes in them."""

    def __init__(self, bounds: Bounds, kind: type[Leases] = Leases, *, keeps_late: bool = False) -> None:
        self._bounds = bounds
        self._kind = kind
        self._keeps_late = keeps_late

    def states(self) -> int:
        """How many there are; raises AssertionError with the shortest history to one that must not be."""
        first = State([Worker(self._new(name, NEVER)) for name in "ab"])
        before: dict[Hashable, tuple[Hashable, str] | None] = {self._key(first): None}
        reached = [(self._key(first), first)]
        with _no_garbage():
            while reached:
                coming = []
                for here, state in reached:
                    for name, after in self._steps(state):
                        there = self._key(after)
                        if there in before:
                            continue
                        before[there] = (here, name)
                        if any(_lies(after, worker) for worker in after.workers):
                            raise AssertionError("\n".join(_history(before, there)))
                        coming.append((there, after))
                reached = coming
        return len(before)

    def _new(self, name: str, begun: float) -> Leases:
        return self._kind(name, begun, LEASE, MARGIN)

    def _steps(self, state: State) -> Iterator[tuple[str, State]]:
        yield "time goes by", replace(state, now=state.now + 1)
        for index, worker in enumerate(state.workers):
            for name, (may, step) in self.STEPS.items():
                # What a killed worker has sent may still arrive.
                if (worker.alive or name == "its message arrives") and may(self, state, worker):
                    after = _copy(state, index)
                    step(self, after, after.workers[index])
                    yield f"{worker.leases.me}: {name}", after

    def _key(self, state: State) -> Hashable:
        """The state as it differs from others: times lie from now, and what was long ago is all the same."""
        counts = (state.version, state.answered, state.restarts, state.kills)
        return counts, tuple(self._key_of(worker, state.now) for worker in state.workers)

    def _key_of(self, worker: Worker, now: int) -> Hashable:
        leases = worker.leases
        own = (worker.alive, worker.sending, worker.committed, worker.asked, worker.wants, worker.read, worker.kept)
        key: list[Hashable] = [leases.me, leases._number, *own, tuple(worker.unheard), tuple(leases._owed.items())]
        key.append(tuple((number, max(sent - now, -LEASE), asks) for number, (sent, asks) in leases._sent.items()))
        if leases.me[0] in self._bounds.caches:
            key.append(max(leases.held_until - now, 0))
        if leases.me[0] in self._bounds.changers:
            key.append(max(leases.begun - now, -LEASE))
            key += sorted((who, last - now) for who, last in leases._last.items() if last + LEASE > now)
            for number, question in leases._questions.items():
                key += [number, *sorted((who, until - now) for who, until in question.waits.items() if until > now)]
        return tuple(key)

    def _may_send(self, _state: State, worker: Worker) -> bool:
        # A worker without a cache needs no lease, so it speaks only to ask and to answer.
        speaks = worker.wants or worker.leases.owes or worker.leases.me[0] in self._bounds.caches
        return speaks and worker.sending is None and worker.leases._number < self._bounds.messages

    def _send(self, state: State, worker: Worker) -> None:
        worker.sending = worker.leases.send(state.now, asks=worker.wants)
        if worker.wants:
            worker.asked, worker.wants = worker.sending.number, False

    def _may_arrive(self, _state: State, worker: Worker) -> bool:
        return worker.sending is not None

    def _arrive(self, state: State, worker: Worker) -> None:
        assert worker.sending is not None
        message, worker.sending = worker.sending, None
        _tell(state, message)

    def _may_hear(self, _state: State, worker: Worker) -> bool:
        return bool(worker.unheard)

    def _hear(self, state: State, worker: Worker) -> None:
        told = worker.unheard.pop(0)
        if isinstance(told, Message):
            worker.leases.hear(told, state.now)
        else:
            worker.kept = None
            if not self._keeps_late:
                worker.read = None

    def _may_change(self, state: State, worker: Worker) -> bool:
        may = worker.leases.me[0] in self._bounds.changers and worker.committed is None
        return may and state.version < self._bounds.changes

    def _change(self, state: State, worker: Worker) -> None:
        state.version += 1
        worker.committed, worker.wants = state.version, True
        _tell(state, state.version)

    def _may_answer(self, state: State, worker: Worker) -> bool:
        return worker.asked is not None and _copy_leases(worker.leases).settled(worker.asked, state.now)

    def _answer(self, state: State, worker: Worker) -> None:
        assert worker.asked is not None
        assert worker.committed is not None
        worker.leases.settled(worker.asked, state.now)
        state.answered = max(state.answered, worker.committed)
        worker.committed = worker.asked = None

    def _may_read(self, _state: State, worker: Worker) -> bool:
        return worker.leases.me[0] in self._bounds.caches and worker.read is None and worker.kept is None

    def _read(self, state: State, worker: Worker) -> None:
        worker.read = state.version

    def _may_keep(self, _state: State, worker: Worker) -> bool:
        return worker.read is not None

    def _keep(self, _state: State, worker: Worker) -> None:
        worker.kept, worker.read = worker.read, None

    def _may_begin_anew(self, state: State, worker: Worker) -> bool:
        # Who waits for a change waits then until every lease of before it has run out, whatever anybody says.
        return state.restarts < self._bounds.restarts and worker.committed is None

    def _begin_anew(self, state: State, worker: Worker) -> None:
        state.restarts += 1
        state.workers[state.workers.index(worker)] = Worker(self._new(worker.leases.me + "'", state.now))

    def _may_be_killed(self, state: State, _worker: Worker) -> bool:
        return state.kills < self._bounds.kills

    def _be_killed(self, state: State, worker: Worker) -> None:
        state.kills += 1
        worker.alive = False

    STEPS: dict[str, tuple[Callable[..., bool], Callable[..., None]]] = {
        "sends": (_may_send, _send),
        "its message arrives": (_may_arrive, _arrive),
        "hears": (_may_hear, _hear),
        "commits a change": (_may_change, _change),
        "answers the change": (_may_answer, _answer),
        "reads": (_may_read, _read),
        "keeps": (_may_keep, _keep),
        "begins anew": (_may_begin_anew, _begin_anew),
        "is killed": (_may_be_killed, _be_killed),
    }


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Nothing here is garbage, and to look for it among all states took more than a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _tell(state: State, what: Message | int) -> None:
    """The last thing that a step does: the state has other workers then, which have it to hear."""
    state.workers = [
        replace(worker, unheard=[*worker.unheard, what]) if worker.alive else worker for worker in state.workers
    ]


def _lies(state: State, worker: Worker) -> bool:
    """It would answer from what was before a change that somebody was told has been made."""
    may_answer = worker.alive and state.now < worker.leases.held_until
    return may_answer and worker.kept is not None and worker.kept < state.answered


def _copy(state: State, index: int) -> State:
    """For a step of one worker, whose own copy it is; what nobody changes is shared."""
    workers = state.workers.copy()
    worker = workers[index]
    workers[index] = replace(worker, leases=_copy_leases(worker.leases), unheard=worker.unheard.copy())
    return replace(state, workers=workers)


def _copy_leases(leases: Leases) -> Leases:
    other = Leases.__new__(type(leases))  # a copy by the library takes three times as long
    other.me, other.begun, other.lease, other.margin = leases.me, leases.begun, leases.lease, leases.margin
    other.held_until, other._number = leases.held_until, leases._number
    other._sent, other._last, other._owed = leases._sent.copy(), leases._last.copy(), leases._owed.copy()
    other._questions = {number: replace(one, waits=one.waits.copy()) for number, one in leases._questions.items()}
    return other


def _history(before: dict[Hashable, tuple[Hashable, str] | None], last: Hashable) -> list[str]:
    lines = []
    while (step := before[last]) is not None:
        last, name = step
        lines.append(name)
    return lines[::-1]
