"""A token's end: RFC 7009."""

from uuid import UUID

from auth_service.auth.service import deny_token, log_out
from auth_service.core.connections import Resources
from auth_service.core.errors import AppError, InvalidClient, InvalidRefreshToken
from auth_service.core.principal import Principal
from auth_service.core.tokens.access_tokens import AccessClaims, InvalidToken
from auth_service.sessions.refresh_token import read_refresh_token


class IssuedToAnother(AppError):
    """RFC 7009 section 2.1: the request is refused, in the words of RFC 6749 section 5.2."""

    code, detail = "invalid_grant", "The token was not issued to this client."


async def revoke(resources: Resources, token: str, client_id: UUID | None) -> None:
    """A user's token ends its session, a service's itself alone; junk and what is dead already is no error.

    `client_id`: the service account that authenticated, None for a public client, which shows no more than the token.
    Raises InvalidClient where a service's token comes without its client, and IssuedToAnother.
    """
    claims = await _genuine(resources, token)
    if claims is not None and claims.kind == "service":
        if client_id is None:
            raise InvalidClient
        if client_id != claims.subject:
            raise IssuedToAnother
        await deny_token(resources, Principal(claims))
        return
    if client_id is not None and (claims is not None or _is_refresh_token(resources, token)):
        raise IssuedToAnother
    await log_out(resources, token, token)  # it is one of the two, and junk as the other


async def _genuine(resources: Resources, token: str) -> AccessClaims | None:
    """Of an access token that may have expired or been revoked."""
    try:
        return await resources.keys.verify(token, expired_too=True)
    except InvalidToken:
        return None


def _is_refresh_token(resources: Resources, token: str) -> bool:
    try:
        read_refresh_token(resources.secrets, token)
    except InvalidRefreshToken:
        return False
    return True
