"""Many actors at once, until so many trials are done or the time is over."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.coherence.actor import Actor
from tests.support.coherence.faults import Fault
from tests.support.coherence.keys import retire_key
from tests.support.coherence.rig import Rig
from tests.support.coherence.table import Table
from tests.support.coherence.trial import Tries

SHOWN_SECONDS = 10
ERA_SECONDS = 300  # tokens live for 15 minutes, and a trial takes some seconds


class Run:
    """`keys`: whether a signing key is retired now and then, for which all actors pause."""

    actors = int(os.environ.get("ACTORS", "8"))
    retirement_seconds = 15

    def __init__(self, rig: Rig, *, trials: int, seconds: float, keys: bool, seed: int | None = None) -> None:
        self._rig, self._trials, self._seconds, self._keys = rig, trials, seconds, keys
        self._seed = random.randrange(1 << 30) if seed is None else seed
        self._chance = random.Random(self._seed)
        self.table = Table()
        self._open = asyncio.Event()
        self._open.set()
        self._at_work = 0
        self._idle = asyncio.Event()

    async def __call__(self, fault: Fault | None = None) -> Table:
        actors = [self._actor(second_factor=number % 2 == 0) for number in range(self.actors)]
        await asyncio.gather(*(actor.begin() for actor in actors))
        self.table = Table()
        self._deadline = time.monotonic() + self._seconds
        print(f"seed {self._seed}; {len(self._rig.fleet.workers)} workers", flush=True)
        beside = self._beside(self._show(), self._renew(actors), fault and fault(self._rig, self._chance))
        async with beside, asyncio.TaskGroup() as group:
            for actor in actors:
                group.create_task(self._go_on(actor))
        return self.table

    def _actor(self, *, second_factor: bool) -> Actor:
        return Actor(self._rig.people, second_factor=second_factor)

    def _tries(self, actor: Actor, chance: random.Random) -> Tries:
        return Tries(actor, self._rig.fleet, self.table, chance)

    async def _retire_key(self, actors: list[Actor]) -> None:
        await retire_key(self._rig, actors, self.table)

    def _is_over(self) -> bool:
        return self.table.trials >= self._trials or time.monotonic() >= self._deadline

    async def _go_on(self, actor: Actor) -> None:
        tries = self._tries(actor, random.Random(self._chance.random()))
        while not self._is_over():
            await self._open.wait()
            self._at_work += 1
            try:
                await tries.once()
            finally:
                self._at_work -= 1
                if not self._at_work:
                    self._idle.set()

    async def _renew(self, actors: list[Actor]) -> None:
        """New tokens for all, before those of before expire, and because their key was retired."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self.retirement_seconds if self._keys else ERA_SECONDS)
            async with self._all_pause():
                if self._keys:
                    await self._retire_key(actors)
                if self._keys or time.monotonic() - renewed >= ERA_SECONDS:
                    self._rig.people.mint_again()
                    renewed = time.monotonic()

    @asynccontextmanager
    async def _all_pause(self) -> AsyncIterator[None]:
        self._open.clear()
        try:
            while self._at_work:
                self._idle.clear()
                await self._idle.wait()
            yield
        finally:
            self._open.set()

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOWN_SECONDS)
            print(f"  {self.table.progress()}", flush=True)

    @asynccontextmanager
    async def _beside(self, *jobs: object) -> AsyncIterator[None]:
        """Jobs without an end; one that fails ends the run."""
        tasks = [asyncio.ensure_future(job) for job in jobs if job is not None]  # type: ignore[arg-type]
        me = asyncio.current_task()
        assert me is not None
        for task in tasks:
            task.add_done_callback(lambda done: None if done.cancelled() or not done.exception() else me.cancel())
        try:
            yield
        except asyncio.CancelledError:
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
            raise
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
