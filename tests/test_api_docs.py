"""The interactive documentation tells the truth: who needs a token, what errors look like, what else is sent."""

from typing import Any

import pytest
from fastapi import FastAPI

from tests.api import V1, Api
from tests.test_access_tokens import PUBLIC


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
    assert schemes.keys() == {"access token", "cookie"}
    assert len(operations(schema)) > 50
    for method, path, operation in operations(schema):
        shown = [] if path in PUBLIC else [{"access token": []}, {"cookie": []}]
        assert operation.get("security", []) == shown, (method, path)


async def test_errors_are_shown_as_they_are(api: Api, schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer"), (method, path)
        assert {"4XX", "503"} <= operation["responses"].keys(), (method, path)
        assert "Retry-After" in operation["responses"]["503"]["headers"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]  # FastAPI's own, which we never answer
    real = (await api.http.post(f"{V1}/auth/login", json={"login": "somebody"})).json()
    shown = schema["components"]["schemas"]
    assert real.keys() == shown["ErrorAnswer"]["properties"].keys()
    assert real["fields"][0].keys() == shown["FieldError"]["properties"].keys()


def test_what_pages_send_and_get_is_shown(schema: dict[str, Any]) -> None:
    for path in ("login", "login/mfa"):
        operation = schema["paths"][f"{V1}/auth/{path}"]["post"]
        assert [item["name"] for item in operation["parameters"]] == ["X-Token-Transport"]
    for path in ("login", "login/mfa", "refresh", "step-up"):
        responses = schema["paths"][f"{V1}/auth/{path}"]["post"]["responses"]
        assert "Set-Cookie" in responses["200"]["headers"]
        assert "csrf_refused" in responses["403"]["description"]
        assert responses["200"]["content"]
