"""Every error the API answers: status, stable code, text; one set of handlers renders them all."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from redis.exceptions import RedisClusterException, RedisError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from auth_service.core.http.known_fields import fields_beside
from auth_service.core.stores.postgres import forget_doubtful
from auth_service.core.telemetry.log import loggable_path

log = structlog.get_logger(__name__)
Dependency = TypeVar("Dependency", bound=Callable[..., Any])


class AppError(Exception):
    """Raise a subclass; `status` and `code` are its contract with the client."""

    status = 400
    code = "bad_request"
    detail = "The request cannot be understood."
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        self.detail = detail or self.detail
        self.headers = headers or self.headers
        super().__init__(self.detail)


class BadRequest(AppError):
    pass


class ValidationFailed(AppError):
    """`field`: which one is wrong where the schema could not know, such as body.password."""

    status, code, detail = 422, "validation_error", "The request has invalid fields."

    def __init__(self, detail: str | None = None, *, field: str | None = None) -> None:
        super().__init__(detail if field is None else f"{field.removeprefix('body.')} {detail}")
        self.fields = None if field is None else [{"field": field, "type": "value_error", "message": detail or ""}]


class Unauthenticated(AppError):
    """RFC 6750 section 3: says that a bearer token is wanted, not what was wrong with the given one."""

    status, code = 401, "not_authenticated"
    detail = "A valid access token is needed."
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InvalidCredentials(AppError):
    """The same for an unknown, locked or disabled account and for a wrong password (LOG-1)."""

    status, code, detail = 401, "invalid_credentials", "The login or the password is wrong."


class WrongPassword(AppError):
    status, code, detail = 403, "wrong_password", "The current password is wrong."


class InvalidRefreshToken(AppError):
    status, code, detail = 401, "invalid_refresh_token", "The refresh token is not valid; log in again."


class InvalidClient(AppError):
    status, code, detail = 401, "invalid_client", "The client id or the client secret is wrong."
    headers = {"WWW-Authenticate": 'Basic realm="auth"'}


class UnsupportedGrant(AppError):
    code, detail = "unsupported_grant_type", "Only grant_type=client_credentials is served here."


class InvalidTokenRequest(AppError):
    """RFC 6749 section 5.2: 400, where the rest of the API says 422."""

    code, detail = "invalid_request", "The fields are grant_type, client_id, client_secret and scope, each once."


class InvalidScope(AppError):
    code, detail = "invalid_scope", "The service account does not have every scope asked for."


class PermissionDenied(AppError):
    status, code, detail = 403, "permission_denied", "You lack the permission for this."


class StepUpRequired(AppError):
    """The session is good, but too long ago for this: 403, since a 401 makes clients throw their tokens away."""

    status, code = 403, "step_up_required"
    detail = "Show your password or a code again: POST /api/v1/auth/step-up."


class LackingYourself(AppError):
    """RBAC-1: nobody hands out, takes away or edits what they do not hold."""

    status, code = 403, "exceeds_own_permissions"
    detail = "You can only manage roles and permissions that you hold yourself, and for as long as you hold them."


class NotFound(AppError):
    status, code, detail = 404, "not_found", "There is no such thing here."


class Conflict(AppError):
    status, code, detail = 409, "conflict", "This conflicts with what exists."


class LoginTaken(Conflict):
    code, detail = "login_taken", "This login is taken."


class EmailTaken(Conflict):
    code, detail = "email_taken", "This e-mail address is taken."


class RoleExists(Conflict):
    code, detail = "role_exists", "A role of this name exists."


class RoleInUse(Conflict):
    code, detail = "role_in_use", "Users or other roles still have this role; take it from them first."


class RoleBuiltIn(Conflict):
    code, detail = "role_built_in", "This role is built in and cannot be changed."


class RoleCycle(Conflict):
    code, detail = "role_cycle", "A role cannot be its own ancestor, and ancestry is at most 10 deep."


class PermissionExists(Conflict):
    code, detail = "permission_exists", "This permission exists."


class PermissionInUse(Conflict):
    code, detail = (
        "permission_in_use",
        "Roles or services still have this permission; take it from them first.",
    )


class PermissionBuiltIn(Conflict):
    code, detail = "permission_built_in", "The service itself asks for this permission; it cannot be deleted."


class ServiceExists(Conflict):
    code, detail = "service_exists", "A service account of this name exists."


class TooManyWebhooks(Conflict):
    code, detail = "too_many_webhooks", "There are 50 webhooks already; delete one that nobody needs."


class LastSuperuser(Conflict):
    """RBAC-2: one active superuser without an end must remain."""

    code = "last_superuser"
    detail = "This would leave nobody as active, permanent superuser; appoint another one first."


class WouldShutOut(Conflict):
    """No change of access may leave nobody who can undo it (RBAC-2)."""

    code = "would_shut_out"
    detail = (
        "Nobody could undo this: no other active account holds as much without an end."
        " Grant that to another administrator first."
    )


class TooManyRequests(AppError):
    status, code, detail = 429, "rate_limited", "Too many requests; try again later."


class Unavailable(AppError):
    """Unknown is not no: we could not look, so we neither allow nor deny. Carries Retry-After."""

    status, code = 503, "temporarily_unavailable"
    detail = "A part of the service is not available; try again shortly."
    headers = {"Retry-After": "1"}


class MailNotConfigured(Unavailable):
    """For everyone alike, whatever the request says: it tells nothing about an account."""

    code, detail = "mail_not_configured", "This needs mail, and the service has no mail server yet."
    headers = {"Retry-After": "3600"}


class Busy(Unavailable):
    """More at once than the service takes on, while what it asks is well. `pool`: the one that they wait for."""

    code, detail = "busy", "Too many requests at once; try again shortly."

    def __init__(self, *, pool: str = "hashing") -> None:
        self.pool = pool
        super().__init__()


def may_answer(*errors: type[AppError]) -> Callable[[Dependency], Dependency]:
    """Marks a dependency with the errors it raises: the document shows them at each route that depends on it."""

    def mark(dependency: Dependency) -> Dependency:
        dependency.may_answer = errors  # type: ignore[attr-defined]
        return dependency

    return mark


STORE_FAILURES: tuple[type[Exception], ...] = (
    RedisError,
    RedisClusterException,  # no RedisError: no node can be reached, or a slot has none
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,  # nothing was written: a repetition does it
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, before or after a promotion
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,  # not migrated yet
    asyncpg.InvalidSchemaNameError,  # not even a schema
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that died while it was being reset
    ConnectionError,
    TimeoutError,
    OSError,
)


def is_store_failure(error: BaseException) -> bool:
    """True where Postgres or Redis could not be asked, and so nothing is known (section 2 of the policies)."""
    if isinstance(error, Busy):
        return True
    if isinstance(error, DBAPIError):
        cause = getattr(error.orig, "__cause__", None)  # SQLAlchemy wraps asyncpg's error twice
        return error.connection_invalidated or (cause is not None and is_store_failure(cause))
    if isinstance(error, RuntimeError) and str(error).endswith("the handler is closed"):
        return True  # uvloop's word for writing to a connection that the other side has just closed
    # asyncpg's complaint about an argument is an InterfaceError too, and our mistake. Not every ValueError is one:
    # a certificate that is not trusted is.
    our_mistake = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    return isinstance(error, STORE_FAILURES) and not our_mistake


def render(request_id: str, error: AppError, fields: list[dict[str, str]] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"error": error.code, "detail": error.detail, "request_id": request_id}
    if fields is not None:
        body["fields"] = fields
    return body


def _answer(request: Request, error: AppError, fields: list[dict[str, str]] | None = None) -> JSONResponse:
    request_id = request.scope.get("state", {}).get("request_id", "")
    return JSONResponse(render(request_id, error, fields), error.status, dict(error.headers))


async def _on_app_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AppError)  # noqa: S101  registered for AppError only
    if isinstance(error, Busy):
        request.app.state.resources.metrics.busy.labels(error.pool).inc()
    return _answer(request, error, error.fields if isinstance(error, ValidationFailed) else None)


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
        return _answer(request, NotFound())  # what no id can look like is an address at which nothing is
    route = request.scope.get("route")
    # A key that is a value too may be the password, from a client that took one for the other (EDG-6).
    values = {*_texts(error.body), *request.query_params.values()}
    fields = [explain_field(item, fields_beside(route, item["loc"]), values) for item in problems]
    detail = "; ".join(f"{item['field']} {item['message']}" for item in fields[:5])
    return _answer(request, ValidationFailed(detail), fields)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it only
    known = {404: ("not_found", "There is nothing at this path."), 405: ("method_not_allowed", "Not here.")}
    code, detail = known.get(error.status_code, ("bad_request", "The request cannot be understood."))
    rendered = AppError(detail, headers=error.headers)
    if error.status_code == 405:
        rendered.headers = {"Allow": ", ".join(sorted(_methods_at(request)))}
    rendered.status, rendered.code = error.status_code, code
    return _answer(request, rendered)


def _methods_at(request: Request) -> set[str]:
    """RFC 9110 section 10.2.1: all that the path takes; Starlette names those of one route only."""
    routes = [*iter_route_contexts(request.app.routes)]
    path = next((route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    methods = {method for route in routes if route.path == path for method in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods  # the edge makes a GET of it


async def _on_store_failure(request: Request, error: Exception) -> JSONResponse:
    if not is_store_failure(error):
        raise error
    log.warning("store_unavailable", kind=type(error).__name__, path=loggable_path(request.scope["path"]))
    resources = request.app.state.resources
    await forget_doubtful(resources.primary, resources.hot, error)
    return _answer(request, Unavailable())


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(DBAPIError, _on_store_failure)
    for failure in STORE_FAILURES:
        app.add_exception_handler(failure, _on_store_failure)
