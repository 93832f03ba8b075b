"""Slots at the hashing threads: bounded, those who go first go first, and a cancelled waiter loses nothing."""

import asyncio
from contextlib import suppress

import pytest

from auth_service.core.errors import Busy
from auth_service.core.priority_slots import PrioritySlots


class Row:
    """Callers that take turns and say in which order they got them."""

    def __init__(self, count: int, room: int) -> None:
        self.slots = PrioritySlots(count, room)
        self.order: list[str] = []
        self.at_once = self.most_at_once = 0
        self.go_on = asyncio.Event()

    async def take(self, name: str, *, first: bool = False) -> None:
        async with self.slots.slot(first=first):
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.order.append(name)
            await self.go_on.wait()
            await asyncio.sleep(0)
            self.at_once -= 1

    async def queue(self, name: str, *, first: bool = False) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.take(name, first=first))
        await asyncio.sleep(0)
        return task


async def test_log_4_who_goes_first_waits_for_no_stranger() -> None:
    row = Row(1, 10)
    tasks = [await row.queue("running")]
    tasks += [await row.queue(f"stranger {number}") for number in range(3)]
    tasks += [await row.queue(f"known {number}", first=True) for number in range(2)]
    row.go_on.set()
    await asyncio.gather(*tasks)
    assert row.order == ["running", "known 0", "known 1", "stranger 0", "stranger 1", "stranger 2"]


async def test_log_4_a_full_row_of_strangers_leaves_room_for_the_known() -> None:
    row = Row(1, 2)
    tasks = [await row.queue(name) for name in ("running", "one", "two")]
    with pytest.raises(Busy):
        await row.take("three")
    tasks.append(await row.queue("known", first=True))
    row.go_on.set()
    await asyncio.gather(*tasks)
    assert row.order == ["running", "known", "one", "two"]


async def test_pwd_6_never_more_at_once_than_turns() -> None:
    row = Row(2, 100)
    row.go_on.set()
    await asyncio.gather(*(row.take(str(number), first=number % 3 == 0) for number in range(50)))
    assert (len(row.order), row.most_at_once) == (50, 2)


@pytest.mark.parametrize("first", [True, False])
async def test_rel_9_cancelled_waiters_leave_their_place(first: bool) -> None:
    row = Row(1, 3)
    running = await row.queue("running")
    waiting = [await row.queue(f"gone {number}", first=first) for number in range(3)]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    last = await row.queue("stays", first=first)
    row.go_on.set()
    await asyncio.gather(running, last)
    assert row.order == ["running", "stays"]


async def test_rel_9_a_turn_that_comes_with_the_cancellation_is_passed_on() -> None:
    row = Row(1, 3)
    row.go_on.set()
    async with row.slots.slot(first=False):
        unlucky, next_one = await row.queue("unlucky"), await row.queue("next")
    unlucky.cancel()  # it was handed the turn, and has not run since
    with suppress(asyncio.CancelledError):
        await unlucky
    await asyncio.wait_for(next_one, 5)
    assert row.order == ["next"]
