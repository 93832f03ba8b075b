"""The question of a proxy in front of another service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from auth_service.auth.forward_auth import verify
from auth_service.core.connections import Res
from auth_service.core.errors import PermissionDenied, StepUpRequired, Unauthenticated
from auth_service.core.http.api_docs import refusals
from auth_service.core.http.cookies import AmbiguousCredentials
from auth_service.core.principal import Principal, current_principal
from auth_service.permissions.schemas import AskedCode

router = APIRouter(tags=["permissions"])


async def _caller(request: Request, resources: Res) -> Principal:
    """Cookie and bearer that disagree are 401 here: proxies take a 400 for a fault of ours."""
    try:
        return await current_principal(request, resources)
    except AmbiguousCredentials:
        raise Unauthenticated from None


@router.get(
    "/auth/verify",
    response_class=Response,
    responses=refusals(Unauthenticated, PermissionDenied, StepUpRequired),
)
async def forward_auth(
    caller: Annotated[Principal, Depends(_caller)],
    resources: Res,
    permission: Annotated[list[AskedCode], Query(max_length=10)] = [],  # noqa: B006  FastAPI copies it
) -> Response:
    """For forward authentication: 200 without a body, and who is calling in X-Auth-User and X-Auth-Session.

    `permission` may be given several times, and each is needed. Nothing else of the request counts, so the address
    that the client asked the proxy for does not.
    """
    return Response(headers=await verify(resources, caller, permission))
