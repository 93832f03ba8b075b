"""The endpoints of OAuth."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from auth_service.config import Settings
from auth_service.core.connections import Res, Resources
from auth_service.core.errors import (
    BASIC,
    BEARER,
    InvalidClient,
    InvalidScope,
    InvalidTokenRequest,
    NoToken,
    PermissionDenied,
    ScopeMissing,
    StepUpRequired,
    TooManyRequests,
    Unauthenticated,
    UnsupportedGrant,
)
from auth_service.core.http.api_docs import refusals
from auth_service.core.http.limits import EdgeLimits, client_of, limited
from auth_service.core.principal import bearer_token
from auth_service.core.tokens.keys import JWKS_MAX_AGE_SECONDS
from auth_service.models import ServiceAccount
from auth_service.permissions.callers import caller_of
from auth_service.permissions.checks import allows
from auth_service.permissions.codes import INTROSPECT
from auth_service.permissions.patterns import covers
from auth_service.service_accounts.service import authenticate_service
from auth_service.standards.oauth.introspection import introspect
from auth_service.standards.oauth.metadata import PATH, metadata_of
from auth_service.standards.oauth.requests import checked, credentials, read_parameters
from auth_service.standards.oauth.revocation import IssuedToAnother, revoke
from auth_service.standards.oauth.schemas import (
    AboutToken,
    IntrospectionAnswer,
    OAuthRequest,
    ServerMetadata,
    ServiceTokenAnswer,
    TokenRequest,
)
from auth_service.standards.oauth.token import issue

router = APIRouter(tags=["oauth"])


def _takes(kind: type[OAuthRequest], *security: str | None) -> dict[str, Any]:
    """For `openapi_extra=`, since the body is read by hand. JSON is not shown: generators make nothing good of two
    media types for one body. None in `security`: nothing of the kind is needed.
    """
    form = {"application/x-www-form-urlencoded": {"schema": kind.model_json_schema()}}
    return {
        "requestBody": {"required": True, "content": form},
        "security": [{} if name is None else {name: []} for name in security],
    }


@router.post(
    "/auth/token",
    response_model=ServiceTokenAnswer,
    dependencies=[limited("token")],
    responses=refusals(InvalidTokenRequest, UnsupportedGrant, InvalidScope, InvalidClient),
    openapi_extra=_takes(TokenRequest, "client secret", None),
)
async def issue_service_token(request: Request, resources: Res) -> ServiceTokenAnswer:
    """Client credentials (RFC 6749 section 4.4): as a form or as JSON; id and secret there or by HTTP Basic."""
    return await issue(resources, request.headers, await request.body())


@router.post(
    "/auth/introspect",
    response_model=IntrospectionAnswer,
    response_model_exclude_none=True,
    responses=refusals(
        InvalidTokenRequest, InvalidClient, Unauthenticated, PermissionDenied, StepUpRequired, TooManyRequests
    ),
    openapi_extra=_takes(AboutToken, "access token", "client secret", None),
)
async def introspect_token(request: Request, resources: Res) -> IntrospectionAnswer:
    """RFC 7662, for services with the scope `tokens:introspect`: is the access or refresh token live, and whose is it?

    The service shows its own access token, or its id and secret by HTTP Basic or in the body.
    """
    by_token = request.headers.get("authorization", "").partition(" ")[0].lower() == "bearer"
    if by_token:  # before the body is looked at
        caller = await caller_of(resources, request.app.state.checks, bearer_token(request) or "")
        await allows(resources, caller, INTROSPECT, request.app.state.checks)
    parameters = read_parameters(AboutToken, request.headers, await request.body())
    if not by_token:
        account = await _client(request, resources, checked(OAuthRequest, parameters))
        if account is None:
            raise NoToken(headers={"WWW-Authenticate": f"{BEARER}, {BASIC}"})
        if not covers(account.scopes, INTROSPECT):
            raise ScopeMissing(INTROSPECT)
    return await introspect(resources, request.app.state.checks, checked(AboutToken, parameters).token)


@router.post(
    "/auth/revoke",
    status_code=200,
    response_class=Response,
    responses=refusals(InvalidTokenRequest, IssuedToAnother, InvalidClient, TooManyRequests),
    openapi_extra=_takes(AboutToken, "client secret", None),
)
async def revoke_token(request: Request, resources: Res) -> Response:
    """RFC 7009: ends the session of a user's access or refresh token, or one token of a service.

    Services show their id and secret; whoever holds a user's token may revoke it. 200 for tokens that are dead or
    never were any, too.
    """
    asked = checked(AboutToken, read_parameters(AboutToken, request.headers, await request.body()))
    account = await _client(request, resources, asked)
    client_id: UUID | None = None if account is None else account.id
    await revoke(resources, asked.token, client_id)
    return Response()


async def _client(request: Request, resources: Resources, asked: OAuthRequest) -> ServiceAccount | None:
    """The service whose secret came; counted as at POST /auth/token, since it costs the same."""
    given = credentials(request.headers, asked)
    if given is None:
        return None
    limits: EdgeLimits = request.app.state.limits
    limits.take("token", client_of(request), resources.clock().timestamp())
    return await authenticate_service(resources, *given)


def create_metadata_router(settings: Settings) -> APIRouter:
    router = APIRouter(tags=["oauth"])

    @router.get(PATH, response_model=ServerMetadata)
    async def get_server_metadata(response: Response) -> ServerMetadata:
        """RFC 8414: what a standard OAuth client needs to know of this service."""
        response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
        return metadata_of(settings.issuer)

    return router
