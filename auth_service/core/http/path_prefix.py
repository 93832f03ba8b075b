"""The service below a path of a site, such as https://cinema.example/id/, whether the proxy strips that path or not.

Outermost: everything behind it knows the paths without the prefix alone. It comes from ISSUER, never from a header such
as X-Forwarded-Prefix, which a caller could send too.
"""

from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """`prefix` begins with a slash and does not end with one."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix, self._below = prefix, f"{prefix}/"
        self._raw = quote(prefix).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == self._prefix and scope["type"] == "http":
            await _add_slash(scope, send, self._raw)
            return
        if path.startswith(self._below):
            raw = scope.get("raw_path") or b""
            # A proxy may have spelled the prefix otherwise; what counts is the decoded path.
            raw = (
                raw[len(self._raw) :] if raw.startswith(self._raw + b"/") else quote(path[len(self._prefix) :]).encode()
            )
            scope = {**scope, "path": path[len(self._prefix) :], "raw_path": raw}
        await self._app(scope, receive, send)


async def _add_slash(scope: Scope, send: Send, raw: bytes) -> None:
    """Links of pages are relative: they have to stand below the prefix."""
    query = scope["query_string"]
    target = raw + b"/" + (b"?" + query if query else b"")
    await send(
        {"type": "http.response.start", "status": 308, "headers": [(b"location", target), (b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})
