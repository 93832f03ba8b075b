"""The retirement of a signing key, while all actors pause: every token of before is dead, on every worker."""

import asyncio
import random
import time

from tests.support.coherence.actor import Actor
from tests.support.coherence.fleet import Worker
from tests.support.coherence.questions import UNKNOWN, said
from tests.support.coherence.rig import Rig
from tests.support.coherence.table import Table
from tests.support.coherence.wire import Broken, request
from tests.support.command import Command

KIND = "key retirement"
TOKENS = 8  # on each worker


async def retire_key(rig: Rig, actors: list[Actor], table: Table) -> None:
    """By the command line, as an operator does it."""
    command = Command(rig.settings)
    tokens = [token for actor in actors for token in list(actor.tokens.values())[-1:]]
    asked = [request("GET", "/auth/verify", token) for token in random.sample(tokens, min(TOKENS, len(tokens)))]
    workers = rig.fleet.workers
    row = table.rows[KIND]
    await asyncio.gather(*(_ask(worker, sent) for worker in workers for sent in asked))
    # Processes of their own: in this one leases are shorter than the replicas', and what is printed beside would be
    # taken for the command's.
    (signing,) = [
        key["kid"] for key in (await command.process("keys", "list", "--json")).rows if key["state"] == "signing"
    ]
    begun = time.monotonic()
    done = await command.process("keys", "retire", str(signing), "--yes")
    assert done.code == 0, done.err
    row.waits.append(time.monotonic() - begun)
    calls = [(worker, sent) for worker in workers for sent in asked]
    words = await asyncio.gather(*(_ask(worker, sent) for worker, sent in calls))
    row.changes += 1
    row.trials += len(workers)
    for (worker, _), word in zip(calls, words, strict=True):
        row.compared += word is not None
        row.unknown += word == UNKNOWN
        if word not in {None, UNKNOWN, "401"}:
            table.violated(KIND, f"{KIND}: {worker.name} said {word!r} to a token of the retired key")
    await rig.people.load_keys()


async def _ask(worker: Worker, sent: bytes) -> str | None:
    try:
        return said(await worker.ask(sent))
    except Broken:
        return None
