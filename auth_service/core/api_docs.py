"""What the interactive documentation says beside the models: the shape of errors, tokens, cookies and their headers."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from auth_service.core.errors import AppError

DESCRIPTION = """Accounts, sessions, tokens, roles, and the permission check.

Every error is `{"error", "detail", "request_id"}`; `docs/errors.md` lists the codes and what to do. A call that needs
a token takes it as a bearer token or, from pages, as a cookie; with a cookie whatever is not a GET also needs an
allowed `Origin` and the `csrf_token` of the login as `X-CSRF-Token` (`docs/browsers.md`). `503` means that a store
could not be asked and nothing is known: try again after `Retry-After` seconds."""


class FieldError(BaseModel):
    field: str
    type: str
    message: str


class ErrorAnswer(BaseModel):
    """`error` is stable; `fields` only with validation_error."""

    error: str
    detail: str
    request_id: str
    fields: list[FieldError] | None = None


# What anybody may call; everything else below API takes a token. A test holds it equal to what the routes do.
PUBLIC = frozenset(
    f"/auth/{name}"
    for name in (
        *("register", "login", "login/mfa", "refresh", "logout", "token"),
        *("password/forgot", "password/reset", "email/confirm"),
    )
)
_SCHEMES = {
    "access token": {"type": "http", "scheme": "bearer", "bearerFormat": "at+jwt"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "auth_access",
        "description": "`__Host-auth_access` at an https address; set by a login with X-Token-Transport.",
    },
}


def show_security(app: FastAPI, prefix: str) -> None:
    """Says in the document which calls take a token. FastAPI's own way is two dependencies, and 20 µs of each call."""
    written = app.openapi

    def openapi() -> dict[str, Any]:
        document = written()
        document["components"]["securitySchemes"] = _SCHEMES
        for path, operations in document["paths"].items():
            if path.startswith(prefix) and path.removeprefix(prefix) not in PUBLIC:
                for operation in operations.values():
                    operation["security"] = [{name: []} for name in _SCHEMES]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


Responses = dict[int | str, dict[str, Any]]
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}

EVERYWHERE: Responses = {
    "4XX": {"model": ErrorAnswer, "description": "Refused: `error` says why."},
    503: {
        "model": ErrorAnswer,
        "description": "`temporarily_unavailable`, `busy` or `mail_not_configured`",
        "headers": _RETRY,
    },
}

SETS_COOKIES: Responses = {
    200: {
        "headers": {
            "Set-Cookie": {
                "description": "With cookies: auth_access, auth_refresh, auth_csrf, auth_device (docs/browsers.md).",
                "schema": {"type": "string"},
            }
        }
    }
}

TAKES_TRANSPORT: dict[str, Any] = {
    "parameters": [
        {
            "name": "X-Token-Transport",
            "in": "header",
            "required": False,
            "description": "`cookie`: the tokens are set as cookies; needs an allowed Origin.",
            "schema": {"type": "string", "enum": ["cookie"]},
        }
    ]
}


def refusals(*errors: type[AppError]) -> Responses:
    """For `responses=` of a route: the errors of its own, by status, beside those that every route has."""
    found: Responses = {}
    for error in errors:
        text = f"`{error.code}`: {error.detail}"
        answer = found.setdefault(error.status, {"model": ErrorAnswer, "description": ""})
        answer["description"] = f"{answer['description']} {text}".strip()
        if error.status == 429:
            answer["headers"] = _RETRY
    return found
