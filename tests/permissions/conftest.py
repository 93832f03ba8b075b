"""What the tests of checks share."""

from collections.abc import Iterator
from typing import Any

import pytest

from auth_service.permissions import hits
from tests.support.api import V1


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths that were answered from memory, in their order."""
    answered: list[str] = []
    reply = hits.Hits._reply

    def noted(self: Any, scope: Any, path: str, *more: Any) -> Any:
        answer = reply(self, scope, path, *more)
        if answer is not None:
            answered.append(path.removeprefix(V1))
        return answer

    monkeypatch.setattr(hits.Hits, "_reply", noted)
    return answered
