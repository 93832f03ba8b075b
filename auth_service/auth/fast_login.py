"""Login as a fast route, for tokens in the body; tests/auth/test_fast_login.py compares it."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from auth_service.auth.schemas import LoginBody, LoginChallenge, TokensAnswer
from auth_service.auth.service import log_in
from auth_service.core.connections import Resources
from auth_service.core.http.fast_routes import FastRoute, Head
from auth_service.core.http.limits import EdgeLimits
from auth_service.mfa.challenges import OpenChallenge
from auth_service.sessions.client import Client, client_at


def _read(head: Head, body: bytes) -> tuple[LoginBody, Client] | None:
    try:
        asked = LoginBody.model_validate_json(body)
    except ValidationError:
        return None
    client = client_at(head.address, head.user_agent)
    return asked, replace(client, device_name=asked.device_name, device_token=asked.device_token)


async def _answer(state: Any, asked: tuple[LoginBody, Client]) -> bytes:
    resources: Resources = state.resources
    limits: EdgeLimits = state.limits
    body, client = asked
    limits.take("login", client.ip, resources.clock().timestamp())
    issued = await log_in(resources, body.login, body.password, client)
    answer: TokensAnswer | LoginChallenge
    if isinstance(issued, OpenChallenge):
        answer = LoginChallenge.model_validate(issued)
    else:
        answer = TokensAnswer.model_validate(issued)
    return answer.__pydantic_serializer__.to_json(answer, exclude_none=True)


LOGIN = FastRoute("POST", "/auth/login", _read, _answer)
