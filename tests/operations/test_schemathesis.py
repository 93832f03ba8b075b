"""EDG-7: the OpenAPI document and the service agree, whatever is sent and whoever sends it; `make fuzz` runs it.

FUZZ_EXAMPLES (for each route), FUZZ_STATEFUL_SECONDS (for walks along the links) and FUZZ_SECONDS (in all) bound what
is done as each caller.
"""

import os
from pathlib import Path

import pytest

from tests.conftest import Fresh
from tests.support.fuzzing.run import CALLERS, fuzz

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "40")
STATEFUL_SECONDS = os.environ.get("FUZZ_STATEFUL_SECONDS", "60")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "1800"))
ACCOUNTS = 1000


@pytest.mark.parametrize("caller", CALLERS)
async def test_edg_7_the_document_is_true(fresh: Fresh, tmp_path: Path, caller: str) -> None:
    """All checks. No operation has an example of its own, so that phase has nothing to send.

    The stateful phase has a time instead of a number: hypothesis ends a walk as soon as a repeated step is answered
    otherwise, and here a second POST of a name always is; with a time, schemathesis begins again.
    """
    settings = await fresh.settings(login_address_failure_limit=1_000_000, login_total_failure_limit=1_000_000)
    in_process, service = await fresh.on(settings), await fresh.service(settings)
    for arguments in (
        ("--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES),
        ("--phases", "stateful", "--max-time", STATEFUL_SECONDS),
    ):
        found = await fuzz(
            in_process, service.base_url, caller, tmp_path, *arguments, accounts=ACCOUNTS, seconds=SECONDS
        )
        print(f"\n{found}", flush=True)
        assert found.code == 0, found.output
        assert found.total > 0
    assert "unhandled_error" not in service.log()
