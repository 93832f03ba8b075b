"""The outbox over HTTP: from a position that skips nothing, however late it was committed."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from auth_service.events.kinds import ProfileChanged
from auth_service.events.outbox import record
from auth_service.models import new_id
from auth_service.users.service import update_profile
from tests.conftest import Fresh
from tests.support.api import V1, Api, Tokens, error_of

EVENTS = f"{V1}/admin/events"


@pytest.fixture(scope="module")
async def auditor(api: Api) -> Tokens:
    return (await api.as_role("superuser"))[1]


async def read(api: Api, auditor: Tokens, **query: Any) -> dict[str, Any]:
    response = await api.http.get(EVENTS, params=query, headers=auditor.bearer)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def end_of(api: Api, auditor: Tokens) -> int:
    position = 0
    while (page := await read(api, auditor, after=position, limit=1000))["items"]:
        position = page["next_after"]
    return position


async def test_rel_4_events_are_read_page_by_page(api: Api, auditor: Tokens) -> None:
    start = await end_of(api, auditor)
    account = await api.create_user()
    for number in range(5):
        await update_profile(api.resources, account.id, {"full_name": f"Name {number}"})
    seen: list[str] = []
    position = start
    while (page := await read(api, auditor, after=position, limit=2, user_id=str(account.id)))["items"]:
        assert len(page["items"]) <= 2
        positions = [item["position"] for item in page["items"]]
        assert positions == sorted(positions)
        assert positions[0] > position
        position = page["next_after"]
        seen += [item["data"]["full_name"] for item in page["items"]]
    assert seen == [f"Name {number}" for number in range(5)]
    (first, *_) = (await read(api, auditor, after=start, user_id=str(account.id)))["items"]
    assert (first["specversion"], first["type"], first["subject"]) == ("1.0", "auth.profile_changed", str(account.id))
    assert first["source"] == api.resources.settings.issuer


async def test_events_are_chosen_by_kind_and_user(api: Api, auditor: Tokens) -> None:
    account, _ = await api.as_role()
    page = await read(api, auditor, user_id=str(account.id), kind="session_started")
    assert [item["type"] for item in page["items"]] == ["auth.session_started"]
    quiet = await read(api, auditor, user_id=str((await api.create_user()).id))
    assert quiet == {"items": [], "next_after": 0}
    nobody = await api.http.get(EVENTS, params={"user_id": str(new_id())}, headers=auditor.bearer)
    assert error_of(nobody) == (404, "not_found")


@pytest.mark.parametrize("query", [{"after": -1}, {"after": 2**63}, {"limit": 0}, {"limit": 1001}, {"kind": "A b"}])
async def test_a_bad_position_is_refused(api: Api, auditor: Tokens, query: dict[str, Any]) -> None:
    response = await api.http.get(EVENTS, params=query, headers=auditor.bearer)
    assert error_of(response) == (422, "validation_error")


async def test_rel_4_what_commits_late_is_not_skipped(api: Api, auditor: Tokens) -> None:
    """The older row gets its number first and is committed last: it must still come, after what was read."""
    start = await end_of(api, auditor)
    early, late = new_id(), new_id()
    async with api.resources.db.begin() as session:
        await record(api.resources, session, ProfileChanged(user_id=late, full_name=None))
        async with api.resources.db.begin() as other:
            await record(api.resources, other, ProfileChanged(user_id=early, full_name=None))
        page = await read(api, auditor, after=start, limit=1000, kind="profile_changed")
        subjects = [item["subject"] for item in page["items"]]
        assert str(early) in subjects
        assert str(late) not in subjects
    after = await read(api, auditor, after=page["next_after"], limit=1000, kind="profile_changed")
    assert str(late) in [item["subject"] for item in after["items"]]


@pytest.mark.long
async def test_rel_4_readers_that_race_with_writers_miss_nothing(fresh: Fresh) -> None:
    """Transactions of different lengths, four readers that number and read at once; each reads every row once."""
    api = await fresh.api()
    _, auditor = await api.as_role("superuser")
    users = [new_id() for _ in range(4)]
    done = asyncio.Event()

    async def write(number: int) -> None:
        async with api.resources.db.begin() as session:
            await record(api.resources, session, ProfileChanged(user_id=users[number % 4], full_name=str(number)))
            await asyncio.sleep(0.02 * (number % 7))

    async def follow() -> list[str]:
        found: list[str] = []
        position, last_round = 0, False
        while True:
            page = await read(api, auditor, after=position, limit=7)
            position = page["next_after"]
            found += [item["id"] for item in page["items"]]
            if not page["items"]:
                if last_round:
                    return found
                last_round = done.is_set()
                await asyncio.sleep(0.005)

    readers = [asyncio.create_task(follow()) for _ in range(4)]
    for start in range(0, 120, 6):
        await asyncio.gather(*(write(number) for number in range(start, start + 6)))
    done.set()
    followed = await asyncio.gather(*readers)
    ids = [str(row["id"]) for row in await api.resources.hot.fetch("SELECT id FROM outbox ORDER BY position")]
    assert len(ids) >= 120
    assert all(found == ids for found in followed)


async def test_each_user_is_read_in_the_order_of_the_changes(fresh: Fresh) -> None:
    api = await fresh.api()
    _, auditor = await api.as_role("superuser")
    account = await api.create_user()
    await asyncio.gather(
        *(update_profile(api.resources, account.id, {"full_name": f"Name {number}"}) for number in range(20))
    )
    page = await read(api, auditor, user_id=str(account.id), limit=1000)
    numbers = await api.resources.hot.fetch("SELECT id FROM outbox WHERE user_id = $1 ORDER BY number", account.id)
    assert [UUID(item["id"]) for item in page["items"]] == [row["id"] for row in numbers]
    user = await api.resources.hot.fetchval("SELECT full_name FROM users WHERE id = $1", account.id)
    assert page["items"][-1]["data"]["full_name"] == user
