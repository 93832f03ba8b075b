"""Tokens for service accounts: RFC 6749 section 4.4."""

from starlette.datastructures import Headers

from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidClient, InvalidScope, UnsupportedGrant
from auth_service.permissions.patterns import covers, is_pattern
from auth_service.service_accounts.service import authenticate_service
from auth_service.standards.oauth.requests import checked, credentials, read_parameters
from auth_service.standards.oauth.schemas import ServiceTokenAnswer, TokenRequest


async def issue(resources: Resources, headers: Headers, body: bytes) -> ServiceTokenAnswer:
    """A token of at most 15 minutes (CHK-1) with the asked scopes; the account's id stands for its session.

    Raises UnsupportedGrant, InvalidClient, InvalidScope or InvalidTokenRequest.
    """
    parameters = read_parameters(TokenRequest, headers, body)
    grant = parameters.get("grant_type")
    if isinstance(grant, str) and grant != "client_credentials":
        raise UnsupportedGrant
    asked = checked(TokenRequest, parameters)
    given = credentials(headers, asked)
    if given is None:
        raise InvalidClient
    account = await authenticate_service(resources, *given)
    scopes = tuple(account.scopes if asked.scope is None else dict.fromkeys(asked.scope.split()))
    if not all(is_pattern(scope) and covers(account.scopes, scope) for scope in scopes):
        raise InvalidScope
    await resources.keys.look_again()
    token = resources.keys.mint(subject=account.id, kind="service", session_id=account.id, epoch=0, scopes=scopes)
    return ServiceTokenAnswer(
        access_token=token, expires_in=resources.settings.access_token_seconds, scope=" ".join(scopes)
    )
