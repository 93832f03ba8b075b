"""What the fast routes have answered, and how the same is asked of the ordinary ones."""

from collections.abc import Callable
from typing import Any

import pytest

from auth_service.core.http import fast_routes

# The ordinary route is asked by a cookie that nobody reads.
ORDINARY = {"cookie": "theme=dark"}
PLAIN = {"content-type": "application/json", "x-request-id": "of-a-comparison", "user-agent": "a phone"}


def note_fast_answers(
    monkeypatch: pytest.MonkeyPatch, path: str | None = None, *, shown: Callable[[Any], Any] = lambda asked: asked
) -> list[Any]:
    """What was asked, as `shown` says it, each time that a fast route answers; of one `path`, or of all."""
    answered: list[Any] = []
    answer = fast_routes._answered

    async def noted(route: Any, asked: Any, scope: Any) -> Any:
        if path in {None, route.path}:
            answered.append(shown(asked))
        return await answer(route, asked, scope)

    monkeypatch.setattr(fast_routes, "_answered", noted)
    return answered
