"""HOT. Refresh as a fast route: JSON with the refresh token alone; tests/auth/test_fast_refresh.py compares it."""

from typing import Any

import orjson

from auth_service.auth.schemas import MAX_TOKEN, TokensAnswer
from auth_service.core.connections import Resources
from auth_service.core.http.fast_routes import FastRoute, Head
from auth_service.core.http.limits import EdgeLimits
from auth_service.sessions.client import Client, client_at
from auth_service.sessions.rotation import rotate


def _read(head: Head, body: bytes) -> tuple[str, Client] | None:
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    token = value.get("refresh_token") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(token, str) or not 1 <= len(token) <= MAX_TOKEN:
        return None
    return token, client_at(head.address, head.user_agent)


async def _answer(state: Any, asked: tuple[str, Client]) -> bytes:
    resources: Resources = state.resources
    limits: EdgeLimits = state.limits
    token, client = asked
    limits.take("refresh", client.ip, resources.clock().timestamp())
    answer = TokensAnswer.model_validate(await rotate(resources, token, client))
    return answer.__pydantic_serializer__.to_json(answer, exclude_none=True)


REFRESH = FastRoute("POST", "/auth/refresh", _read, _answer)
