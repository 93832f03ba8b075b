"""What a worker weighs, what it remembers of each subject, and what a live session takes in Redis."""

import gc
import time

import psutil

from auth_service.models import new_id
from bench.driver import Options, Part
from bench.load import post
from bench.parts.check import BATCH, CODE
from bench.stand import UNCACHED, ServiceAccount, Side, Stand, stand

STARTS = 3
SETTLE_SECONDS = 5
SUBJECTS = 100_000
BATCH_SIZE = 1000
SESSIONS = 100_000


def run(options: Options) -> Part:
    part = Part()
    with stand(options.core) as here:
        for _ in range(STARTS):
            bare = here.app("bench.peers.bare:app", "/openapi.json")
            service = here.service()
            time.sleep(SETTLE_SECONDS)  # its jobs have run once then, and its pools are connected
            part.numbers.setdefault("worker, MiB", []).append(_rss(service) / 2**20)
            part.numbers.setdefault("bare app, MiB", []).append(_rss(bare) / 2**20)
        users = [str(user) for user in here.people.add_users(SUBJECTS, "viewer")]
        for name, side in (("cached", here.service()), ("uncached", here.service(**UNCACHED))):
            grown = _grown_by(here, side, users)
            part.numbers[f"a subject, {name}, bytes"] = [grown / SUBJECTS]
        taken = here.people.add_families([new_id() for _ in range(SESSIONS)])
        part.numbers["a session in Redis, bytes"] = [taken / SESSIONS]
    return part


def _rss(side: Side) -> int:
    return int(psutil.Process(side.process.pid).memory_info().rss)


def _grown_by(here: Stand, side: Side, users: list[str]) -> int:
    """Bytes, by asking about each of them once, after a thousand were asked about."""
    account = ServiceAccount(side)
    token = account.token()

    def ask(some: list[str]) -> None:
        checks = [{"permission": CODE, "user_id": user} for user in some]
        side.ask(post(BATCH, {"checks": checks}, token))

    ask(users[:BATCH_SIZE])
    before = _rss(side)
    for first in range(BATCH_SIZE, len(users), BATCH_SIZE):
        ask(users[first : first + BATCH_SIZE])
    gc.collect()
    print(f"  asked about {len(users):,} subjects: {before / 2**20:.0f} to {_rss(side) / 2**20:.0f} MiB", flush=True)
    return _rss(side) - before
