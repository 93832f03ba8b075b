"""EDG-7: the OpenAPI document and the service agree, whatever is sent and whoever sends it."""

import os
from pathlib import Path

import pytest

from tests.conftest import Fresh
from tests.fuzzing.run import CALLERS, run_schemathesis, seed

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "60")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "900"))
ACCOUNTS = 400
ARGUMENTS = os.environ.get("FUZZ_ARGUMENTS", "").split()


@pytest.mark.parametrize("caller", CALLERS)
async def test_edg_7_the_document_is_true(fresh: Fresh, tmp_path: Path, caller: str) -> None:
    settings = await fresh.settings(login_address_failure_limit=1_000_000, login_total_failure_limit=1_000_000)
    in_process = await fresh.on(settings)
    service = await fresh.service(settings)
    told = await seed(in_process, caller, ACCOUNTS)
    found = await run_schemathesis(
        service.base_url, caller, told, tmp_path, "--max-examples", EXAMPLES, *ARGUMENTS, seconds=SECONDS
    )
    (Path("/tmp/fuzz-out") / f"{caller}.txt").write_text(
        found.output + "\n" + "\n".join(f"{k}: {dict(v)}" for k, v in found.answers.items())
    )
    print(f"\n{found}")
    assert found.code == 0, found.output[-3000:]
