"""EDG-7 in small: every route answers what the OpenAPI document says; `make fuzz` is the same at length.

A route that fails here answers a status that its `responses=refusals(…)` does not name, takes what its schema
refuses, or refuses what it takes. What JSON Schema cannot say goes to tests/support/fuzzing/exclusions.py, with the
reason.
"""

from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.conftest import Fresh
from tests.support.fuzzing.exclusions import UNSAYABLE
from tests.support.fuzzing.run import CALLERS, fuzz
from tests.support.route_table import STREAMS

pytestmark = pytest.mark.long

SHORT = ("--phases", "fuzzing", "--max-examples", "2", "--generation-deterministic", "--no-shrink")


async def test_edg_7_every_route_keeps_to_the_document(fresh: Fresh, tmp_path: Path, app: FastAPI) -> None:
    settings = await fresh.settings(login_address_failure_limit=1_000_000, login_total_failure_limit=1_000_000)
    in_process, service = await fresh.on(settings), await fresh.service(settings)
    routes = {f"{method.upper()} {path}" for path, item in app.openapi()["paths"].items() for method in item}
    for caller in CALLERS:
        found = await fuzz(in_process, service.base_url, caller, tmp_path, *SHORT, accounts=60, seconds=240)
        assert found.code == 0, found.output
        assert found.answers.keys() == routes - {f"GET {path}" for path in STREAMS}, caller
        assert found.total > len(routes)
        assert not [label for label, statuses in found.answers.items() if "500" in statuses]


def test_exclusions_name_routes_that_exist(app: FastAPI) -> None:
    routes = {f"{method.upper()} {path}" for path, item in app.openapi()["paths"].items() for method in item}
    assert {label for label, _ in UNSAYABLE} <= routes
