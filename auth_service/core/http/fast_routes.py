"""HOT. Answers some routes before the layers of FastAPI, which cost more than what the routes do.

For plain calls only, as programs make them: no cookie, no Origin, no query, JSON as JSON. Everything else is for the
ordinary route, which then gets the body once more. A fast route calls the same functions as the ordinary one and
answers the same to the byte; for each a test compares the two.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from auth_service.core.http.cache_control import wants_fresh
from auth_service.core.http.edge import replayed
from auth_service.core.http.error_answers import answer_to

Asked = TypeVar("Asked")
Headers = list[tuple[bytes, bytes]]

_BEARER = re.compile(rb"Bearer ([A-Za-z0-9_.-]+)")
VARY = (b"vary", b"Origin")  # as of every answer behind CORS


@dataclass(frozen=True, slots=True)
class Head:
    """What a plain call says of itself; `token` is the bearer's, `fresh` that it wants nothing from a memory."""

    address: str | None
    token: str | None
    user_agent: str | None
    fresh: bool = False


@dataclass(frozen=True)
class FastRoute(Generic[Asked]):
    """`path` is the route's own, as the metrics know it. `read` says what is asked, None for what is wrong and for what
    is right in another form. `answer` gets it with the state of the app; its bytes are JSON.
    """

    method: str
    path: str
    read: Callable[[Head, bytes], Asked | None]
    answer: Callable[[Any, Asked], Awaitable[bytes]]


class FastRoutes:
    """Inside the edge, which has checked head and body."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, Iterable[FastRoute[Any]]]) -> None:
        """`routes` by what their paths begin with."""
        self._app = app
        self._routes = {
            (route.method, prefix + route.path): route for prefix, below in routes.items() for route in below
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        head = None if route is None or scope["query_string"] else plain_head(scope)
        if route is None or head is None:
            await self._app(scope, receive, send)
            return
        body: bytes | None = b""
        if route.method != "GET":
            message = await receive()
            receive = replayed(message, receive)
            body = None if message.get("more_body") else message.get("body")
        asked = None if body is None else route.read(head, body)
        if asked is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        status, headers, answer = await _answered(route, asked, scope)
        await send({"type": "http.response.start", "status": status, "headers": [*headers, VARY]})
        await send({"type": "http.response.body", "body": answer})


async def _answered(route: FastRoute[Any], asked: Any, scope: Scope) -> tuple[int, Headers, bytes]:
    try:
        body = await route.answer(scope["app"].state, asked)
    except Exception as error:
        if (refusal := await refused(scope, error)) is None:
            raise
        return refusal
    return 200, json_head(body), body


async def refused(scope: Scope, error: Exception) -> tuple[int, Headers, bytes] | None:
    """What the ordinary route would say of it; None for what is no error of ours and no failure of a store."""
    refusal = await answer_to(scope, error)
    return None if refusal is None else (refusal.status_code, refusal.raw_headers, bytes(refusal.body))


def json_head(body: bytes) -> Headers:
    return [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def plain_head(scope: Scope) -> Head | None:
    """None where anything in the head asks for more than one bearer token and JSON."""
    token, agent, fresh = None, None, False
    for name, value in scope["headers"]:
        if name == b"authorization":
            match = _BEARER.fullmatch(value)
            if match is None or token is not None:
                return None
            token = match[1].decode()
        elif name == b"user-agent":
            agent = value.decode("latin-1") if agent is None else agent
        elif name == b"cache-control":
            fresh = fresh or wants_fresh(value)
        elif name in {b"cookie", b"origin", b"x-token-transport"} or (
            name == b"content-type" and value != b"application/json"
        ):
            return None
    return Head(scope["state"]["client_address"], token, agent, fresh)
