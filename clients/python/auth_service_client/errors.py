"""What can go wrong, by what a caller does about it. `code` is the service's stable one, or ours."""


class AuthServiceError(Exception):
    """`status`: the HTTP status that a route may answer with. `request_id`: the service's, for its log."""

    status = 500

    def __init__(self, code: str, detail: str, *, request_id: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.request_id = code, detail, request_id


class InvalidToken(AuthServiceError):
    """The caller's token is missing, forged, expired or revoked: who sent it has to log in again."""

    status = 401


class Denied(AuthServiceError):
    """The caller is known and may not. `code` is `permission_denied` or `step_up_required`, `reason` the check's."""

    status = 403

    def __init__(self, code: str, detail: str, *, reason: str | None = None, request_id: str | None = None) -> None:
        super().__init__(code, detail, request_id=request_id)
        self.reason = reason


class Unavailable(AuthServiceError):
    """Nobody knows: the service cannot be reached, or cannot look. Never take it for a no, nor for a yes.

    `retry_after`: seconds, where the service told them.
    """

    status = 503

    def __init__(
        self, code: str, detail: str, *, retry_after: float | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(code, detail, request_id=request_id)
        self.retry_after = retry_after


class NotAllowed(AuthServiceError):
    """The service account itself: its id, its secret or its scopes are wrong. An operator's case."""


class InvalidRequest(AuthServiceError):
    """What was asked cannot be asked, such as a user id that is none. A programmer's case."""
