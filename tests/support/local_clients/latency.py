"""How long after a change each client answers anew, with nothing else going on."""

import asyncio
import os
from dataclasses import dataclass, field

import asyncpg

from auth_service.core.coherence import CHANNEL
from tests.support.coherence.wire import request
from tests.support.local_clients.client import BOUND, boot_seconds
from tests.support.local_clients.rig import LocalRig
from tests.support.local_clients.truths import TimedActor

POLL_SECONDS = 0.001


@dataclass
class Latency:
    """Seconds. `from_commit`: from when Postgres had told a connection beside the workers, within a millisecond of the
    commit; `from_answer`: from the answer of the change, below 0 where the client was first.
    """

    from_commit: list[float] = field(default_factory=list)
    from_answer: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        ordered = sorted(self.from_commit)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def __str__(self) -> str:
        lines = [f"{len(self.changes)} changes, load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"]
        for name, its in (("the commit", self.from_commit), ("the answer", self.from_answer)):
            ordered = sorted(its)
            p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
            worst = ordered[-1] * 1000
            lines.append(f"from {name} to a client's new answer: p50 {p50:.1f} ms, p99 {p99:.1f}, worst {worst:.1f}")
        mean = sum(self.changes) / len(self.changes) * 1000
        return "\n".join([*lines, f"a change itself took {mean:.1f} ms from asking to answer, on average"])


async def measured(rig: LocalRig, changes: int) -> Latency:
    found = Latency()
    actor = TimedActor(rig.inner.people, second_factor=False)
    await actor.begin()
    call = {"user": actor.user, "code": actor.codes["inherited"], "session": None}
    committed: asyncio.Queue[float] = asyncio.Queue()

    def hear(*said: object) -> None:
        if said[3] == f"u:{actor.user}":
            committed.put_nowait(boot_seconds())

    connection = await asyncpg.connect(rig.inner.postgres.url)
    try:
        await connection.add_listener(CHANNEL, hear)
        for number in range(changes):
            has = number % 2 == 1
            path = f"/users/{actor.user}/roles/{actor.role}"
            sent = request("PUT" if has else "DELETE", path, rig.inner.people.admin, {} if has else None)
            await asyncio.gather(*(client.ask(call) for client in rig.clients))
            following = [client.follow(call, POLL_SECONDS) for client in rig.clients]
            await asyncio.sleep(0.02)  # the worker that makes the change is another one each time
            begun = boot_seconds()
            workers = rig.inner.fleet.workers
            answer = await workers[number % len(workers)].ask(sent)
            answered = boot_seconds()
            assert answer.status in {200, 204}, answer.body
            found.changes.append(answered - begun)
            told = await committed.get()
            word = "granted" if has else "no_grant"
            for samples in await asyncio.gather(*(one.stop({word}, BOUND) for one in following)):
                new = next(sample for sample in samples if sample.word == word)
                found.from_commit.append(new.answered - told)
                found.from_answer.append(new.answered - answered)
    finally:
        await connection.close()
    return found
