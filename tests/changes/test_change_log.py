"""What a worker has heard, by places that every worker knows under the same name. Pure."""

import asyncio

import pytest

from auth_service.core.change_log import ChangeLog

ONE, TWO = "0123456789ab", "ba9876543210"


def heard(*lines: str) -> ChangeLog:
    """`u:…` is a change, `worker.number` a message."""
    log = ChangeLog(changes=5, marks=3)
    for line in lines:
        hear(log, line)
    return log


def hear(log: ChangeLog, line: str) -> None:
    worker, dot, number = line.partition(".")
    if dot:
        log.hear_message(worker, int(number))
    else:
        log.hear_change(line)


def test_a_place_is_the_message_before_it_and_the_changes_since() -> None:
    log = heard(f"{ONE}.1", "u:a", "u:b", f"{TWO}.7", "u:c")
    assert log.position == f"{TWO}.7+1"
    assert log.find(f"{ONE}.1+0") == 0
    assert log.find(f"{ONE}.1+2") == log.find(f"{TWO}.7+0") == 2
    assert log.since(2) == ["u:c"]
    assert log.since(log.count) == []


def test_two_workers_that_began_at_other_times_mean_the_same_place() -> None:
    first = heard(f"{ONE}.1", "u:a", f"{TWO}.7", "u:b", "u:c")
    second = heard("u:a", f"{TWO}.7", "u:b", "u:c")
    assert first.position == second.position
    position = f"{TWO}.7+1"
    assert first.since(first.find(position) or 0) == second.since(second.find(position) or 0) == ["u:c"]


@pytest.mark.parametrize(
    "position",
    [
        *("", "junk", f"{ONE}.1", f"{ONE}.1+", f"{ONE}.2+0", f"{TWO}.1+0", f"{ONE}.1+2", f"{ONE}.1+-1", f"{ONE}.1+1\n"),
        *(f"{ONE}.١+0", f"{ONE.upper()}.1+0", f"{ONE}.1+{'9' * 10}", f"{ONE}.{'1' * 16}+0"),
    ],
)
def test_other_places_are_not_known(position: str) -> None:
    assert heard(f"{ONE}.1", "u:a").find(position) is None


def test_places_before_what_was_dropped_are_known_no_longer() -> None:
    log = heard(f"{ONE}.1", *(f"u:{number}" for number in range(7)))
    assert (log.count, log.find(f"{ONE}.1+0"), log.find(f"{ONE}.1+1")) == (7, None, None)
    assert (log.find(f"{ONE}.1+2"), log.since(2)) == (2, ["u:2", "u:3", "u:4", "u:5", "u:6"])
    assert (log.since(1), log.since(8)) == (None, None)


def test_messages_are_bounded_too() -> None:
    log = heard(*(f"{ONE}.{number}" for number in range(1, 6)))
    assert [log.find(f"{ONE}.{number}+0") for number in range(1, 6)] == [None, None, 0, 0, 0]
    assert log.position == f"{ONE}.5+0"


def test_after_the_end_no_place_of_before_is_known() -> None:
    log = heard(f"{ONE}.1", "u:a")
    log.prove(10.0)
    log.end()
    assert (log.proven, log.find(f"{ONE}.1+0"), log.count) == (float("-inf"), None, 0)


async def test_followers_are_woken_by_each_news_and_told_of_the_end() -> None:
    log = heard(f"{ONE}.1")
    with log.following() as news:
        assert (log.followers, log.followed(news), news.is_set()) == (1, True, False)
        for tell in (lambda: log.hear_change("u:a"), lambda: log.prove(1.0), log.end):
            news.clear()
            waiting = asyncio.create_task(news.wait())
            await asyncio.sleep(0)
            tell()
            await asyncio.wait_for(waiting, 1)
        assert not log.followed(news)
    assert log.followers == 0
