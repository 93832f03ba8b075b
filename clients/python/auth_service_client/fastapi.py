"""The dependency behind AuthClient.require; only who calls it needs FastAPI."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from auth_service_client.answers import Caller
from auth_service_client.errors import AuthServiceError, InvalidRequest, NotAllowed
from auth_service_client.http_auth import answer_of

if TYPE_CHECKING:
    from auth_service_client.client import AuthClient

# The documentation gets its "Authorize" by it; what is missing or wrong is answered below.
_bearer = HTTPBearer(auto_error=False, scheme_name="auth-service")


def dependency(client: "AuthClient", permissions: Sequence[str]) -> Callable[..., Awaitable[Caller]]:
    """The answers' `detail` is an object: error, detail, and with a 403 the reason."""

    async def caller(
        request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
    ) -> Caller:
        # Of two, whoever stands in front may have read the other one.
        alone = len(request.headers.getlist("authorization")) == 1
        try:
            return await client.authorize(bearer.credentials if bearer and alone else None, *permissions)
        except AuthServiceError as error:
            if isinstance(error, NotAllowed | InvalidRequest):
                raise  # an operator's or a programmer's case: it belongs into the log, as a 500
            status, body, headers = answer_of(error)
            raise HTTPException(status, body, headers) from None

    return caller
