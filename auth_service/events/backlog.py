"""How far the relay is behind, for the metrics; each question is one to an index, however long the outbox is."""

from auth_service.core.connections import Resources
from auth_service.events.outbox import BUCKETS

COUNTED = 1_000_000

# The first of each bucket, and the first that has no position yet: positions follow the commits.
_STATE = """
SELECT (SELECT count(*) FROM (
        SELECT FROM outbox WHERE sent_at IS NULL AND parked_at IS NULL LIMIT $2) AS counted) AS unsent,
    (SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL) AS parked,
    least(
        (SELECT min(first.created_at) FROM generate_series(0, $1 - 1) AS every (bucket) CROSS JOIN LATERAL (
            SELECT created_at FROM outbox
            WHERE bucket = every.bucket AND sent_at IS NULL AND parked_at IS NULL AND position IS NOT NULL
            ORDER BY position LIMIT 1) AS first),
        (SELECT created_at FROM outbox WHERE position IS NULL ORDER BY number LIMIT 1)) AS oldest
"""


async def measure_backlog(resources: Resources) -> dict[str, float]:
    """Nothing without KAFKA_BOOTSTRAP: events are kept to be read then, and none is late."""
    if resources.settings.kafka_bootstrap is None:
        return {}
    ((unsent, parked, oldest),) = await resources.hot.fetch(_STATE, BUCKETS, COUNTED + 1)
    lag = 0.0 if oldest is None else max(0.0, (resources.clock() - oldest).total_seconds())
    return {"auth_events_unsent": unsent, "auth_events_parked": parked, "auth_events_lag_seconds": lag}
