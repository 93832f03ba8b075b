"""A primary that was frozen while its standby took its place, and goes on: nobody is answered from it any more."""

import asyncio
import os
import tempfile
from pathlib import Path
from uuid import UUID

import uvloop

from auth_service.core import leases
from tests.support.coherence.actor import Actor
from tests.support.coherence.questions import UNKNOWN, said
from tests.support.coherence.rig import Rig, rig
from tests.support.coherence.wire import request

ROUNDS = int(os.environ.get("ROUNDS", "5"))


def test_what_an_old_primary_says_is_not_kept() -> None:
    async def all_of_it() -> list[str]:
        with tempfile.TemporaryDirectory(prefix="trials-", ignore_cleanup_errors=True) as folder:
            async with rig(Path(folder), paired=True) as made:
                return await _words_after(made)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        words = runner.run(all_of_it())
    assert set(words) <= {"no_grant", UNKNOWN}, words
    assert "no_grant" in words


async def _words_after(made: Rig) -> list[str]:
    """Of all workers, of a role that was taken away on the new primary."""
    pair, actor = made.pair, Actor(made.people, second_factor=False)
    assert pair is not None
    await actor.begin()
    await pair.primary.ask("SELECT 1")
    await asyncio.sleep(1)  # the standby has it
    pair.primary.freeze()
    await pair.standby.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
    await asyncio.to_thread(pair.standby.promote)
    pair.change_places()
    await asyncio.sleep(2)  # the workers have seen it: their streams are on the new one
    pair.standby.thaw()
    await asyncio.sleep(0.5)
    await pair.primary.ask("DELETE FROM user_roles WHERE user_id = $1", UUID(actor.user))
    await asyncio.sleep(leases.SIT_OUT_SECONDS)
    body = {"permission": actor.codes["own"], "user_id": actor.user}
    sent = request("POST", "/permissions/check", made.people.checker, body)
    workers = made.fleet.workers
    return [said(await worker.ask(sent)) for _ in range(ROUNDS) for worker in workers]
