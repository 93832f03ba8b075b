"""Who may answer from memory, and when a change has been heard by everybody: the rules, step by step."""

import pytest

from auth_service.core.leases import MOST_ACKS, Leases, Message, read_message

LEASE, MARGIN = 1.0, 0.05


def worker(name: str, begun: float = -100.0) -> Leases:
    """`begun` long ago, unless told otherwise."""
    return Leases(name, begun, LEASE, MARGIN)


def tell(message: Message, now: float, *workers: Leases) -> None:
    """Over the stream: as text, and to everybody."""
    heard = read_message(str(message))
    assert heard == message
    for one in workers:
        one.hear(heard, now)


def test_a_lease_counts_from_the_sending() -> None:
    one = worker("a")
    assert one.held_until == float("-inf")
    tell(one.send(10.0), 10.4, one)
    assert one.held_until == 11.0


def test_a_message_that_comes_late_gives_nothing_new() -> None:
    one = worker("a")
    first, second = one.send(10.0), one.send(10.5)
    tell(second, 10.6, one)
    assert one.held_until == 11.5
    with pytest.raises(KeyError):  # the stream never does that
        one.hear(first, 10.7)


def test_alone_a_change_is_settled_by_its_own_echo() -> None:
    one = worker("a")
    question = one.send(10.0, asks=True)
    assert not one.settled(question.number, 10.0)
    assert one.wakes_at(question.number) is None
    tell(question, 10.001, one)
    assert one.settled(question.number, 10.001)


def test_who_has_just_begun_waits_for_those_that_it_cannot_know() -> None:
    one = worker("a", begun=9.5)
    question = one.send(10.0, asks=True)
    tell(question, 10.001, one)
    assert one.wakes_at(question.number) == pytest.approx(9.5 + LEASE + MARGIN)
    assert not one.settled(question.number, 10.5)
    assert one.settled(question.number, 10.56)


def test_a_change_is_settled_when_the_other_says_that_it_has_heard() -> None:
    one, other = worker("a"), worker("b")
    tell(other.send(9.9), 9.9, one, other)
    question = one.send(10.0, asks=True)
    tell(question, 10.001, one, other)
    assert not one.settled(question.number, 10.002)
    assert other.owes
    tell(other.send(10.003), 10.004, one, other)
    assert not other.owes
    assert one.settled(question.number, 10.004)


def test_an_answer_to_an_older_question_is_none_to_this_one() -> None:
    one, other = worker("a"), worker("b")
    tell(other.send(9.9), 9.9, one, other)
    first = one.send(10.0, asks=True)
    tell(first, 10.001, one, other)
    said = other.send(10.002)
    second = one.send(10.002, asks=True)
    tell(second, 10.003, one)  # the other has not heard it yet
    tell(said, 10.004, one, other)
    assert one.settled(first.number, 10.004)
    assert not one.settled(second.number, 10.004)


def test_who_says_nothing_is_waited_for_until_its_last_lease_has_run_out() -> None:
    one, frozen = worker("a"), worker("b")
    tell(frozen.send(9.8), 9.9, one, frozen)
    question = one.send(10.0, asks=True)
    tell(question, 10.001, one)
    assert one.wakes_at(question.number) == pytest.approx(9.9 + LEASE + MARGIN)
    assert not one.settled(question.number, 10.94)
    assert frozen.held_until < 10.94
    assert one.settled(question.number, 10.96)


def test_what_a_worker_says_after_the_question_does_not_make_it_wait_longer() -> None:
    """It comes after the question in the stream, so whoever said it hears the question before its own lease."""
    one, other = worker("a"), worker("b")
    tell(other.send(9.5), 9.5, one, other)
    question = one.send(10.0, asks=True)
    tell(question, 10.001, one)
    tell(other.send(10.0005), 10.002, one)
    assert not one.settled(question.number, 10.5)
    assert one.settled(question.number, 9.5 + LEASE + MARGIN)


def test_nobody_waits_for_who_has_left() -> None:
    one, other = worker("a"), worker("b")
    tell(other.send(9.9), 9.9, one, other)
    first = one.send(10.0, asks=True)
    tell(first, 10.001, one)
    tell(other.send(10.002, leaves=True), 10.003, one)
    assert one.settled(first.number, 10.003)
    second = one.send(10.1, asks=True)
    tell(second, 10.1, one)
    assert one.settled(second.number, 10.1)


def test_who_was_silent_for_a_lease_is_forgotten() -> None:
    one, killed = worker("a"), worker("b")
    tell(killed.send(8.0), 8.0, one, killed)
    question = one.send(10.0, asks=True)
    tell(question, 10.0, one)
    assert one.settled(question.number, 10.0)


def test_a_question_that_is_settled_is_gone() -> None:
    one = worker("a")
    question = one.send(10.0, asks=True)
    tell(question, 10.0, one)
    assert one.settled(question.number, 10.0)
    assert not one.settled(question.number, 10.0)


def test_one_message_answers_many_and_the_next_one_the_rest() -> None:
    one = worker("a")
    for number in range(MOST_ACKS + 50):
        one.hear(Message(f"peer-{number:04}", 7, asks=True), 10.0)
    first = one.send(10.1)
    assert len(first.acks) == MOST_ACKS
    assert len(str(first).encode()) < 8000
    assert one.owes
    assert len(one.send(10.2).acks) == 50
    assert not one.owes


@pytest.mark.parametrize("text", ["u:01a1fc56-6402-7209-857d-06417b99b41b", "r", "k", "*", "w|a|1", "", "what else"])
def test_what_no_worker_says_is_no_message(text: str) -> None:
    assert read_message(text) is None
