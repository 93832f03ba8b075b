"""What a worker does beside answering: jobs repeated for as long as it lives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from auth_service.core.errors import AppError, is_store_failure
from auth_service.core.metrics import Metrics

log = structlog.get_logger(__name__)
AFTER_FAILURE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    run: Callable[[], Awaitable[None]]
    seconds: float


@asynccontextmanager
async def running(jobs: Sequence[Job], metrics: Metrics | None = None) -> AsyncIterator[None]:
    """Each job at once and then every `seconds`; a failed one again after a second. `metrics` count the failures."""
    tasks = [asyncio.create_task(_repeat(job, metrics or Metrics())) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(job: Job, metrics: Metrics) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine runs in one
    failures = metrics.job_failures.labels(job.name)
    while True:
        pause = job.seconds
        try:
            await job.run()
        except Exception as error:
            # It must go on whatever happens: a worker without it would trust old keys and miss denials.
            known = is_store_failure(error) or isinstance(error, AppError)
            failures.inc()
            log.warning("upkeep_failed", job=job.name, kind=type(error).__name__, exc_info=not known)
            pause = min(AFTER_FAILURE_SECONDS, job.seconds)
        # A client library that was waiting may have turned our end into an error of its own, which was caught above.
        if task.cancelling():
            return
        await asyncio.sleep(pause)
