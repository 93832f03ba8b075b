"""Prometheus metrics; the only file that imports prometheus_client. No label is personal or has many values."""

import gzip
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from auth_service.core.accept import by_preference

# What prometheus_client can write. Asked for any other version it would claim to, or fail.
_VERSIONS = {"application/openmetrics-text": {"", "1.0.0"}, "text/plain": {"", "0.0.4", "1.0.0"}}
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_READS = 100
# A check takes one to five milliseconds, a login forty to some hundred.
_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
# Of the stores, so the same whichever worker or replica is asked: the greatest of them counts, never their sum.
MEASURED = {
    "auth_postgres_up": "1 where Postgres answered within DATABASE_TIMEOUT_SECONDS",
    "auth_redis_up": "1 where Redis answered within REDIS_TIMEOUT_MS",
    "auth_redis_memory_bytes": "Memory that Redis uses",
    "auth_redis_memory_limit_bytes": "maxmemory of Redis, where it has one",
    "auth_events_unsent": "Events that wait for Kafka, 1000001 where it is more than a million",
    "auth_events_parked": "Events that Kafka refused for good",
    "auth_events_lag_seconds": "Age of the oldest event that waits for Kafka",
    "auth_mails_waiting": "Mails that wait to be sent or tried again",
    "auth_mails_lag_seconds": "Age of the oldest of them",
    "auth_login_history_stray_rows": "Rows in the default partition, 1001 where it is more than a thousand",
    "auth_login_history_months_ahead": "Coming months that have a partition, without a gap",
}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Of one app: counters of its own, so that two apps in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("auth_http_requests", "Answers by route and status", "method", "route", "status")
        self.seconds = Histogram(
            "auth_http_request_seconds",
            "Time to the end of the answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}  # looked up with each request
        self.change_waits = Histogram(
            "auth_change_wait_seconds",
            "Time a change waited until every worker had heard of it",
            buckets=(*_BUCKETS[:-2], 1.5, *_BUCKETS[-2:]),  # nothing waits much longer than a lease
            registry=self._registry,
        )
        self.logins = self._counter("auth_logins", "Logins by outcome: right, wrong_password, locked …", "outcome")
        self.checks = self._counter("auth_permission_checks", "Decisions by their reason", "reason")
        self.check_hits = self._counter("auth_check_hits", "Checks that were answered from memory", "route")
        self.refreshes = self._counter(
            "auth_refreshes", "Refreshes: advanced, same_successor, refuse, reuse", "outcome"
        )
        self.refreshed = cache(self.refreshes.labels)  # by outcome: looked up with each refresh
        self.job_failures = self._counter("auth_job_failures", "Failed runs of the jobs beside the requests", "name")
        self.denylist_rebuilds = self._counter("auth_denylist_rebuilds", "Times that Redis had lost its memory")
        self.busy = self._counter("auth_busy", "Requests answered 503 busy, by the pool that was full", "pool")
        self._in_use = self._gauge("auth_pool_in_use", "Connections, or hashes running and waiting, by pool")
        self._limit = self._gauge("auth_pool_limit", "How many a pool takes")
        self.tallies: list[Callable[[], None]] = []  # of who counts by plain numbers, where a counter costs too much
        # From the start those that an alarm counts: one that is born with 1 has not risen.
        for outcome in ("right", "wrong_password", "unknown_login", "locked"):
            self.logins.labels(outcome)
        self.checks.labels("unknown_permission")
        for route in ("/permissions/check", "/permissions/check/batch", "/auth/verify"):
            self.check_hits.labels(route)
        self.refreshes.labels("reuse")
        for pool in ("redis", "postgres", "postgres_hot", "hashing"):
            self.busy.labels(pool)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, list(labels), registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["pool"], registry=self._registry, multiprocess_mode="livesum")

    def failed_jobs(self) -> dict[str, int]:
        """By job, how often it failed in this worker since it began."""
        samples = (sample for metric in self.job_failures.collect() for sample in metric.samples)
        return {sample.labels["name"]: int(sample.value) for sample in samples if sample.name.endswith("_total")}

    def show_pool(self, pool: str, in_use: int, limit: int) -> None:
        """Of this worker; what is read is the sum of all that live."""
        self._in_use.labels(pool).set(in_use)
        self._limit.labels(pool).set(limit)

    def tally(self) -> None:
        """Takes over what was counted elsewhere; called every few seconds, and before this worker is scraped."""
        for take_over in self.tallies:
            take_over()

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """`status` 0: the client went away before there was an answer."""
        key = (method if method in _METHODS else "other", route, status)
        counters = self._of_requests.get(key)
        if counters is None:
            counters = self.requests.labels(key[0], route, str(status)), self.seconds.labels(route)
            self._of_requests[key] = counters
        answers, time_taken = counters
        answers.inc()
        time_taken.observe(seconds)

    def render(self, measured: Mapping[str, float], accept: str = "", accept_encoding: str = "") -> "Exposition":
        """Of all workers of this `serve`, whichever of them is asked. `measured`: some of MEASURED.

        OpenMetrics or Prometheus' text, by the request's Accept; 0.0.4 of the text for whoever names neither.
        """
        if _FOLDER in os.environ:
            _forget_the_killed(Path(os.environ[_FOLDER]))
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        else:
            counted = self._registry
        encode, media_type = choose_encoder(_best_known(accept))
        body = _once_whole(lambda: encode(_Both(counted, _Measured(measured))))
        if not gzip_accepted(",".join(by_preference(accept_encoding))):
            return Exposition(body, {"Content-Type": media_type})
        return Exposition(gzip.compress(body, 6), {"Content-Type": media_type, "Content-Encoding": "gzip"})


@dataclass(frozen=True, slots=True)
class Exposition:
    body: bytes
    headers: dict[str, str]


def _best_known(accept: str) -> str:
    """The one media range of Accept that is wanted most among those that can be written."""
    for item in by_preference(accept):
        name, *parameters = (part.strip() for part in item.split(";"))
        version = next((text.partition("=")[2] for text in parameters if text.startswith("version=")), "")
        if version in _VERSIONS.get(name, ()):
            return ";".join((name, *parameters))
    return ""


def _once_whole(read: Callable[[], bytes]) -> bytes:
    """A worker that starts makes a file, and then the file's head: whoever reads it in between reads again."""
    for _ in range(_READS - 1):
        with suppress(struct.error):
            return read()
        time.sleep(0.001)
    return read()


class _Both(Collector):
    """One document: OpenMetrics ends with a line that says so, and nothing may follow it."""

    def __init__(self, *parts: Collector) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        return chain.from_iterable(part.collect() for part in self._parts)


class _Measured(Collector):
    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = values

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, value in self._values.items():
            yield GaugeMetricFamily(name, MEASURED[name], value)


def _forget_the_killed(folder: Path) -> None:
    """A worker that was killed did not come to `forget_worker`."""
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker was at it too
                mark_process_dead(pid)  # type: ignore[no-untyped-call]


@contextmanager
def shared_by_workers() -> Iterator[None]:
    """Around `serve` with several workers, before they start: they count in files of one folder."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="auth-metrics-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_FOLDER]


def forget_worker() -> None:
    """When a worker ends: its counts stay, what it measured of itself goes."""
    if _FOLDER in os.environ:
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
