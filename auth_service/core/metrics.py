"""Prometheus metrics; the only file that imports prometheus_client. No label is personal or has many values."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MEDIA_TYPE = CONTENT_TYPE_LATEST
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# A check takes one to five milliseconds, a login forty to some hundred.
_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
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
        self.logins = self._counter("auth_logins", "Logins by outcome: right, wrong_password, locked …", "outcome")
        self.checks = self._counter("auth_permission_checks", "Decisions by their reason", "reason")
        self.refreshes = self._counter(
            "auth_refreshes", "Refreshes: advanced, same_successor, refuse, reuse", "outcome"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, list(labels), registry=self._registry)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """`status` 0: the client went away before there was an answer."""
        self.requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """The text format; of all workers of this `serve`, whichever of them is asked."""
        if _FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


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
