"""What the apps of this process log: it comes after what it tells of, so a test waits for it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

PATIENCE_SECONDS = 30


async def until_logged(lines: Sequence[Mapping[str, Any]], event: str) -> None:
    """`lines` of structlog.testing.capture_logs; call it before the capture ends."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while event not in {line["event"] for line in lines}:  # noqa: ASYNC110  a list has no signal
            await asyncio.sleep(0.02)
