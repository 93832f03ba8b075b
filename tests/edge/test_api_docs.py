"""The interactive documentation tells the truth: who needs a token, what errors look like, what else is sent."""

from typing import Any

import pytest
from fastapi import FastAPI

from auth_service.core.http.oauth_paths import INTROSPECTION_PATH, OAUTH_PATHS
from tests.support.api import V1, Api
from tests.support.public_routes import PUBLIC


@pytest.fixture
def schema(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path.startswith(V1)
    ]


def test_whatever_needs_a_token_says_so(schema: dict[str, Any]) -> None:
    """Without it the page has no button to enter one."""
    schemes = schema["components"]["securitySchemes"]
    assert schemes.keys() == {"access token", "cookie", "client secret"}
    assert len(operations(schema)) > 50
    for method, path, operation in operations(schema):
        shown = [] if path in PUBLIC else [{"access token": []}, {"cookie": []}]
        if path in OAUTH_PATHS:
            shown = [{"client secret": []}, {}]
        if path == INTROSPECTION_PATH:
            shown = [{"access token": []}, *shown]
        assert operation.get("security", []) == shown, (method, path)


async def test_errors_are_shown_as_they_are(api: Api, schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer"), (method, path)
        assert {"400", "413", "415", "431", "503"} <= operation["responses"].keys(), (method, path)
        assert not [status for status in operation["responses"] if not status.isdigit()], (method, path)
        if path not in PUBLIC:
            assert "401" in operation["responses"], (method, path)
        assert "Retry-After" in operation["responses"]["503"]["headers"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]  # FastAPI's own, which we never answer
    real = (await api.http.post(f"{V1}/auth/login", json={"login": "somebody"})).json()
    shown = schema["components"]["schemas"]
    assert real.keys() | {"error_description"} == shown["ErrorAnswer"]["properties"].keys()
    assert real["fields"][0].keys() == shown["FieldError"]["properties"].keys()


def test_what_dependencies_refuse_is_shown(schema: dict[str, Any]) -> None:
    """A route has nothing to do for it."""
    responses = schema["paths"][f"{V1}/roles"]["get"]["responses"]
    assert "permission_denied" in responses["403"]["description"]
    assert "csrf_refused" not in responses["403"]["description"]  # a GET changes nothing
    assert "csrf_refused" in schema["paths"][f"{V1}/roles"]["post"]["responses"]["403"]["description"]
    export = schema["paths"][f"{V1}/users/me/export"]["get"]["responses"]
    assert "step_up_required" in export["403"]["description"]
    assert export["429"]["headers"]["Retry-After"]["required"] is True
    assert "429" not in responses


async def test_the_document_is_the_same_each_time(api: Api) -> None:
    first, second = [(await api.http.get("/auth/openapi.json")).json() for _ in range(2)]
    assert first == second


def test_what_pages_send_and_get_is_shown(schema: dict[str, Any]) -> None:
    for path in ("login", "login/mfa"):
        operation = schema["paths"][f"{V1}/auth/{path}"]["post"]
        assert [item["name"] for item in operation["parameters"]] == ["X-Token-Transport"]
    for path in ("login", "login/mfa", "refresh", "step-up"):
        responses = schema["paths"][f"{V1}/auth/{path}"]["post"]["responses"]
        assert "Set-Cookie" in responses["200"]["headers"]
        assert "csrf_refused" in responses["403"]["description"]
        assert responses["200"]["content"]
