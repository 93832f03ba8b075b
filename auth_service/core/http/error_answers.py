"""Makes answers of errors: one shape for all, in our own words, with nothing of what was sent (EDG-6)."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from auth_service.core.errors import (
    STORE_FAILURES,
    AppError,
    Busy,
    NotFound,
    Unavailable,
    ValidationFailed,
    is_store_failure,
    render,
)
from auth_service.core.http.authzen_rules import InvalidAuthZenRequest, is_authzen
from auth_service.core.http.known_fields import fields_beside
from auth_service.core.http.oauth_paths import OAUTH_PATHS
from auth_service.core.stores.postgres import forget_doubtful
from auth_service.core.telemetry.log import loggable_path

log = structlog.get_logger(__name__)


def answer_of(scope: Scope, error: AppError, fields: list[dict[str, str]] | None = None) -> JSONResponse:
    request_id = scope.get("state", {}).get("request_id", "")
    body = render(request_id, error, fields, oauth=scope["path"] in OAUTH_PATHS)
    return JSONResponse(body, error.status, dict(error.headers))


async def answer_to(scope: Scope, error: Exception) -> JSONResponse | None:
    """What the client is told of it; None for what is no error of ours and no failure of a store."""
    if isinstance(error, Busy):
        scope["app"].state.resources.metrics.busy.labels(error.pool).inc()
    if isinstance(error, AppError):
        return answer_of(scope, error, error.fields if isinstance(error, ValidationFailed) else None)
    if not is_store_failure(error):
        return None
    log.warning("store_unavailable", kind=type(error).__name__, path=loggable_path(scope["path"]))
    resources = scope["app"].state.resources
    await forget_doubtful(resources.primary, resources.hot, error)
    return answer_of(scope, Unavailable())


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    answer = await answer_to(request.scope, error)
    if answer is None:
        raise error
    return answer


# What we say for each of pydantic's error types: its own messages may repeat what was sent (EDG-6).
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be a string",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has a form that is not allowed",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "finite_number": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    # Of lists alone: the lengths of a text stand before its validators, see `core.schemas.Typed`.
    "too_long": "must have at most {max_length} items",
    "too_short": "must have {min_length} or more items",
    "timezone_aware": "must have a time zone, such as 2030-01-31T12:00:00Z",
    "datetime_parsing": "must be a time such as 2030-01-31T12:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2030-01-31T12:00:00Z",
    "datetime_type": "must be a time such as 2030-01-31T12:00:00Z",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}


# A name that somebody may have meant as one. Tokens, seeds and hashes are longer or have other characters.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def explain_field(item: Mapping[str, Any], known: Collection[str] = (), secret: Collection[str] = ()) -> dict[str, str]:
    """One of pydantic's errors in our words; of the input only the name of an unknown field, where it looks like one.

    `known`: the fields that there are, of which a similar one is suggested. `secret`: what is not named all the same.
    """
    kind = str(item["type"])
    context = item.get("ctx", {})
    if kind == "value_error":
        message = str(context["error"])  # our validators' own words, which never hold the input
    else:
        message = _MESSAGES.get(kind, "is not valid").format_map(context)
    location = [str(part) for part in item["loc"]]
    if kind == "extra_forbidden":
        name = location[-1]
        if not _NAME.fullmatch(name) or name in secret:
            location[-1] = "?"
        elif similar := get_close_matches(name.lower(), known, n=1):
            message += f"; did you mean {similar[0]}?"
    return {"field": ".".join(location), "type": kind, "message": message}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value but its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it only
    problems = error.errors()
    if any(item["loc"][0] == "path" for item in problems):
        return answer_of(request.scope, NotFound())  # what no id can look like is an address at which nothing is
    route = request.scope.get("route")
    # A key that is a value too may be the password, from a client that took one for the other (EDG-6).
    values = {*_texts(error.body), *request.query_params.values()}
    fields = [explain_field(item, fields_beside(route, item["loc"]), values) for item in problems]
    detail = "; ".join(f"{item['field']} {item['message']}" for item in fields[:5])
    invalid = InvalidAuthZenRequest if is_authzen(request.scope["path"]) else ValidationFailed
    return answer_of(request.scope, invalid(detail), fields)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it only
    known = {404: ("not_found", "There is nothing at this path."), 405: ("method_not_allowed", "Not here.")}
    code, detail = known.get(error.status_code, ("bad_request", "The request cannot be understood."))
    rendered = AppError(detail, headers=error.headers)
    if error.status_code == 405:
        rendered.headers = {"Allow": ", ".join(sorted(_methods_at(request)))}
    rendered.status, rendered.code = error.status_code, code
    return answer_of(request.scope, rendered)


def _methods_at(request: Request) -> set[str]:
    """RFC 9110 section 10.2.1: all that the path takes; Starlette names those of one route only."""
    routes = [*iter_route_contexts(request.app.routes)]
    path = next((route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    methods = {method for route in routes if route.path == path for method in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods  # the edge makes a GET of it


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(AppError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(DBAPIError, _on_error)
    for failure in STORE_FAILURES:
        app.add_exception_handler(failure, _on_error)
