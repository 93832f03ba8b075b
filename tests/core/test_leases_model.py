"""The protocol of core.leases in all the ways in which it can go, and mistakes that this would find."""

from dataclasses import replace

import pytest

from auth_service.core.leases import Leases, Message
from tests.support.lease_model import Bounds, Model

SMALL, MORE = Bounds(messages=1), Bounds(messages=2)


class CountsFromHearing(Leases):
    def _hear_myself(self, number: int, now: float) -> None:
        asks = self._sent[number][1]
        self._sent[number] = (now, asks)
        super()._hear_myself(number, now)


class WaitsForNobody(Leases):
    def settled(self, number: int, now: float) -> bool:
        return self._questions.pop(number, None) is not None


class SettlesBeforeTheEcho(Leases):
    def settled(self, number: int, now: float) -> bool:
        return number <= self._number


class KnowsNobodyOfBefore(Leases):
    def _hear_myself(self, number: int, now: float) -> None:
        super()._hear_myself(number, now)
        if (question := self._questions.get(number)) is not None:
            question.waits.pop("", None)


class SaysThatItHeardTheNextOneToo(Leases):
    def send(self, now: float, *, asks: bool = False, leaves: bool = False) -> Message:
        message = super().send(now, asks=asks, leaves=leaves)
        return replace(message, acks=tuple((who, 99) for who in {"a", "b"} - {self.me}))


def test_nobody_answers_from_what_was_before_a_change_that_was_answered() -> None:
    assert Model(SMALL).states() > 3000


# Each with the smallest bounds that show it.
MISTAKES = {
    CountsFromHearing: SMALL,
    WaitsForNobody: SMALL,
    SettlesBeforeTheEcho: SMALL,
    KnowsNobodyOfBefore: replace(SMALL, restarts=1),
    SaysThatItHeardTheNextOneToo: MORE,
}


@pytest.mark.long
@pytest.mark.parametrize(("mistake", "bounds"), MISTAKES.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_mistake_in_the_rules_is_found(mistake: type[Leases], bounds: Bounds) -> None:
    with pytest.raises(AssertionError, match="answers the change"):
        Model(bounds, mistake).states()


def test_a_cache_that_keeps_what_was_read_before_the_change_is_found() -> None:
    with pytest.raises(AssertionError, match="keeps"):
        Model(SMALL, keeps_late=True).states()


LONGER = {
    "said twice": MORE,
    "begun anew": replace(SMALL, restarts=1),
    "killed": replace(MORE, kills=1),
    "two changes": replace(SMALL, changes=2, changers="ab"),
    "both keep": replace(SMALL, caches="ab"),
}


@pytest.mark.long
@pytest.mark.parametrize("bounds", LONGER.values(), ids=LONGER.keys())
def test_nor_in_longer_histories(bounds: Bounds) -> None:
    states = Model(bounds).states()
    print(f"{states:,} states")
    assert states > 10_000
