"""The client of auth-service: verify tokens, check permissions, protect routes.

auth = AuthClient()  # AUTH_SERVICE_URL and the rest from the environment

@app.get("/films/{film}", dependencies=[Depends(auth.require("films:watch"))])
"""

from auth_service_client.answers import Caller, Decision, Explanation, Grant
from auth_service_client.client import AuthClient
from auth_service_client.config import ConfigError
from auth_service_client.errors import (
    AuthServiceError,
    Denied,
    InvalidRequest,
    InvalidToken,
    NotAllowed,
    Unavailable,
)
from auth_service_client.sync import SyncAuthClient
from auth_service_client.version import __version__

__all__ = [
    "AuthClient",
    "AuthServiceError",
    "Caller",
    "ConfigError",
    "Decision",
    "Denied",
    "Explanation",
    "Grant",
    "InvalidRequest",
    "InvalidToken",
    "NotAllowed",
    "SyncAuthClient",
    "Unavailable",
    "__version__",
]
