"""Which core does what: the server that is measured has one to itself, all else shares the other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def two_cores() -> tuple[int, int] | None:
    """The server's and the load's; None where this machine or system has no two to pin to."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started in the block runs on that core with all its threads; None: nothing is pinned.

    A process inherits the affinity of its parent at its start. Setting it later would reach its first thread only.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
