"""Many actors at once, and all clients asked about each."""

import asyncio
import os
import random
import time

from tests.support.coherence.actor import Actor
from tests.support.coherence.keys import KIND
from tests.support.coherence.questions import UNKNOWN
from tests.support.coherence.run import Run
from tests.support.coherence.trial import Tries
from tests.support.command import Command
from tests.support.local_clients.client import BOUND, LocalClient, Sample, boot_seconds
from tests.support.local_clients.rig import LocalRig
from tests.support.local_clients.trial import LocalTries, Seen
from tests.support.local_clients.truths import TimedActor

TOKENS = 8


class LocalRun(Run):
    actors = int(os.environ.get("ACTORS", "16"))
    retirement_seconds = 60  # for that all actors pause, two commands start, and each stream begins anew

    def __init__(self, rig: LocalRig, *, trials: int, seconds: float, keys: bool, seed: int | None = None) -> None:
        super().__init__(rig.inner, trials=trials, seconds=seconds, keys=keys, seed=seed)
        self._local = rig
        self.seen = Seen()

    def _actor(self, *, second_factor: bool) -> Actor:
        return TimedActor(self._rig.people, second_factor=second_factor)

    def _tries(self, actor: Actor, chance: random.Random) -> Tries:
        assert isinstance(actor, TimedActor)
        return LocalTries(actor, self._rig.fleet, self.table, chance, clients=self._local.clients, seen=self.seen)

    async def _retire_key(self, actors: list[Actor]) -> None:
        """Every token of before is dead at every client within the bound."""
        command, row = Command(self._rig.settings), self.table.rows[KIND]
        tokens = [token for actor in actors for token in list(actor.tokens.values())[-1:]][:TOKENS]
        asked = [(client, {"token": token, "codes": []}) for client in self._local.clients for token in tokens]
        await asyncio.gather(*(client.ask(call) for client, call in asked))
        (signing,) = [key["kid"] for key in (await command("keys", "list", "--json")).rows if key["state"] == "signing"]
        begun = time.monotonic()
        following = [(client, client.follow(call)) for client, call in asked]
        done = await command.process("keys", "retire", str(signing), "--yes")
        assert done.code == 0, done.err
        ended = boot_seconds()
        row.waits.append(time.monotonic() - begun)
        row.changes += 1
        row.trials += len(self._local.clients)
        for client, one in following:
            self._look(client, await one.stop({"401"}, BOUND + 0.5), ended)
        # Once more when every memory has been filled anew.
        for client, call in asked:
            self._look(client, [await client.ask(call)], ended)
        await self._rig.people.load_keys()

    def _look(self, client: LocalClient, samples: list[Sample], ended: float) -> None:
        row = self.table.rows[KIND]
        for sample in samples:
            row.compared += sample.word != UNKNOWN
            row.unknown += sample.word == UNKNOWN
            if sample.word not in {"401", UNKNOWN} and sample.asked - BOUND > ended:
                self.table.violated(KIND, f"{KIND}: {client.name} said {sample.word!r} to a token of the retired key")
