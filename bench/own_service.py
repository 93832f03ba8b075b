"""A service of one's own for a measurement: Postgres, Redis and the shipped command in a temporary folder."""

from collections.abc import Iterator
from contextlib import contextmanager

from auth_service.testing.processes import OwnService, own_stores, own_workers


@contextmanager
def own_service(*, workers: int = 1, **environment: str) -> Iterator[OwnService]:
    """Migrated, with the demo accounts, ready; all of it ends with the block."""
    with own_stores(**environment) as stores, own_workers(stores, workers=workers, **environment) as service:
        yield service
