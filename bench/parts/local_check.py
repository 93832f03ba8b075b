"""The check in the process that asks: our client's memory while a hundred changes a second go on, pycasbin, cedarpy."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import asyncpg
import psutil

from auth_service.testing.processes import OwnService, own_stores, own_workers
from bench.agreement import Disagreement
from bench.cores import on_core
from bench.driver import Options, Part
from bench.peers.install import LeftOut, python_with_peers
from bench.people import People
from bench.rules import rules_of
from bench.stand import LIMITS, ROOT, ServiceAccount, Side
from bench.trial import Trial

CALLS = 10_000_000  # of each kind, in all rounds
CHANGES = 100  # a second
OTHERS = 500  # subjects that change besides those that are asked about
MOST_SECONDS = 600
SCOPES = ["permissions:check", "changes:read"]


def run(options: Options) -> Part:
    part = Part()
    with own_stores(**LIMITS) as stores, own_workers(stores, **LIMITS) as service:
        rules = rules_of(stores.database_url)
        questions = [(user, code) for user in rules.users for code in rules.codes]
        people = People(stores)
        (role,) = people.add_roles(1, "films:read")  # which all of them have anyway
        others = [str(user) for user in people.add_users(OTHERS, "viewer")]
        order = {
            "settings": _account(service),
            "questions": questions,
            "others": others,
            "rounds": options.pairs,
            "calls": CALLS // options.pairs,
        }
        # Each change takes away what is known of one; of the asked every so often, and no answer becomes another one.
        with changing(stores.database_url, role, [*rules.users, *others]) as made, on_core(options.core):
            told = _asked_to_print([sys.executable, "-m", "bench.local_client", json.dumps(order)])
        part.trials = {name: [Trial(**one) for one in its] for name, its in told["sides"].items()}
        part.numbers = {"changes a second meanwhile": [made.rate], "calls of known that had to ask": [told["missed"]]}
        try:
            path = rules.write(stores.folder / "rules.json")
            command = [str(python_with_peers()), "-m", "bench.peers.in_process", str(path)]
        except LeftOut as reason:
            part.left_out.append(str(reason))
            return part
        with on_core(options.core):
            peers = _asked_to_print([*command, "--rounds", str(options.pairs)])
    if peers["answers"] != told["answers"]:
        raise Disagreement("the client and the peers say other things")
    for name in ("casbin", "cedar"):
        part.trials[name] = [Trial(count, seconds, seconds) for count, seconds in peers["sides"][name]]
    part.agreed = f"{len(questions)} questions, {sum(told['answers'])} of them allowed, answered alike by 3 sides"
    return part


def _asked_to_print(command: list[str]) -> dict[str, Any]:
    path = f"{ROOT}:{ROOT / 'clients' / 'python'}"
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _account(service: OwnService) -> dict[str, str]:
    side = Side(service.base, psutil.Process(service.pid))
    client_id, client_secret = ServiceAccount(side, scopes=SCOPES).credentials
    return {"url": service.base, "client_id": client_id, "client_secret": client_secret}


class Changing:
    """A thread that grants a role of no use, takes it away, and so on: so many commits a second."""

    def __init__(self, database_url: str, role: str, users: Sequence[str]) -> None:
        self._database_url, self._role, self._users = database_url, role, users
        self._stopped = threading.Event()
        self._made, self._seconds = 0, 0.0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._change()))

    @property
    def rate(self) -> float:
        return self._made / self._seconds

    async def _change(self) -> None:
        connection = await asyncpg.connect(self._database_url)
        began = time.monotonic()
        statements = (
            "INSERT INTO user_roles (user_id, role_name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            "DELETE FROM user_roles WHERE user_id = $1 AND role_name = $2",
        )
        while not self._stopped.is_set():
            number = self._made
            user = self._users[number // 2 % len(self._users)]
            await connection.execute(statements[number % 2], UUID(user), self._role)
            self._made += 1
            await asyncio.sleep(max(0.0, began + self._made / CHANGES - time.monotonic()))
        self._seconds = time.monotonic() - began
        await connection.close()


@contextmanager
def changing(database_url: str, role: str, users: Sequence[str]) -> Iterator[Changing]:
    made = Changing(database_url, role, users)
    made._thread.start()
    try:
        yield made
    finally:
        made._stopped.set()
        made._thread.join()
