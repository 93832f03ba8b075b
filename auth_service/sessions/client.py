"""The client of a request, as sessions and the history keep it."""

from typing import Annotated

from fastapi import Depends, Request

from auth_service.core.limits import client_of
from auth_service.sessions.service import MAX_USER_AGENT, Client


async def request_client(request: Request) -> Client:
    """The User-Agent is cut, and what is not printable in it is replaced (AUD-3)."""
    given = request.headers.get("user-agent")
    agent = None if given is None else "".join(char if char.isprintable() else "?" for char in given)[:MAX_USER_AGENT]
    return Client(ip=client_of(request), user_agent=agent)


RequestClient = Annotated[Client, Depends(request_client)]
