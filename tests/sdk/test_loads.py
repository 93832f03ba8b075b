"""Many subjects asked about at once: few batches, one question each, and one that is refused fails alone."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from auth_service_client.answers import Decision, Question
from auth_service_client.errors import InvalidRequest, Unavailable
from auth_service_client.loads import MOST_BATCHES, MOST_IN_A_BATCH, Loads
from auth_service_client.memory import Memory


def question(number: int, permission: str = "films:watch") -> Question:
    return Question(UUID(int=number), permission)


class Asker:
    """In the place of the service. A question about subject 13 is refused."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.at_once = self.most_at_once = 0
        self.fails: Exception | None = None

    async def __call__(self, questions: Sequence[Question]) -> list[Decision]:
        numbers = [question.user_id.int for question in questions]
        self.batches.append(numbers)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if self.fails is not None:
            raise self.fails
        if 13 in numbers:
            raise InvalidRequest("bad", "one of these")
        return [Decision(True, f"granted {number}") for number in numbers]


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
def loads(asker: Asker) -> Loads:
    return Loads(Memory(1.0, 20_000), asker)


async def test_ten_thousand_subjects_come_in_eight_batches_of_a_hundred_at_once(asker: Asker, loads: Loads) -> None:
    numbers = range(1_000, 11_000)
    decisions = await asyncio.gather(*(loads.load(question(number)) for number in numbers))
    assert [decision.reason for decision in decisions] == [f"granted {number}" for number in numbers]
    assert asker.most_at_once == MOST_BATCHES == 8
    assert {len(batch) for batch in asker.batches} == {MOST_IN_A_BATCH} == {100}
    assert len(asker.batches) == 100


async def test_one_question_is_asked_once_however_many_wait(asker: Asker, loads: Loads) -> None:
    await asyncio.gather(*(loads.load(question(1)) for _ in range(50)), loads.load(question(1, "films:rate")))
    assert asker.batches == [[1, 1]]


async def test_one_that_is_refused_fails_alone(asker: Asker, loads: Loads) -> None:
    answers = await asyncio.gather(*(loads.load(question(number)) for number in range(20)), return_exceptions=True)
    assert isinstance(answers.pop(13), InvalidRequest)
    assert all(isinstance(answer, Decision) for answer in answers)


@pytest.mark.parametrize("failure", [Unavailable("unreachable", "x"), RuntimeError("a bug")], ids=repr)
async def test_all_are_told_of_a_failure_and_the_next_are_asked(asker: Asker, loads: Loads, failure: Exception) -> None:
    asker.fails = failure
    answers = await asyncio.gather(*(loads.load(question(number)) for number in range(5)), return_exceptions=True)
    assert answers == [failure] * 5
    asker.fails = None
    assert (await loads.load(question(1))).allowed


async def test_who_waits_may_go_and_the_others_are_answered(asker: Asker, loads: Loads) -> None:
    first, second = (asyncio.create_task(loads.load(question(1))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).allowed
    assert first.cancelled()
    assert not loads._batches


async def test_who_asks_in_the_turn_in_which_the_last_batch_ends_is_answered(asker: Asker, loads: Loads) -> None:
    for _ in range(200):
        async with asyncio.timeout(5):
            await asyncio.gather(*(loads.load(question(number)) for number in range(20, 24)))
            await loads.load(question(24))


async def test_at_the_end_who_waits_is_told(asker: Asker, loads: Loads) -> None:
    waiting = [asyncio.create_task(loads.load(question(number))) for number in range(1_000, 2_000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await loads.close()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    assert not loads._batches
