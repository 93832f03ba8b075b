"""HOT. One's own account as a fast route, since each page of a cinema asks for it; tests/users/test_fast_account.py
compares it.
"""

from typing import Any

from auth_service.core.connections import Resources
from auth_service.core.http.fast_routes import FastRoute, Head
from auth_service.core.principal import current_user
from auth_service.permissions.callers import caller_of
from auth_service.users.schemas import UserAnswer
from auth_service.users.service import get_account


def _read(head: Head, _body: bytes) -> str | None:
    return head.token


async def _answer(state: Any, token: str) -> bytes:
    resources: Resources = state.resources
    me = await current_user(await caller_of(resources, state.checks, token))
    answer = UserAnswer.model_validate(await get_account(resources, me.subject))
    return answer.__pydantic_serializer__.to_json(answer)


OWN_ACCOUNT = FastRoute("GET", "/users/me", _read, _answer)
