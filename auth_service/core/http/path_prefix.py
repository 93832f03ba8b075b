"""The service below a path of a site, such as https://cinema.example/id/, whether the proxy strips that path or not.

It comes from ISSUER, never from a header such as X-Forwarded-Prefix, which a caller could send too.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

ALONE = ""  # the path inside of the prefix without its slash, which no other request has


class PathPrefix:
    """Outermost: everything behind it knows the paths without the prefix alone.

    `prefix` begins with a slash, does not end with one, and needs no percent-encoding.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix, self._below = prefix, f"{prefix}/"
        # RFC 8414 section 3.1, and AuthZEN section 9: before the issuer's path, at the root of the site.
        self._well_known = re.compile(rf"(/\.well-known/[^/]+){re.escape(prefix)}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inside = self._inside(scope.get("path", ""))
        if inside is not None:
            # A copy, since the server keeps its own; without raw_path, which nobody reads and which would differ.
            scope = {**scope, "path": inside, "raw_path": None}
        await self._app(scope, receive, send)

    def _inside(self, path: str) -> str | None:
        if path.startswith(self._below):
            return path[len(self._prefix) :]
        if path == self._prefix:
            return ALONE
        known = self._well_known.fullmatch(path)
        return known and known[1]


class MissingSlash:
    """Inside the edge, whose headers this answer has too: links of pages are relative, and have to stand below it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._target = f"{prefix}/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != ALONE:
            await self._app(scope, receive, send)
            return
        query = scope["query_string"]
        headers = [(b"location", self._target + (b"?" + query if query else b"")), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
