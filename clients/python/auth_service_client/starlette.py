"""Plain ASGI: for Starlette, and for whatever else speaks it."""

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from auth_service_client.client import AuthClient
from auth_service_client.config import ConfigError
from auth_service_client.errors import AuthServiceError, InvalidRequest, NotAllowed
from auth_service_client.http_auth import answer_of, bearer_token

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class AuthMiddleware:
    """Lets through who has all of `permissions`, and puts the Caller at `request.state.caller`. `public`: paths that
    everybody may have, whole or with a `*` at the end. Raises ConfigError where one of the two is a text and no list:
    its letters would be taken for paths, a `*` for all of them.
    """

    def __init__(
        self, app: App, client: AuthClient, permissions: Sequence[str] = (), public: Sequence[str] = ()
    ) -> None:
        for name, given in (("permissions", permissions), ("public", public)):
            if isinstance(given, str):
                raise ConfigError(f"{name} is a list, such as [{given!r}]")
        self._app, self._client, self._permissions = app, client, tuple(permissions)
        self._paths = frozenset(path for path in public if not path.endswith("*"))
        self._prefixes = tuple(path[:-1] for path in public if path.endswith("*"))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or self._is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        try:
            caller = await self._client.authorize(
                bearer_token(given[0]) if len(given) == 1 else None, *self._permissions
            )
        except (NotAllowed, InvalidRequest):
            raise  # an operator's or a programmer's case: it belongs into the log, as a 500
        except AuthServiceError as error:
            await _refuse(scope, send, error)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        return path in self._paths or path.startswith(self._prefixes)


async def _refuse(scope: Message, send: Send, error: AuthServiceError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})  # before accept: a 403
        return
    status, body, headers = answer_of(error)
    content = json.dumps(body).encode()
    head = {**headers, "Content-Type": "application/json", "Content-Length": str(len(content))}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in head.items()],
        }
    )
    await send({"type": "http.response.body", "body": content})
