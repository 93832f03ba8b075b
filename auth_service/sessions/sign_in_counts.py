"""How many sign-ins there were, and how many failed for what reason, for those who watch over the service.

There is no index by time alone: the partitions of the months in question are read, and no others. So the time that
it may take has an end, and whoever asks is told to ask for fewer days.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import asyncpg

from auth_service.core.connections import Resources
from auth_service.core.stores.postgres_pools import lent_by

SECONDS = 5
# The finest difference between two time zones: a day or an hour of any of them is made of whole ones.
QUARTER = timedelta(minutes=15)
_COUNTS = """
SELECT date_bin($3, login_at, 'epoch') AS began, CASE WHEN succeeded THEN NULL ELSE coalesce(reason, '') END AS failure,
    count(*) AS times
FROM login_history WHERE login_at >= $1 AND login_at < $2 GROUP BY 1, 2
"""


class TooMuchToCount(Exception):
    """The sign-ins of this time could not be counted in SECONDS."""


@dataclass(frozen=True, slots=True)
class Count:
    """`failure`: the reason, None of sign-ins that succeeded."""

    began: datetime
    failure: str | None
    times: int


@dataclass(frozen=True, slots=True)
class Bar:
    began: datetime
    succeeded: int
    failed: int


async def count_sign_ins(resources: Resources, since: datetime, until: datetime) -> list[Count]:
    """By quarters of an hour; raises TooMuchToCount."""
    try:
        async with lent_by(resources.engine) as connection, connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            await connection.execute("SET LOCAL jit = off")
            rows = await connection.fetch(_COUNTS, since, until, QUARTER, timeout=SECONDS + 1)
    except asyncpg.QueryCanceledError as error:
        raise TooMuchToCount from error
    return [Count(row["began"], row["failure"], row["times"]) for row in rows]


def by_hour(counts: Sequence[Count], now: datetime, zone: tzinfo, hours: int = 24) -> list[Bar]:
    """The oldest first, the present hour last, those without any sign-in too."""
    # By what the clock shows: in autumn one hour is there twice and counts as one.
    begins = dict.fromkeys(_hour(now - timedelta(hours=back), zone) for back in range(hours - 1, -1, -1))
    return _bars(counts, list(begins), lambda moment: _hour(moment, zone))


def by_day(counts: Sequence[Count], now: datetime, zone: tzinfo, days: int) -> list[Bar]:
    today = _day(now, zone)
    begins = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return _bars(counts, begins, lambda moment: _day(moment, zone))


def failures(counts: Sequence[Count]) -> list[tuple[str, int]]:
    """Each reason with how often, the most frequent first."""
    found: Counter[str] = Counter()
    for count in counts:
        if count.failure is not None:
            found[count.failure] += count.times
    return found.most_common()


def _hour(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(minute=0, second=0, microsecond=0)


def _day(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def _bars(counts: Sequence[Count], begins: Sequence[datetime], begin_of: Callable[[datetime], datetime]) -> list[Bar]:
    right: Counter[datetime] = Counter()
    wrong: Counter[datetime] = Counter()
    for count in counts:
        (right if count.failure is None else wrong)[begin_of(count.began)] += count.times
    return [Bar(begin, right[begin], wrong[begin]) for begin in begins]
