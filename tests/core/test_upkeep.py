"""The jobs beside the requests: they go on after failures, and they end when they are told to."""

import asyncio

import pytest
import structlog

from auth_service.core import upkeep
from auth_service.core.errors import Unavailable
from auth_service.core.telemetry.metrics import Metrics
from auth_service.core.upkeep import Job, running


async def test_a_failed_job_is_repeated_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "AFTER_FAILURE_SECONDS", 0.01)
    metrics = Metrics()
    runs = 0

    async def fails() -> None:
        nonlocal runs
        runs += 1
        raise Unavailable if runs % 2 else RuntimeError("a bug")

    with structlog.testing.capture_logs() as logged:
        async with running([Job("fails", fails, 3600)], metrics):
            async with asyncio.timeout(60):
                while runs <= 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    assert runs > 2
    assert f'auth_job_failures_total{{name="fails"}} {runs}.0' in metrics.render({}).body.decode()
    assert {entry["kind"] for entry in logged} == {"Unavailable", "RuntimeError"}


@pytest.mark.parametrize("instead", [TimeoutError, None])
async def test_jobs_end_even_if_a_library_swallows_the_cancellation(
    instead: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FINISH_SECONDS", 0.05)
    started = asyncio.Event()

    async def swallows() -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if instead is not None:
                raise instead from None

    async def lives_and_ends() -> None:
        async with running([Job("swallows", swallows, 3600)]):
            await started.wait()

    await asyncio.wait_for(lives_and_ends(), 10)


async def test_what_can_wait_runs_after_its_while_and_never_in_a_worker_that_ends_before() -> None:
    ran: list[str] = []
    both = asyncio.Event()

    def job(name: str, after: float) -> Job:
        async def run() -> None:
            ran.append(name)
            if len(ran) == 2:
                both.set()

        return Job(name, run, 3600, after=after)

    async with running([job("late", 3600), job("soon", 0.02), job("at once", 0)]):
        await asyncio.wait_for(both.wait(), 10)
    assert ran == ["at once", "soon"]
