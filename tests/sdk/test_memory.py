"""What the client knows, and until when it may say so; by a clock that the test moves."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from auth_service_client.answers import Decision
from auth_service_client.memory import MOST_ANSWERS, Memory

WATCH = "films:watch"
GRANTED, DENIED = Decision(True, "granted"), Decision(False, "no_grant")


def subject(number: int) -> UUID:
    return UUID(int=number)


class Rig:
    """A memory that has just been proven at 1000 s, the service's clock being at 5000."""

    def __init__(self, most: int = 100) -> None:
        self.now = 1000.0
        self.memory = Memory(1.5, most, lambda: self.now)
        self.memory.prove(1000.0, 0.0, 5000.0)

    def keep(self, number: int, decision: Decision = GRANTED, key: object = WATCH) -> None:
        self.memory.keep(self.memory.place(subject(number)), key, decision)

    def knows(self, number: int, key: object = WATCH) -> Decision | None:
        return self.memory.known(str(subject(number)), key)


def test_what_is_kept_is_known_of_that_subject_and_that_question() -> None:
    rig = Rig()
    rig.keep(1)
    rig.keep(1, DENIED, (WATCH, "session"))
    assert rig.knows(1) is GRANTED
    assert rig.knows(1, (WATCH, "session")) is DENIED
    assert (rig.knows(2), rig.knows(1, "films:rate"), rig.knows(1, (WATCH, "other"))) == (None, None, None)


def test_nothing_is_known_before_it_is_proven() -> None:
    memory = Memory(1.5, 10, lambda: 0.0)
    memory.keep(memory.place(subject(1)), WATCH, GRANTED)
    assert memory.known(str(subject(1)), WATCH) is None
    assert (memory.good, memory.staleness) == (False, float("inf"))


def test_nothing_is_known_from_the_bound_on_until_it_is_proven_again() -> None:
    rig = Rig()
    rig.keep(1)
    rig.now = 1001.499
    assert rig.knows(1) is GRANTED
    rig.now = 1001.5
    assert (rig.knows(1), rig.memory.good) == (None, False)
    assert rig.memory.staleness == pytest.approx(1.5)
    rig.memory.prove(1000.0, 1.4, 5001.4)
    assert rig.knows(1) is GRANTED


def test_the_proof_counts_from_when_the_client_asked_and_not_from_when_it_came() -> None:
    """However late the network hands a beat over, it says no more than it did."""
    rig = Rig()
    rig.keep(1)
    rig.now = 1060.0
    rig.memory.prove(1000.0, 58.0, 5058.0)
    assert rig.knows(1) is None
    assert rig.memory.staleness == pytest.approx(2.0 + 58 * 0.0005)


def test_an_old_proof_takes_nothing_back() -> None:
    rig = Rig()
    rig.keep(1)
    rig.now = 1002.0
    rig.memory.prove(1000.0, 2.0, 5002.0)
    rig.memory.prove(1000.0, 0.5, 5000.5)
    assert rig.knows(1) is GRANTED


def test_drift_of_the_clocks_makes_it_doubt_earlier() -> None:
    rig = Rig()
    rig.now = 1300.0
    rig.memory.prove(1000.0, 300.0, 5300.0)
    assert rig.memory.staleness == pytest.approx(0.15)


def test_a_change_takes_the_place_away_and_what_was_asked_before_it_is_kept_nowhere() -> None:
    rig = Rig()
    place = rig.memory.place(subject(1))  # the service is asked …
    rig.memory.forget([str(subject(1))])  # … and meanwhile the user changes
    rig.memory.keep(place, WATCH, GRANTED)
    assert rig.knows(1) is None
    rig.keep(1, DENIED)
    assert rig.knows(1) is DENIED


def test_a_change_of_one_leaves_the_others() -> None:
    rig = Rig()
    rig.keep(1)
    rig.keep(2)
    rig.memory.forget([str(subject(1)), str(subject(3))])
    assert (rig.knows(1), rig.knows(2)) == (None, GRANTED)


def test_a_change_of_roles_takes_all_and_leaves_the_proof() -> None:
    rig = Rig()
    rig.keep(1)
    rig.memory.clear()
    assert (rig.knows(1), rig.memory.good) == (None, True)


def test_distrust_takes_the_proof_too() -> None:
    rig = Rig()
    rig.keep(1)
    rig.memory.distrust()
    assert (rig.memory.good, len(rig.memory)) == (False, 0)


def test_an_answer_ends_when_the_services_clock_says_so() -> None:
    rig = Rig()
    rig.keep(1, Decision(True, "granted", datetime.fromtimestamp(5001, UTC)))
    rig.now = 1000.99
    assert rig.knows(1) is not None
    rig.now = 1001.0
    assert (rig.knows(1), rig.memory.good) == (None, True)


def test_tokens_are_confirmed_until_the_subject_changes() -> None:
    rig = Rig()
    place = rig.memory.place(subject(1))
    rig.memory.keep_token(place, "jti-1", float("inf"))
    assert rig.memory.confirms(subject(1), "jti-1")
    assert not rig.memory.confirms(subject(1), "jti-2")
    assert not rig.memory.confirms(subject(2), "jti-1")
    rig.now = 1002.0
    assert not rig.memory.confirms(subject(1), "jti-1")
    rig.memory.prove(1000.0, 2.0, 5002.0)
    rig.memory.forget([str(subject(1))])
    assert not rig.memory.confirms(subject(1), "jti-1")


def test_it_is_bounded_and_keeps_whom_it_is_asked_about() -> None:
    rig = Rig(most=100)
    for number in range(10_000):
        rig.keep(number)
        assert rig.knows(0) is GRANTED, number
        assert len(rig.memory) <= 101
    assert rig.knows(9_999) is GRANTED
    assert rig.knows(5_000) is None


def test_it_is_bounded_where_all_are_asked_about() -> None:
    rig = Rig(most=100)
    for number in range(1_000):
        rig.keep(number)
        for known in range(max(0, number - 99), number):
            rig.knows(known)
        assert len(rig.memory) <= 150


def test_answers_and_tokens_of_one_subject_are_bounded() -> None:
    rig = Rig()
    place = rig.memory.place(subject(1))
    for number in range(5 * MOST_ANSWERS):
        rig.memory.keep(place, f"films:{number}", GRANTED)
        rig.memory.keep_token(place, f"jti-{number}", float("inf"))
        assert len(place.answers) <= MOST_ANSWERS >= len(place.tokens)
    assert rig.knows(1, f"films:{5 * MOST_ANSWERS - 1}") is GRANTED
