"""The client of a request, as sessions and the history keep it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from auth_service.core.http.limits import client_of

MAX_USER_AGENT = 400


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from; `device_token` is what the device was given at its first login."""

    ip: str | None
    user_agent: str | None
    device_name: str | None = None
    device_token: str | None = None


async def request_client(request: Request) -> Client:
    return client_at(client_of(request), request.headers.get("user-agent"))


def client_at(address: str | None, user_agent: str | None) -> Client:
    """The User-Agent is cut, and what is not printable in it is replaced (AUD-3)."""
    if user_agent is not None and not user_agent.isprintable():
        user_agent = "".join(char if char.isprintable() else "?" for char in user_agent)
    return Client(ip=address, user_agent=None if user_agent is None else user_agent[:MAX_USER_AGENT])


RequestClient = Annotated[Client, Depends(request_client)]
