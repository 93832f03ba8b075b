"""Every error the API answers: status, stable code, text. core.http.error_answers makes answers of them."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import asyncpg
import structlog
from redis.exceptions import RedisClusterException, RedisError
from sqlalchemy.exc import DBAPIError

log = structlog.get_logger(__name__)
BEARER, BASIC = 'Bearer realm="auth"', 'Basic realm="auth"'
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749 section 3.3
Dependency = TypeVar("Dependency", bound=Callable[..., Any])
Thing = TypeVar("Thing")


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
    """RFC 6750 section 3: says that another token is wanted, not what was wrong with the given one."""

    status, code = 401, "not_authenticated"
    detail = "A valid access token is needed."
    headers = {"WWW-Authenticate": f'{BEARER}, error="invalid_token"'}


class NoToken(Unauthenticated):
    """RFC 6750 section 3.1: whoever sent no token is told no error code."""

    headers = {"WWW-Authenticate": BEARER}


class InvalidCredentials(AppError):
    """The same for an unknown, locked or disabled account and for a wrong password (LOG-1)."""

    status, code, detail = 401, "invalid_credentials", "The login or the password is wrong."


class WrongPassword(AppError):
    status, code, detail = 403, "wrong_password", "The current password is wrong."


class InvalidRefreshToken(AppError):
    status, code, detail = 401, "invalid_refresh_token", "The refresh token is not valid; log in again."


class InvalidClient(AppError):
    status, code, detail = 401, "invalid_client", "The client id or the client secret is wrong."
    headers = {"WWW-Authenticate": BASIC}


class UnsupportedGrant(AppError):
    code, detail = "unsupported_grant_type", "Only grant_type=client_credentials is served here."


class InvalidTokenRequest(AppError):
    """RFC 6749 section 5.2: 400, where the rest of the API says 422."""

    code, detail = "invalid_request", "A required parameter is missing, or one is repeated or is not a text."


class InvalidScope(AppError):
    code, detail = "invalid_scope", "The service account does not have every scope asked for."


class PermissionDenied(AppError):
    status, code, detail = 403, "permission_denied", "You lack the permission for this."


class ScopeMissing(PermissionDenied):
    """RFC 6750 section 3.1, of a service's token alone: no new token of a user would have more roles."""

    def __init__(self, scope: str) -> None:
        challenge = f'{BEARER}, error="insufficient_scope"'
        if _SCOPE.fullmatch(scope):  # a proxy may ask for any text
            challenge += f', scope="{scope}"'
        super().__init__(f"The service account lacks the scope {scope}.", headers={"WWW-Authenticate": challenge})


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


class NotKnownThen(Conflict):
    """Of a moment that the audit trail does not reach back to, or that it has lost: nothing is guessed."""

    code, detail = "not_known_then", "What was then is not known."


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
    asyncpg.InvalidSQLStatementNameError,  # a pooler that does not know our statements, or knows
    asyncpg.DuplicatePreparedStatementError,  # somebody else's
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


def render(
    request_id: str, error: AppError, fields: list[dict[str, str]] | None = None, *, oauth: bool = False
) -> dict[str, Any]:
    """`oauth`: clients that we did not write look for `error_description` (RFC 6749 section 5.2)."""
    body: dict[str, Any] = {"error": error.code, "detail": error.detail, "request_id": request_id}
    if oauth:
        body["error_description"] = error.detail
    if fields is not None:
        body["fields"] = fields
    return body


def existing(thing: Thing | None, what: str) -> Thing:
    """The thing, such as what a repository answered; raises NotFound where there is none."""
    if thing is None:
        raise NotFound(f"There is no such {what}.")
    return thing
