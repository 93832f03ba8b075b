"""Register, log in, refresh, log out, tokens for services."""

from dataclasses import replace

from fastapi import APIRouter, Request

from auth_service.auth import client_credentials, service
from auth_service.auth.schemas import (
    LoginBody,
    LogoutBody,
    MfaLoginBody,
    MfaRequired,
    RefreshBody,
    ServiceTokenAnswer,
    TokensAnswer,
)
from auth_service.core.connections import Res
from auth_service.core.errors import Unauthenticated
from auth_service.core.limits import limited
from auth_service.core.principal import CurrentUser, bearer_token
from auth_service.mfa.challenges import OpenChallenge
from auth_service.models import User
from auth_service.sessions.client import RequestClient
from auth_service.sessions.rotation import rotate
from auth_service.sessions.service import IssuedTokens, end_all_sessions, end_other_sessions
from auth_service.users.schemas import RegisterBody, UserAnswer
from auth_service.users.service import create_user

router = APIRouter(tags=["auth"])


@router.post("/auth/register", response_model=UserAnswer, status_code=201, dependencies=[limited("register")])
async def register(body: RegisterBody, resources: Res) -> User:
    """A new account with the default role."""
    return await create_user(
        resources, login=body.login, email=body.email, password=body.password, full_name=body.full_name
    )


@router.post("/auth/login", response_model=TokensAnswer | MfaRequired, dependencies=[limited("login")])
async def log_in(body: LoginBody, client: RequestClient, resources: Res) -> IssuedTokens | OpenChallenge:
    """By login name or e-mail address: tokens, or a challenge where a second factor is in use.

    One answer for every way to be wrong: 401 invalid_credentials.
    """
    client = replace(client, device_name=body.device_name)
    return await service.log_in(resources, body.login, body.password, client)


@router.post("/auth/login/mfa", response_model=TokensAnswer, dependencies=[limited("login")])
async def log_in_with_code(body: MfaLoginBody, client: RequestClient, resources: Res) -> IssuedTokens:
    """The second half of a login: the challenge and a code from the app, or a recovery code. Five tries."""
    return await service.log_in_with_code(resources, body.challenge, body.code, client)


@router.post("/auth/refresh", response_model=TokensAnswer, dependencies=[limited("refresh")])
async def refresh(body: RefreshBody, client: RequestClient, resources: Res) -> IssuedTokens:
    """Rotates; doubles within the grace get the same refresh token, later reuse ends the session."""
    return await rotate(resources, body.refresh_token, client)


@router.post("/auth/logout", status_code=204)
async def log_out(request: Request, resources: Res, body: LogoutBody | None = None) -> None:
    """Ends the session of the access token, the refresh token, or both; tokens that are dead already are no error."""
    try:
        access_token = bearer_token(request)
    except Unauthenticated:
        access_token = None
    await service.log_out(resources, access_token, body.refresh_token if body else None)


@router.post("/auth/logout-others", status_code=204)
async def log_out_others(me: CurrentUser, resources: Res) -> None:
    await end_other_sessions(resources, me.subject, me.session_id)


@router.post("/auth/logout-all", status_code=204)
async def log_out_all(me: CurrentUser, resources: Res) -> None:
    await end_all_sessions(resources, me.subject, "logout_all")


@router.post("/auth/token", response_model=ServiceTokenAnswer, dependencies=[limited("token")])
async def service_token(request: Request, resources: Res) -> ServiceTokenAnswer:
    """Client credentials (RFC 6749 section 4.4): as a form or as JSON; id and secret there or by HTTP Basic."""
    asked = client_credentials.read_request(request.headers, await request.body())
    return await client_credentials.issue(resources, asked)
