"""What a worker does beside answering: jobs repeated for as long as it lives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass

import structlog

from auth_service.core.errors import AppError, is_store_failure
from auth_service.core.priority_slots import going_first
from auth_service.core.stores.trouble import trouble_of
from auth_service.core.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)
AFTER_FAILURE_SECONDS = 1
FIRST_SECONDS = 2.0
FINISH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """`first`: requests need it, so `running` waits for its first run. `endless`: it does not end by itself; `ready`
    tells that it is at work, and `running` waits for that. `after`: seconds before its first run, for what can wait
    while a worker has its first requests.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    seconds: float
    first: bool = False
    endless: bool = False
    ready: asyncio.Event | None = None
    after: float = 0


@asynccontextmanager
async def running(jobs: Sequence[Job], metrics: Metrics | None = None) -> AsyncIterator[None]:
    """Each job at once, or `after` a while, and then every `seconds`; a failed one again after a second. `metrics`
    count the failures.

    At the end a job that is at work gets a moment to finish (REL-7): a mail that was sent is then marked as sent.
    """
    counted = metrics or Metrics()
    stopping = asyncio.Event()
    ran = {job: asyncio.Event() for job in jobs}
    tasks = {job: asyncio.create_task(_repeat(job, counted, stopping, ran[job])) for job in jobs}
    try:
        with suppress(TimeoutError):  # it starts without its stores (REL-10)
            async with asyncio.timeout(FIRST_SECONDS):
                first = [ran[job] for job in jobs if job.first]
                await asyncio.gather(*(event.wait() for event in first + [job.ready for job in jobs if job.ready]))
        yield
    finally:
        stopping.set()
        for job, task in tasks.items():
            if job.endless:
                task.cancel()
        await asyncio.wait(tasks.values(), timeout=FINISH_SECONDS)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _repeat(job: Job, metrics: Metrics, stopping: asyncio.Event, ran: asyncio.Event) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine runs in one
    failures = metrics.job_failures.labels(job.name)
    if job.after:
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), job.after)
    while not stopping.is_set():
        pause = job.seconds
        try:
            with nullcontext() if job.endless else going_first():
                await job.run()
        except Exception as error:
            # It must go on whatever happens: a worker without it would trust old keys and miss denials.
            known = is_store_failure(error) or isinstance(error, AppError)
            failures.inc()
            trouble = trouble_of(error) if known else None
            words = {} if trouble is None else asdict(trouble)
            log.warning("upkeep_failed", job=job.name, kind=type(error).__name__, **words, exc_info=not known)
            pause = min(AFTER_FAILURE_SECONDS, job.seconds)
        ran.set()
        # A client library that was waiting may have turned our end into an error of its own, which was caught above.
        if task.cancelling():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause)
