"""Long work in short turns: between two of them the event loop does what waits for it, such as a permission check."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

# What a turn takes should stay below a millisecond: half of what an idle machine's slowest check takes.
IN_A_TURN = 50


async def in_turns(items: Sequence[_Item], size: int = IN_A_TURN) -> AsyncIterator[Sequence[_Item]]:
    """All of the items in their order, `size` at a time."""
    for start in range(0, len(items), size):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + size]
