"""What is done to workers and stores while trials run: each goes on until it is cancelled."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import asyncpg

from tests.support.coherence.rig import Rig

Fault = Callable[[Rig, random.Random], Awaitable[None]]
CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'auth-service changes'"
WHOLE_SECONDS = 60  # at most, until all workers can be reached again


async def freeze_workers(rig: Rig, chance: random.Random) -> None:
    """One at a time: SIGSTOP, and SIGCONT a while later. Of the last replica: a worker that is frozen itself cannot
    tell how long a change waited, and the others shall.
    """
    while True:
        await asyncio.sleep(chance.uniform(0.2, 1))
        worker = chance.choice(rig.fleet.of(rig.services[-1]))
        worker.freeze()
        try:
            await asyncio.sleep(chance.uniform(0.2, 3))
        finally:
            worker.thaw()


async def kill_workers(rig: Rig, chance: random.Random) -> None:
    """Its supervisor starts another one in its place."""
    while True:
        await asyncio.sleep(chance.uniform(1, 3))
        chance.choice(rig.fleet.workers).kill()
        async with asyncio.timeout(WHOLE_SECONDS):
            while len(rig.fleet.workers) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def cut_streams(rig: Rig, chance: random.Random) -> None:
    """The connections that tell of changes; Postgres and all else stays."""
    while True:
        await asyncio.sleep(chance.uniform(0.3, 2))
        await rig.postgres.ask(CUT)


async def freeze_the_way(rig: Rig, chance: random.Random) -> None:
    """Between all workers and Postgres nothing moves, and nothing is closed."""
    assert rig.gate is not None
    while True:
        await asyncio.sleep(chance.uniform(1, 3))
        rig.gate.freeze()
        try:
            await asyncio.sleep(chance.uniform(0.5, 3))
        finally:
            await rig.gate.open()


async def kill_redis(rig: Rig, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(2, 4))
        await asyncio.to_thread(rig.redis.kill)
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(rig.redis.start)


async def kill_postgres(rig: Rig, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(3, 6))
        await asyncio.to_thread(rig.postgres.kill)
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(rig.postgres.start)


async def fail_over(rig: Rig, chance: random.Random) -> None:
    """The primary is killed, or frozen for ever, and its standby takes its place; then it comes back as a standby.

    One that is thawed beside the new primary is for test_old_primary alone: what some workers still write and read
    there is not what the others do, whatever is kept in memory. That is what fencing is for.
    """
    pair = rig.pair
    assert pair is not None
    while True:
        await asyncio.sleep(chance.uniform(4, 8))
        if chance.random() < 0.5:
            pair.primary.freeze()
        else:
            await asyncio.to_thread(pair.primary.kill)
        await pair.standby.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        await asyncio.to_thread(pair.standby.promote)
        pair.change_places()
        rig.postgres = pair.primary
        await asyncio.sleep(chance.uniform(3, 5))
        await asyncio.to_thread(pair.standby.kill)
        await asyncio.to_thread(pair.copy_standby)
        await asyncio.to_thread(pair.standby.start)
        try:
            await pair.be_synchronous()
        except (OSError, asyncpg.PostgresError):
            return
