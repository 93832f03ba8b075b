"""The events of a user, as the outbox has them."""

from typing import Any
from uuid import UUID

from auth_service.events.kinds import KINDS
from tests.support.api import Api


async def events_of(api: Api, user_id: UUID | str) -> list[tuple[str, dict[str, Any]]]:
    """(kind, data without the user's id), oldest first; each is held against its schema."""
    rows = await api.resources.hot.fetch(
        "SELECT kind, data::text AS data, key FROM outbox WHERE user_id = $1 ORDER BY number", UUID(str(user_id))
    )
    found = []
    for row in rows:
        event = KINDS[row["kind"]].model_validate_json(row["data"])
        assert row["key"] == str(user_id)
        found.append((row["kind"], event.model_dump(exclude={"user_id"})))
    return found


async def kinds_of(api: Api, user_id: UUID | str) -> list[str]:
    return [kind for kind, _ in await events_of(api, user_id)]
