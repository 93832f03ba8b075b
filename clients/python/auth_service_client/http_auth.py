"""What every web framework needs: the token out of the header, and an error as an answer. Pure."""

import re
from math import ceil

from auth_service_client.errors import AuthServiceError, Denied, InvalidToken, Unavailable

# The error itself names hosts, which are for our log and not for whoever called.
_LATER = {"error": "temporarily_unavailable", "detail": "Permissions cannot be checked now; try again."}
_BEARER = re.compile(r"Bearer +([A-Za-z0-9_.~+/=-]+)", re.IGNORECASE)


def bearer_token(authorization: str | None) -> str | None:
    """Of an Authorization header (RFC 6750 section 2.1); None where there is none, or of another kind."""
    match = _BEARER.fullmatch(authorization.strip()) if authorization else None
    return match[1] if match else None


def answer_of(error: AuthServiceError) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, body and headers for whoever called a protected route; what is wrong with our own account is a 503."""
    match error:
        case InvalidToken():
            return 401, _body(error), {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        case Denied():
            body = _body(error) | ({"reason": error.reason} if error.reason else {})
            return 403, body, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
        case Unavailable():
            return 503, _LATER | {"error": error.code}, {"Retry-After": str(max(1, ceil(error.retry_after or 1)))}
        case _:
            return 503, _LATER, {"Retry-After": "1"}


def _body(error: AuthServiceError) -> dict[str, str]:
    return {"error": error.code, "detail": error.detail}
