"""Long work in turns."""

import asyncio

import pytest

from auth_service.core.turns import in_turns


@pytest.mark.parametrize(("count", "turns"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3])], ids=str)
async def test_all_items_come_once_and_in_order(count: int, turns: list[int]) -> None:
    given = list(range(count))
    found = [list(some) async for some in in_turns(given, 3)]
    assert [len(some) for some in found] == turns
    assert [item for some in found for item in some] == given


async def test_others_have_their_turn_in_between() -> None:
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    task = asyncio.create_task(other())
    async for some in in_turns("abcd", 2):
        order += some
    await task
    assert order == ["a", "b", "other", "c", "d"]
