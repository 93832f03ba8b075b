"""EDG-7: the OpenAPI document and the service agree, whatever is sent and whoever sends it; `make fuzz` runs it.

FUZZ_EXAMPLES (for each route and caller) and FUZZ_SECONDS (for each caller) bound it; FUZZ_PHASES takes it in pieces.
"""

import os
from pathlib import Path

import pytest

from tests.conftest import Fresh
from tests.fuzzing.run import CALLERS, fuzz

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "60")
PHASES = os.environ.get("FUZZ_PHASES", "examples,coverage,fuzzing,stateful")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "900"))
ACCOUNTS = 2000


@pytest.mark.parametrize("caller", CALLERS)
async def test_edg_7_the_document_is_true(fresh: Fresh, tmp_path: Path, caller: str) -> None:
    """All checks; no route has an example of its own, so that phase has nothing to send."""
    settings = await fresh.settings(login_address_failure_limit=1_000_000, login_total_failure_limit=1_000_000)
    in_process, service = await fresh.on(settings), await fresh.service(settings)
    arguments = ("--max-examples", EXAMPLES, "--phases", PHASES)
    found = await fuzz(in_process, service.base_url, caller, tmp_path, *arguments, accounts=ACCOUNTS, seconds=SECONDS)
    print(f"\n{found}", flush=True)
    assert found.code == 0, found.output
    assert set(PHASES.split(",")) - {"examples"} <= found.cases.keys()
    assert "unhandled_error" not in service.log()
