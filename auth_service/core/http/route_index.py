"""HOT. Finds a request's route by the head of its path; FastAPI tries all of them in turn, at 2 µs and more each."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

Index = dict[tuple[str, int, str], list[RouteContext]]


class RouteIndex:
    """Before the router, which has the word on whatever is not found here: 404, 405, OPTIONS.

    Not with tracing, where the router tells FastAPI's telemetry which route it is.
    """

    def __init__(self, router: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._router = router
        self._routes = routes
        self._index: Index | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http" and not scope.get("root_path"):
            if self._index is None:
                self._index = index_of(self._routes)  # late: FastAPI takes a tenth of a second to prepare them
            found = find(self._index, scope["method"], scope["path"])
        if found is None:
            await self._router(scope, receive, send)
            return
        route, scope["path_params"] = found
        scope["route"], scope["endpoint"] = route.original_route, route.endpoint
        await route.app(scope, receive, send)


def index_of(routes: Sequence[BaseRoute]) -> Index:
    """In their order. A route whose paths may begin in too many ways is left to the router, and so is each behind it
    that could match a path of it.
    """
    index: defaultdict[tuple[str, int, str], list[RouteContext]] = defaultdict(list)
    wide: list[str] = []  # what the paths of such a route begin with
    left: list[str] = []  # others that are left to the router
    short: list[str] = []  # those that are looked for last, having two segments before a parameter
    for route in iter_route_contexts(routes):
        path = route.path or "{"
        begin = path.partition("{")[0]
        head = _head(path) if "{" not in _head(path) else _short_head(path)
        if "{" in head or ":path}" in path:
            wide.append(begin)
            continue
        is_short = head != _head(path)
        before = left if is_short else left + short
        if (
            not isinstance(route.original_route, APIRoute)
            or any(begin.startswith(other) or other.startswith(begin) for other in wide)
            or any(_overlap(path, other) for other in before)
        ):
            left.append(path)
            continue
        if is_short:
            short.append(path)
        for method in route.methods or ():
            index[method, path.count("/"), head].append(route)
    return dict(index)


def find(index: Index, method: str, path: str) -> tuple[RouteContext, dict[str, Any]] | None:
    """The route that the router would choose, and its path's parameters."""
    segments = path.count("/")
    return _first(index.get((method, segments, _head(path)), ()), path) or _first(
        index.get((method, segments, _short_head(path)), ()), path
    )


def _first(routes: Sequence[RouteContext], path: str) -> tuple[RouteContext, dict[str, Any]] | None:
    for route in routes:
        if match := route.path_regex.match(path):
            converters = route.param_convertors
            return route, {name: converters[name].convert(text) for name, text in match.groupdict().items()}
    return None


def _head(path: str) -> str:
    """Three segments: the API has no parameter before."""
    return "/".join(path.split("/", 4)[:4])


def _short_head(path: str) -> str:
    """Two segments: neither has the console."""
    return "/".join(path.split("/", 3)[:3])


def _overlap(one: str, other: str) -> bool:
    """Whether there is a path that both could match, each parameter being a segment."""
    ones, others = one.split("/"), other.split("/")
    pairs = zip(ones, others, strict=False)
    return len(ones) == len(others) and all("{" in a or "{" in b or a == b for a, b in pairs)
