"""The trail between two times: along the times, whatever numbers the rows have; all pages together are the whole."""

import random
from datetime import datetime, timedelta
from typing import Any

from tests.conftest import Fresh
from tests.support.api import StoppedClock
from tests.support.people_lists import all_pages


async def test_pages_between_two_times_are_the_whole(fresh: Fresh) -> None:
    """Of rows of which many have one time, and some an earlier one than the row before: clocks of replicas differ."""
    clock, dice = StoppedClock(), random.Random(5)
    api = await fresh.api(clock)
    _, root = await api.as_role("superuser")
    rows = [(number, clock() + timedelta(minutes=number // 4 + dice.choice((0, 0, -1)))) for number in range(1, 41)]
    await api.resources.hot.execute(
        "INSERT INTO audit_log (id, at, actor_kind, actor_id, action, target_kind, hash)"
        " SELECT id, at, 'system', CASE id % 2 WHEN 0 THEN 'even' ELSE 'odd' END, 'key.rotated', 'key', ''"
        " FROM unnest($1::bigint[], $2::timestamptz[]) AS given (id, at)",
        *([row[which] for row in rows] for which in (0, 1)),
    )
    for number in range(12):
        start, end = sorted(clock() + timedelta(minutes=dice.randrange(11)) for _ in range(2))
        asked: dict[str, Any] = {}
        if number % 3 != 1:
            asked["since"] = start
        if number % 3 != 2:
            asked["until"] = end
        if number % 2:
            asked["action"] = "key.rotated"
        found = await all_pages(api, root, "/admin/audit", limit=dice.choice((1, 3, 7)), **asked)
        expected = sorted(
            ((at, row) for row, at in rows if asked.get("since", at) <= at and (number % 3 == 2 or at < end)),
            reverse=True,
        )
        assert [(datetime.fromisoformat(item["at"]), item["id"]) for item in found] == expected, asked
