"""Who may answer from memory, and when everybody has heard of a change. Pure: no clock, no connection of its own.

All workers speak and listen in one ordered stream, in which each commit that changes what decides is told too. Two
facts follow from the order, and all else from them:

- A worker that hears its own message has heard every change that was committed before it sent it. So it may answer
  from memory until LEASE_SECONDS after the sending: that is its lease.
- A worker that has changed something sends a message after the commit, and asks the others to say that they have
  heard it. Whoever says so has heard the change. Whoever does not, loses its lease: the newest that it can have is of
  the last message that came from it before the question did. What it sends later comes after the question, so
  it hears the change before it hears itself.

Of workers that were there before this one began to listen, nobody knows; their leases have run out LEASE_SECONDS
after that. Times are seconds of one clock of the machine that goes on while the process, or the machine, sleeps;
MARGIN_SECONDS covers what the clocks of two machines differ by in LEASE_SECONDS. The protocol is checked step by step
in tests/core/test_leases_model.py.
"""

from dataclasses import dataclass, field

LEASE_SECONDS = 1.0
BEAT_SECONDS = 0.25
MARGIN_SECONDS = 0.05
# What a change waits for, at the most, where nobody can be asked.
SIT_OUT_SECONDS = LEASE_SECONDS + MARGIN_SECONDS
MOST_ACKS = 200  # in one message: a notification of Postgres takes 8,000 bytes


@dataclass(frozen=True, slots=True)
class Message:
    """`acks`: of each worker that has asked, the newest number that was heard."""

    worker: str
    number: int
    asks: bool = False
    leaves: bool = False
    acks: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        flag = "." if self.leaves else "?" if self.asks else ""
        return "|".join(["w", self.worker, str(self.number), flag, *(f"{who}={to}" for who, to in self.acks)])


def read_message(text: str) -> Message | None:
    """None for what is no message of a worker."""
    kind, *rest = text.split("|")
    if kind != "w" or len(rest) < 3:
        return None
    worker, number, flag, *acks = rest
    pairs = tuple((who, int(to)) for who, _, to in (ack.partition("=") for ack in acks))
    return Message(worker, int(number), flag == "?", flag == ".", pairs)


@dataclass(slots=True)
class _Question:
    """Whom it still waits for, and until when: the end of that one's last lease."""

    waits: dict[str, float]


@dataclass(slots=True)
class Leases:
    """One worker's, of one connection to the stream: with the next connection comes another one and another name."""

    me: str
    begun: float  # when it was listening, or later
    lease: float
    margin: float
    held_until: float = float("-inf")
    _number: int = 0
    _sent: dict[int, tuple[float, bool]] = field(default_factory=dict)  # of each not yet heard: when, and if it asks
    _last: dict[str, float] = field(default_factory=dict)  # of each other worker: when its last message came
    _owed: dict[str, int] = field(default_factory=dict)  # acks to say with the next message
    _questions: dict[int, _Question] = field(default_factory=dict)

    def send(self, now: float, *, asks: bool = False, leaves: bool = False) -> Message:
        """To be called right before the sending: `now` is what the lease counts from."""
        self._number += 1
        self._sent[self._number] = (now, asks)
        acks = tuple(self._owed.items())[:MOST_ACKS]
        for who, _ in acks:
            del self._owed[who]
        return Message(self.me, self._number, asks, leaves, acks)

    @property
    def owes(self) -> bool:
        """Whether somebody waits for what the next message will say."""
        return bool(self._owed)

    def hear(self, message: Message, now: float) -> None:
        """In the order of the stream, and after all that was told before it has been taken to heart."""
        if message.worker == self.me:
            self._hear_myself(message.number, now)
            return
        if message.leaves:
            self._last.pop(message.worker, None)
            self._owed.pop(message.worker, None)
            for question in self._questions.values():
                question.waits.pop(message.worker, None)
            return
        self._last[message.worker] = now
        if message.asks:
            self._owed[message.worker] = message.number
        for who, to in message.acks:
            if who == self.me:
                for number, question in self._questions.items():
                    if number <= to:
                        question.waits.pop(message.worker, None)

    def settled(self, number: int, now: float) -> bool:
        """Whether every worker has heard of what was committed before the asking message `number` was sent, or holds
        no lease of before it. Once it is, it stays so, and the question is forgotten.
        """
        question = self._questions.get(number)
        if question is None or any(now < until for until in question.waits.values()):
            return False
        del self._questions[number]
        return True

    def wakes_at(self, number: int) -> float | None:
        """When `settled` is true at the latest; None while the question itself has not come back."""
        question = self._questions.get(number)
        return None if question is None else max(question.waits.values(), default=float("-inf"))

    def _hear_myself(self, number: int, now: float) -> None:
        sent, asks = self._sent.pop(number)
        for older in [other for other in self._sent if other < number]:
            del self._sent[older]
        self.held_until = max(self.held_until, sent + self.lease)
        if asks:
            self._last = {who: last for who, last in self._last.items() if now < last + self.lease + self.margin}
            waits = {who: last + self.lease + self.margin for who, last in self._last.items()}
            # For whoever was there before this worker listened, and has said nothing since.
            self._questions[number] = _Question({**waits, "": self.begun + self.lease + self.margin})
