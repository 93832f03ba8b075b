"""Every way in which changes, two workers, the stream, loads and time can take turns, within bounds: is any answer of
the client older than its bound?

The rules of what is kept are the shipped ones of the client's Memory; around it stand a store with a version, two
workers that hear of changes when they like, and a stream from one of them that may be cut and go on at the other. Time
goes by in steps of the bound.
"""

from collections.abc import Callable, Hashable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from auth_service_client.answers import Decision
from auth_service_client.memory import Memory, Place

BOUND = 1
SUBJECT, KEY = UUID(int=1), "films:watch"
WORKERS = (0, 1)


@dataclass(slots=True)
class Load:
    """`asked`: when whoever asked first did, and whoever came later. `read`: the version that the worker answers."""

    asked: list[int]
    place: Place | None
    read: int | None = None


@dataclass(slots=True)
class State:
    memory: Memory
    now: int = 0
    commits: list[int] = field(default_factory=list)  # when each version came about
    heard: list[int] = field(default_factory=lambda: [0, 0])  # by each worker
    follows: int = 0  # which worker
    told: int = 0
    taken: int = 0  # by the client: its position
    stream: list[tuple[str, int]] = field(default_factory=list)  # on its way
    loads: list[Load] = field(default_factory=list)
    asked: int = 0
    cuts: int = 0
    lie: str = ""

    @property
    def version(self) -> int:
        return len(self.commits)


@dataclass(frozen=True, slots=True)
class Rules:
    """The shipped ones; each mistake is another of them."""

    place_before_ask: bool = True
    ask_stores: bool = True
    keep_in_place: bool = True
    join_only_while_good: bool = True
    forget_where_not_resumed: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    changes: int = 2
    asks: int = 2
    cuts: int = 1


class Model:
    def __init__(self, bounds: Bounds, rules: Rules = Rules()) -> None:
        self._bounds, self._rules = bounds, rules

    def states(self) -> int:
        """How many there are; raises AssertionError with the shortest history to one that must not be."""
        first = State(_memory(0))
        before: dict[Hashable, tuple[Hashable, str] | None] = {_key(first): None}
        reached = [(_key(first), first)]
        while reached:
            coming = []
            for here, state in reached:
                for name, after in self._steps(state):
                    if lie := after.lie or _lie(after):
                        raise AssertionError("\n".join([*_history(before, here), name, lie]))
                    there = _key(after)
                    if there not in before:
                        before[there] = (here, name)
                        coming.append((there, after))
            reached = coming
        return len(before)

    def _steps(self, state: State) -> Iterator[tuple[str, State]]:
        yield self._after("time goes by", state, _pass)
        if state.version < self._bounds.changes:
            yield self._after("a change commits", state, lambda s: s.commits.append(s.now))
        for worker in self._workers(state):
            if state.heard[worker] < state.version:
                yield self._after(f"worker {worker} hears it", state, lambda s, w=worker: _hear(s, w))
        if self._may_tell(state):
            yield self._after("the stream tells", state, _tell)
        if state.stream:
            yield self._after("the client takes what was told", state, self._take)
        if state.cuts < self._bounds.cuts:
            for worker in WORKERS:
                yield self._after(f"the stream goes on at worker {worker}", state, lambda s, w=worker: _resume(s, w))
            yield self._after("the stream begins anew at worker 1", state, lambda s: _resume(s, 1, knows=False))
        if state.asked < self._bounds.asks:
            yield self._after("somebody asks", state, self._ask)
        for number, load in enumerate(state.loads):
            if load.place is None:
                yield self._after("its place is made", state, lambda s, n=number: _make_place(s, n))
            if load.read is None:
                for worker in WORKERS[: 1 if self._rules.ask_stores else 2]:
                    read = partial(self._read, number=number, worker=worker)
                    yield self._after(f"worker {worker} reads", state, read)
            elif load.place is not None:
                yield self._after("an answer arrives", state, lambda s, n=number: self._answer(s, n))

    def _workers(self, state: State) -> tuple[int, ...]:
        """Whose hearing matters: of who is followed, and of the other if it may be, or answers from its memory."""
        either = state.cuts < self._bounds.cuts or not self._rules.ask_stores
        return WORKERS if either else (state.follows,)

    @staticmethod
    def _after(name: str, state: State, step: Callable[[State], None]) -> tuple[str, State]:
        after = _copy(state)
        step(after)
        return name, after

    @staticmethod
    def _may_tell(state: State) -> bool:
        news = state.heard[state.follows] > state.told
        proof = ("beat", state.now) not in state.stream and state.heard[state.follows] == state.version
        return news or (proof and not state.stream)

    def _take(self, state: State) -> None:
        kind, what = state.stream.pop(0)
        if kind == "change":
            state.memory.forget([str(SUBJECT)])
            state.taken = what
        elif kind == "beat":
            state.memory.prove(what, 0.0, what)
        else:
            state.taken = what
            if self._rules.forget_where_not_resumed:
                state.memory.distrust()

    def _ask(self, state: State) -> None:
        """As Loads.load does."""
        state.asked += 1
        memory = state.memory
        if memory.known(str(SUBJECT), KEY) is not None:
            return
        place = memory.place(SUBJECT) if self._rules.place_before_ask else None
        flying = next((load for load in state.loads if load.place is place and place is not None), None)
        if flying is not None and (memory.good or not self._rules.join_only_while_good):
            flying.asked.append(state.now)
        else:
            state.loads.append(Load([state.now], place))

    def _read(self, state: State, number: int, worker: int) -> None:
        load = state.loads[number]
        # Its memory is older than the stores until it hears; its lease ends that before the bound does.
        unheard = state.commits[state.heard[worker] :]
        from_memory = not self._rules.ask_stores and unheard and unheard[0] == state.now
        load.read = state.heard[worker] if from_memory else state.version

    def _answer(self, state: State, number: int) -> None:
        load = state.loads.pop(number)
        assert load.read is not None
        assert load.place is not None
        place = load.place if self._rules.keep_in_place else state.memory.place(SUBJECT)
        state.memory.keep(place, KEY, Decision(True, str(load.read)))
        for asked in load.asked:
            state.lie = state.lie or _old(state, load.read, asked, "who waited is told")


def _pass(state: State) -> None:
    state.now += 1
    _set_clock(state)


def _make_place(state: State, number: int) -> None:
    state.loads[number].place = state.memory.place(SUBJECT)


def _hear(state: State, worker: int) -> None:
    state.heard[worker] += 1


def _tell(state: State) -> None:
    """All that its worker has heard, and how far that goes."""
    heard = state.heard[state.follows]
    state.stream += [("change", number) for number in range(state.told + 1, heard + 1)]
    state.told = heard
    if heard == state.version:
        state.stream.append(("beat", state.now))


def _resume(state: State, worker: int, *, knows: bool = True) -> None:
    """What was on its way is lost. `knows`: whether the worker has not forgotten the client's place."""
    state.cuts += 1
    state.follows, state.stream = worker, []
    if knows and state.heard[worker] >= state.taken:
        state.told = state.taken
    else:
        state.told = state.heard[worker]
        state.stream.append(("start", state.told))


def _memory(now: int) -> Memory:
    return Memory(BOUND, 10, lambda: now)


def _set_clock(state: State) -> None:
    now = state.now
    state.memory._clock = lambda: now


def _old(state: State, version: int, asked: int, who: str) -> str:
    """In words, where that version had ended so long before it was asked for; else nothing."""
    ended = state.commits[version] if version < state.version else None
    if ended is None or ended >= asked - BOUND:
        return ""
    return f"{who} version {version}, which had ended {asked - ended} steps before it was asked for"


def _lie(state: State) -> str:
    known = state.memory.known(str(SUBJECT), KEY)
    if known is None:
        return ""
    version = int(known.reason)
    if version < state.taken:
        return f"version {version} is kept, and the client was told of version {state.taken}"
    return _old(state, version, state.now, "the memory says")


def _copy(state: State) -> State:
    memory = copy(state.memory)
    places: dict[int, Place] = {}

    def again(place: Place) -> Place:
        if id(place) not in places:
            other = places[id(place)] = Place()
            other.answers = dict(place.answers)
        return places[id(place)]

    memory._young = {name: again(place) for name, place in state.memory._young.items()}
    loads = [replace(one, asked=one.asked.copy(), place=one.place and again(one.place)) for one in state.loads]
    return replace(
        state,
        memory=memory,
        commits=state.commits.copy(),
        heard=state.heard.copy(),
        stream=state.stream.copy(),
        loads=loads,
    )


def _key(state: State) -> Hashable:
    """Times lie from now, and what was longer ago than the bound is all the same."""

    def ago(moment: float) -> float:
        return min(state.now - moment, BOUND + 1)

    place = state.memory._young.get(str(SUBJECT))
    kept = None if place is None else tuple(decision.reason for decision, _ in place.answers.values())
    return (
        tuple(map(ago, state.commits)),
        tuple(state.heard),
        (state.follows, state.told, state.taken, state.asked, state.cuts),
        tuple((kind, ago(what) if kind == "beat" else what) for kind, what in state.stream),
        tuple((tuple(map(ago, one.asked)), one.read, one.place is place, one.place is None) for one in state.loads),
        (place is None, kept, ago(state.memory._proven)),
    )


def _history(before: dict[Hashable, tuple[Hashable, str] | None], last: Hashable) -> list[str]:
    lines = []
    while (step := before[last]) is not None:
        last, name = step
        lines.append(name)
    return lines[::-1]
