"""HOT. Refresh as a fast route: JSON with the refresh token alone; tests/auth/test_fast_refresh.py compares it."""

from typing import Any

import orjson

from auth_service.auth.schemas import MAX_TOKEN
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
    tokens = await rotate(resources, token, client)
    # As TokensAnswer, field by field: what a refresh has no value for is left out there too.
    return orjson.dumps(
        {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "token_type": "Bearer",
            "expires_in": tokens.expires_in,
            "session_id": tokens.session_id,
        }
    )


REFRESH = FastRoute("POST", "/auth/refresh", _read, _answer)
