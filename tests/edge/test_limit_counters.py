"""The counters of the coarse limits forget what has expired, without a thread."""

import threading
import time

import pytest
from limits.storage import storage_from_string

from auth_service.core.http import limit_counters
from auth_service.core.http.limit_counters import SweptCounters


def test_what_has_expired_is_forgotten_by_a_later_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_counters, "SWEEP_SECONDS", 0)
    threads = threading.active_count()
    counters = storage_from_string("swept://")
    assert isinstance(counters, SweptCounters)
    assert [counters.incr("long", 60) for _ in range(2)] == [1, 2]
    counters.incr("short", 0)
    assert set(counters.storage) == {"long", "short"}
    assert counters.incr("long", 60) == 3
    assert set(counters.storage) == set(counters.expirations) == {"long"}
    assert counters.incr("short", 60) == 1
    time.sleep(0.1)  # the one that the library starts is ended, which takes a moment
    counters.incr("long", 60)
    assert threading.active_count() <= threads
