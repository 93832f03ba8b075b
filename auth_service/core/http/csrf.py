"""Against forged requests: what another page makes a browser send changes nothing (CKE-2).

A request that is authenticated by a cookie and may change something has to come from an allowed origin, and to carry
the session's CSRF token in X-CSRF-Token, which no other origin can read.
"""

import base64
import hmac
from uuid import UUID

from fastapi import Request

from auth_service.config import Settings
from auth_service.core.errors import AppError
from auth_service.core.secrets import Secrets

CSRF_HEADER = "x-csrf-token"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class CsrfRefused(AppError):
    status, code = 403, "csrf_refused"
    detail = "Requests with cookies need an allowed Origin and the session's CSRF token in X-CSRF-Token."


def check_origin(request: Request, settings: Settings) -> None:
    """Exactly one Origin, and one of the allowed ones; raises CsrfRefused."""
    origins = request.headers.getlist("origin")
    if len(origins) != 1 or origins[0] not in settings.origins:
        raise CsrfRefused("The Origin of the request is not one of ALLOWED_ORIGINS.")


def check_csrf(request: Request, settings: Settings, secrets: Secrets, session_id: UUID) -> None:
    """For what a cookie authenticates: nothing for safe methods, else origin and token; raises CsrfRefused."""
    if request.method in _SAFE_METHODS:
        return
    check_origin(request, settings)
    given = request.headers.getlist(CSRF_HEADER)
    if len(given) != 1 or not is_csrf_token(secrets, session_id, given[0]):
        raise CsrfRefused


def is_csrf_token(secrets: Secrets, session_id: UUID, given: str) -> bool:
    """Of this very session."""
    return any(hmac.compare_digest(given.encode(), token.encode()) for token in csrf_tokens(secrets, session_id))


def csrf_tokens(secrets: Secrets, session_id: UUID) -> list[str]:
    """Bound to the session: of SECRET_KEY first, and of SECRET_KEY_PREVIOUS while that is set."""
    macs = secrets.macs(f"csrf:{session_id.hex}".encode())
    return [base64.urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in macs]
