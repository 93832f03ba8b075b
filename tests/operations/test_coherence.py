"""No worker answers from before a change that was answered, whatever happens meanwhile: trials on four workers.

`make trials` runs the first of them, longer; tests/support/coherence says what a trial is.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.support.coherence import faults
from tests.support.coherence.faults import Fault
from tests.support.coherence.inside import look_inside
from tests.support.coherence.rig import rig
from tests.support.coherence.run import Run
from tests.support.coherence.table import Table

TRIALS = int(os.environ.get("TRIALS", "4000"))
SECONDS = float(os.environ.get("TRIAL_SECONDS", "7200"))
FAULT_TRIALS = int(os.environ.get("FAULT_TRIALS", "100000"))
FAULT_SECONDS = float(os.environ.get("FAULT_SECONDS", "60"))
SEED = int(os.environ["TRIAL_SEED"]) if "TRIAL_SEED" in os.environ else None
# Seconds, as the metrics write them: of the lease, and half of one for all else on a busy machine.
LONGEST_WAIT = "1.5"
FAULTS: dict[str, tuple[Fault, dict[str, bool]]] = {
    "frozen workers": (faults.freeze_workers, {}),
    "killed workers": (faults.kill_workers, {}),
    "cut streams": (faults.cut_streams, {}),
    "frozen way to Postgres": (faults.freeze_the_way, {"gated": True}),
    "killed Redis": (faults.kill_redis, {}),
    "killed Postgres": (faults.kill_postgres, {}),
    "failed over": (faults.fail_over, {"paired": True}),
}
# A key is retired by a command, which needs the stores.
WITH_KEYS = {None, faults.freeze_workers, faults.kill_workers, faults.cut_streams}


def run(folder: Path, *, trials: int, seconds: float, fault: Fault | None = None, **stores: bool) -> Table:
    async def all_of_it() -> Table:
        async with rig(folder, **stores) as made:
            runs = Run(made, trials=trials, seconds=seconds, keys=fault in WITH_KEYS, seed=SEED)
            try:
                table = await runs(fault)
            finally:
                print(f"\n{runs.table}", flush=True)
            table.inside = await look_inside(made.services[:1])
            print(f"in the first replica: {table.inside}", flush=True)
            assert table.inside.hits > table.trials / 2, "what was asked was not in memory"
            return table

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(all_of_it())


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: a socket's path is bounded."""
    with tempfile.TemporaryDirectory(prefix="trials-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_no_worker_answers_from_before_a_change(folder: Path) -> None:
    table = run(folder, trials=TRIALS, seconds=SECONDS)
    assert table.violations == []
    assert table.odd == []


@pytest.mark.parametrize("name", FAULTS)
def test_nor_while_something_fails(name: str, folder: Path) -> None:
    fault, stores = FAULTS[name]
    print(f"\n{name}")
    table = run(folder, trials=FAULT_TRIALS, seconds=FAULT_SECONDS, fault=fault, **stores)
    assert table.violations == []
    assert table.odd == []
    assert table.inside is not None
    assert table.inside.within[LONGEST_WAIT] == table.inside.waits
