"""What is done to clients, to their ways and to the service while trials run: each goes on until it is cancelled."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

from tests.support.coherence import faults as of_service
from tests.support.local_clients.rig import LocalRig

LocalFault = Callable[[LocalRig, random.Random], Awaitable[None]]
DAYS = 2 * 86_400.0


def in_service(fault: of_service.Fault) -> LocalFault:
    return lambda rig, chance: fault(rig.inner, chance)


async def cut_ways(rig: LocalRig, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        way = chance.choice(rig.ways)
        await way.shut()
        await asyncio.sleep(chance.choice([0, chance.uniform(0, 2.5)]))
        await way.open()


async def freeze_ways(rig: LocalRig, chance: random.Random) -> None:
    """Nothing moves and nothing is closed; then all that was held up comes at once, and late."""

    async def one(number: int) -> None:
        dice = random.Random(chance.random())
        while True:
            await asyncio.sleep(dice.uniform(0.1, 1.5))
            rig.ways[number].freeze()
            await asyncio.sleep(dice.uniform(0.2, 3))
            await rig.ways[number].open()

    async with asyncio.TaskGroup() as group:
        for number in range(len(rig.ways)):
            group.create_task(one(number))


async def slow_ways(rig: LocalRig, chance: random.Random) -> None:
    while True:
        for way in rig.ways:
            way.delay = chance.choice([0, 0.05, 0.4, 1.2])
        await asyncio.sleep(chance.uniform(0.5, 3))


async def freeze_clients(rig: LocalRig, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(0.1, 1))
        client = chance.choice(rig.clients)
        client.freeze()
        try:
            await asyncio.sleep(chance.uniform(0.2, 3))
        finally:
            client.thaw()


async def move_clocks(rig: LocalRig, chance: random.Random) -> None:
    while True:
        chance.choice(rig.clients).set_clock(chance.choice([0, chance.uniform(-DAYS, DAYS), chance.uniform(-3, 3)]))
        await asyncio.sleep(chance.uniform(0.05, 0.5))


async def restart_replicas(rig: LocalRig, chance: random.Random) -> None:
    """One at a time, its workers one after the other: streams go on at another worker."""
    while True:
        await asyncio.sleep(chance.uniform(1, 3))
        os.kill(chance.choice(rig.inner.services).pid, signal.SIGHUP)
        await asyncio.sleep(chance.uniform(4, 8))


async def all_at_once(rig: LocalRig, chance: random.Random) -> None:
    several = (cut_ways, freeze_ways, freeze_clients, move_clocks, in_service(of_service.freeze_workers))
    async with asyncio.TaskGroup() as group:
        for fault in several:
            group.create_task(fault(rig, random.Random(chance.random())))  # type: ignore[arg-type]
