"""The index chooses as the router does."""

import re
from collections.abc import Sequence

import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from hypothesis import given
from hypothesis import strategies as some
from starlette.routing import Match
from starlette.types import Scope

from auth_service.core.http.route_index import find, index_of
from auth_service.main import create_app
from tests.conftest import Fresh

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
ODD = ["me", "", "x", " ", "a.b", "é", "..", "{code}", "0190c9d6-0000-7000-8000-000000000000"]


@pytest.fixture
async def app(fresh: Fresh) -> FastAPI:
    return create_app(await fresh.settings())


def chosen(routes: Sequence[RouteContext], scope: Scope) -> RouteContext | None:
    """By the rule of the router: the first that matches path and method."""
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


async def test_every_route_is_found_and_nothing_else(app: FastAPI) -> None:
    routes, index = [*iter_route_contexts(app.routes)], index_of(app.routes)
    words = sorted({segment for route in routes for segment in (route.path or "").split("/")} | set(ODD))

    def compare(method: str, path: str) -> bool:
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        found, expected = find(index, method, path), chosen(routes, scope)
        if found is not None:
            assert expected is not None, path
            assert found[0].original_route is expected.original_route, path
            assert found[1] == expected.matches(scope)[1].get("path_params", {})
        return (found is None) == (expected is None or ":path}" in (expected.path or ""))

    paths = {
        re.sub(r"\{.*?\}", odd, route.path)
        for route in routes
        for odd in ODD
        if route.path
        and route.path.startswith(("/api", "/health", "/account", "/console"))
        and ":path}" not in route.path
    }
    assert all(compare(method, path) for path in paths for method in METHODS)

    @given(some.sampled_from(METHODS), some.lists(some.sampled_from(words), max_size=8))
    def anything(method: str, segments: list[str]) -> None:
        compare(method, "/" + "/".join(segments))

    anything()
