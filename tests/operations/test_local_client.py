"""No answer of a client with local=True is older than its bound, whatever happens meanwhile: 3 clients, 4 workers.

`make trials-sdk` runs the first of them, longer; tests/support/local_clients says what a trial is.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.support.coherence import faults as of_service
from tests.support.local_clients import faults
from tests.support.local_clients.client import BOUND
from tests.support.local_clients.faults import LocalFault, in_service
from tests.support.local_clients.latency import Latency, measured
from tests.support.local_clients.rig import local_rig
from tests.support.local_clients.run import LocalRun

TRIALS = int(os.environ.get("TRIALS", "1500"))
SECONDS = float(os.environ.get("TRIAL_SECONDS", "3600"))
FAULT_TRIALS = int(os.environ.get("FAULT_TRIALS", "100000"))
FAULT_SECONDS = float(os.environ.get("FAULT_SECONDS", "20"))
CHANGES = int(os.environ.get("LATENCY_CHANGES", "200"))
SEED = int(os.environ["TRIAL_SEED"]) if "TRIAL_SEED" in os.environ else None
FAULTS: dict[str, tuple[LocalFault, dict[str, bool]]] = {
    "cut streams": (faults.cut_ways, {}),
    "frozen ways, and all that was held up at once": (faults.freeze_ways, {}),
    "slow links": (faults.slow_ways, {}),
    "frozen clients": (faults.freeze_clients, {}),
    "moved clocks": (faults.move_clocks, {}),
    "restarted replicas": (faults.restart_replicas, {}),
    "killed workers": (in_service(of_service.kill_workers), {}),
    "frozen workers": (in_service(of_service.freeze_workers), {}),
    "frozen way to Postgres": (in_service(of_service.freeze_the_way), {"gated": True}),
    "killed Postgres": (in_service(of_service.kill_postgres), {}),
    "failed over": (in_service(of_service.fail_over), {"paired": True}),
    "several at once": (faults.all_at_once, {}),
}


def run(folder: Path, *, trials: int, seconds: float, fault: LocalFault | None = None, **stores: bool) -> LocalRun:
    async def all_of_it() -> LocalRun:
        async with local_rig(folder, **stores) as made:
            runs = LocalRun(made, trials=trials, seconds=seconds, keys=fault is None, seed=SEED)
            try:
                await runs(None if fault is None else lambda _rig, chance: fault(made, chance))
            finally:
                answers, kept = (sum(getattr(one, name) for one in made.clients) for name in ("answers", "kept"))
                print(f"\n{runs.table}\n{runs.seen}\n{kept:,} of {answers:,} answers came from memory", flush=True)
            assert fault is not None or kept > answers / 4, "what was asked was not in memory"
            return runs

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(all_of_it())


def test_a_change_is_seen_within_milliseconds(folder: Path) -> None:
    """On an idle machine 50 ms at p99 and 250 ms at worst; a busy one is no failure, unless it comes to the bound."""

    async def all_of_it() -> Latency:
        async with local_rig(folder) as made:
            return await measured(made, CHANGES)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(all_of_it())
    print(f"\n{found}", flush=True)
    assert len(found.from_commit) >= CHANGES * 2
    assert found.at(0.99) < BOUND / 2


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: a socket's path is bounded."""
    with tempfile.TemporaryDirectory(prefix="trials-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_no_answer_of_a_client_is_older_than_its_bound(folder: Path) -> None:
    done = run(folder, trials=TRIALS, seconds=SECONDS)
    assert done.table.violations == []
    assert done.table.odd == []


@pytest.mark.parametrize("name", FAULTS)
def test_nor_while_something_fails(name: str, folder: Path) -> None:
    fault, stores = FAULTS[name]
    print(f"\n{name}")
    done = run(folder, trials=FAULT_TRIALS, seconds=FAULT_SECONDS, fault=fault, **stores)
    assert done.table.violations == []
    assert done.table.odd == []
    assert done.table.trials > 0
