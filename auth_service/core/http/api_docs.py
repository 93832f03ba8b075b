"""What the interactive documentation says beside the models: the shape of errors, tokens, cookies and their headers."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel

from auth_service.core.errors import AppError
from auth_service.core.schemas import NOT_NULL

DESCRIPTION = """Accounts, sessions, tokens, roles, and the permission check.

Every error is `{"error", "detail", "request_id"}`; `docs/errors.md` lists the codes and what to do. A call that needs
a token takes it as a bearer token or, from pages, as a cookie; with a cookie whatever is not a GET also needs an
allowed `Origin` and the `csrf_token` of the login as `X-CSRF-Token` (`docs/browsers.md`). `503` means that a store
could not be asked and nothing is known: try again after `Retry-After` seconds. Wherever `GET` is, `HEAD` is too: the
same status and headers, and no body."""


class FieldError(BaseModel):
    field: str
    type: str
    message: str


class ErrorAnswer(BaseModel):
    """`error` is stable; `fields` only with validation_error, `error_description` only of OAuth's endpoints."""

    error: str
    detail: str
    request_id: str
    fields: Annotated[list[FieldError] | None, NOT_NULL] = None
    error_description: Annotated[str | None, NOT_NULL] = None


# What anybody may call; everything else below API takes a token. A test holds it equal to what the routes do.
PUBLIC = frozenset(
    f"/auth/{name}"
    for name in (
        *("register", "login", "login/mfa", "refresh", "logout", "token", "revoke"),
        *("password/forgot", "password/reset", "email/confirm"),
    )
)
Responses = dict[int | str, dict[str, Any]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
RETRY_AFTER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}}

REQUEST_ID = {"X-Request-Id": {"description": "also in our log", "required": True, "schema": {"type": "string"}}}
CHALLENGE = {"WWW-Authenticate": {"description": "RFC 6750, RFC 7617", "schema": {"type": "string"}}}
ERROR_SCHEMA = {"$ref": "#/components/schemas/ErrorAnswer"}

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


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which generated clients call their methods by: unique, and never changed."""
    return route.name


def refusals(*errors: type[AppError]) -> Responses:
    """For `responses=` of a route: the errors of its own use case; what all or many routes refuse adds itself."""
    found: Responses = {}
    for error in errors:
        answer = found.setdefault(error.status, {"model": ErrorAnswer, "description": ""})
        _add(answer, error)
    return found


def delete_or_post(router: APIRouter, path: str, post_path: str, **how: Any) -> Callable[[Endpoint], Endpoint]:
    """A DELETE that asks for a body, and the same by POST: RFC 9110 section 9.3.5 lets proxies and clients drop it."""

    def register(endpoint: Endpoint) -> Endpoint:
        router.delete(path, status_code=204, **how)(endpoint)
        return router.post(post_path, status_code=204, operation_id=f"{endpoint.__name__}_by_post", **how)(endpoint)

    return register


def add_refusals(responses: dict[str, Any], *errors: type[AppError]) -> None:
    """The same in a document that is written already."""
    for error in errors:
        shape = {"description": "", "content": {"application/json": {"schema": ERROR_SCHEMA}}}
        _add(responses.setdefault(str(error.status), shape), error)


def _add(answer: dict[str, Any], error: type[AppError]) -> None:
    text = f"`{error.code}`: {error.detail}"
    if f"`{error.code}`" not in answer["description"]:
        answer["description"] = f"{answer['description']} {text}".strip()
    if error.status in {429, 503}:
        answer.setdefault("headers", {}).update(RETRY_AFTER)
    if "WWW-Authenticate" in error.headers:
        answer.setdefault("headers", {}).update(CHALLENGE)
