"""What those are told who wait for a store's connection, and what counts as its silence: the parts by themselves."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest
import uvloop

from auth_service.core.errors import Busy, is_store_failure
from auth_service.core.priority_slots import going_first
from auth_service.core.stores.deadline import Deadline
from auth_service.core.stores.pulse import Pulse, StoreSilent
from auth_service.core.stores.waiting import StoreSlots

LONG = 60.0


def slots_of(pulse: Pulse, *, room: int = 100, seconds: float = LONG) -> StoreSlots:
    return StoreSlots(1, room, seconds, pool="redis", pulse=pulse)


async def in_line(slots: StoreSlots, count: int) -> "list[asyncio.Task[None]]":
    waiting = [asyncio.create_task(slots.take()) for _ in range(count)]
    await asyncio.sleep(0)
    return waiting


# --- the deadline


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_that_came_while_the_loop_was_busy_is_in_time(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """It is in the kernel all the while; that nobody looked is not the store's fault."""
    ours, theirs = socket.socketpair()

    def answer() -> None:
        theirs.recv(4)
        theirs.sendall(b"PONG")

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(sock=ours)
        async with Deadline(0.05):
            writer.write(b"PING")
            asyncio.get_running_loop().call_soon(time.sleep, 0.3)
            got = await reader.readexactly(4)
        writer.close()
        return got

    store = threading.Thread(target=answer)
    store.start()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(ask()) == b"PONG"
    store.join()
    theirs.close()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_silent_store_is_given_up(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with Deadline(0.02):
                await asyncio.Event().wait()
        async with Deadline(0.02):  # and nothing is left of it
            pass
        await asyncio.sleep(0.1)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(ask())


async def test_a_deadline_lets_a_cancellation_from_outside_through() -> None:
    async def ask() -> None:
        async with Deadline(LONG):
            await asyncio.Event().wait()

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- silence


def test_one_slow_command_is_no_silence() -> None:
    pulse = Pulse()
    asked_at = time.monotonic()
    pulse.beat()  # somebody else's
    pulse.missed(asked_at, pulse.generation)
    assert (pulse.silent, pulse.generation) == (False, 0)


def test_silence_ends_with_the_first_answer_and_costs_the_older_connections() -> None:
    pulse = Pulse()
    pulse.missed(time.monotonic(), 0)
    assert (pulse.silent, pulse.generation) == (True, 1)
    pulse.beat()
    assert not pulse.silent


def test_those_who_find_out_later_do_not_cost_the_new_connections() -> None:
    pulse = Pulse()
    for _ in range(5):
        pulse.distrust(0)
    assert pulse.generation == 1
    pulse.distrust(1)
    assert pulse.generation == 2


# --- the line


async def test_beyond_the_room_it_is_busy_at_once() -> None:
    slots = slots_of(Pulse(), room=2)
    await slots.take()
    waiting = await in_line(slots, 2)
    with pytest.raises(Busy) as refused:
        await slots.take()
    assert refused.value.pool == "redis"
    assert is_store_failure(refused.value), "what could not be asked is not known"
    for _ in range(3):
        slots.pass_on()
    await asyncio.gather(*waiting)


async def test_who_waited_too_long_is_busy_while_others_are_answered() -> None:
    pulse = Pulse()
    slots = slots_of(pulse, seconds=0.1)
    await slots.take()
    (waiting,) = await in_line(slots, 1)
    while not waiting.done():
        pulse.beat()
        await asyncio.sleep(0.005)
    assert isinstance(waiting.exception(), Busy)
    slots.pass_on()
    assert (slots.free, slots.waiting) == (1, 0)


async def test_who_waited_too_long_for_a_store_that_answers_nobody_is_told_so() -> None:
    slots = slots_of(Pulse(), seconds=0.05)
    await slots.take()
    with pytest.raises(StoreSilent) as silence:
        await slots.take()
    assert is_store_failure(silence.value)


async def test_those_behind_a_silent_store_are_told_at_once_and_not_one_by_one() -> None:
    pulse = Pulse()
    slots = slots_of(pulse, room=5)
    await slots.take()
    waiting = await in_line(slots, 5)
    waiting[0].cancel()  # and a place that somebody left is no trouble
    pulse.missed(time.monotonic(), pulse.generation)
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told[1:]] == [StoreSilent] * 4
    waiting = await in_line(slots, 5)
    with pytest.raises(StoreSilent):  # as long as it is silent, also those for whom there is no room
        await slots.take()
    for _ in range(6):
        slots.pass_on()
    await asyncio.gather(*waiting)
    assert (slots.free, slots.waiting) == (1, 0)


async def test_a_dismissal_at_the_moment_of_a_cancellation_makes_no_turn_out_of_nothing() -> None:
    pulse = Pulse()
    slots = slots_of(pulse)
    await slots.take()
    (waiting,) = await in_line(slots, 1)
    pulse.missed(time.monotonic(), pulse.generation)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert slots.free == 0
    slots.pass_on()
    assert slots.free == 1


async def test_who_goes_first_is_before_the_flood() -> None:
    slots = slots_of(Pulse())
    await slots.take()
    flood = await in_line(slots, 3)
    with going_first():
        (readiness,) = await in_line(slots, 1)
    slots.pass_on()
    await readiness
    assert not any(one.done() for one in flood)
    for _ in range(4):
        slots.pass_on()
    await asyncio.gather(*flood)
