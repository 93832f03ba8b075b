"""Register, log in, refresh, log out."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from auth_service.auth import service, transport
from auth_service.auth.schemas import (
    CookieTokensAnswer,
    CsrfAnswer,
    LoginBody,
    LoginChallenge,
    LogoutBody,
    MfaLoginBody,
    RefreshBody,
    StepUpBody,
    TokensAnswer,
)
from auth_service.core.connections import Res
from auth_service.core.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidRefreshToken,
    LoginTaken,
    TooManyRequests,
    Unauthenticated,
    ValidationFailed,
    WrongPassword,
)
from auth_service.core.http.api_docs import SETS_COOKIES, TAKES_TRANSPORT, refusals
from auth_service.core.http.cookies import AmbiguousCredentials, UnknownTransport, wants_cookies
from auth_service.core.http.csrf import CsrfRefused, csrf_tokens
from auth_service.core.http.limits import limited
from auth_service.core.principal import CurrentUser, came_by_cookie
from auth_service.mfa.challenges import InvalidChallenge, OpenChallenge, WrongLoginCode
from auth_service.mfa.service import MfaNotEnabled, WrongCode
from auth_service.models import User
from auth_service.sessions.client import RequestClient
from auth_service.sessions.fresh import FreshUser
from auth_service.sessions.rotation import rotate
from auth_service.sessions.service import end_all_sessions, end_other_sessions
from auth_service.users.credentials import TooManyFailures
from auth_service.users.schemas import RegisterBody, UserAnswer
from auth_service.users.service import create_user

router = APIRouter(tags=["auth"])
AnyTokens = TokensAnswer | CookieTokensAnswer
TOO_MANY = (TooManyRequests, TooManyFailures)
TERSE: dict[str, Any] = {"response_model_exclude_none": True}


@router.post(
    "/auth/register",
    response_model=UserAnswer,
    status_code=201,
    dependencies=[limited("register")],
    responses=refusals(LoginTaken, EmailTaken, ValidationFailed, TooManyRequests),
)
async def register(body: RegisterBody, resources: Res) -> User:
    """A new account with the default role; a mailed link confirms its address."""
    return await create_user(
        resources, login=body.login, email=body.email, password=body.password, full_name=body.full_name, verify=True
    )


@router.post(
    "/auth/login",
    response_model=AnyTokens | LoginChallenge,
    dependencies=[limited("login")],
    responses=SETS_COOKIES | refusals(InvalidCredentials, CsrfRefused, UnknownTransport, *TOO_MANY),
    openapi_extra=TAKES_TRANSPORT,
    **TERSE,
)
async def log_in(
    body: LoginBody, request: Request, response: Response, client: RequestClient, resources: Res
) -> AnyTokens | OpenChallenge:
    """By login name or e-mail address: tokens, or a challenge where a second factor is in use.

    One answer for every way to be wrong: 401 invalid_credentials. With X-Token-Transport: cookie the tokens are
    cookies instead.
    """
    as_cookies = wants_cookies(request, resources.settings)
    client = transport.with_device(request, resources, client, body.device_token, cookies=as_cookies)
    client = replace(client, device_name=body.device_name)
    issued = await service.log_in(resources, body.login, body.password, client)
    if isinstance(issued, OpenChallenge):
        return issued
    return await transport.deliver_login(
        request, response, resources, issued, client.device_token, as_cookies=as_cookies
    )


@router.post(
    "/auth/login/mfa",
    response_model=AnyTokens,
    dependencies=[limited("login")],
    responses=SETS_COOKIES | refusals(WrongLoginCode, InvalidChallenge, CsrfRefused, UnknownTransport, *TOO_MANY),
    openapi_extra=TAKES_TRANSPORT,
    **TERSE,
)
async def log_in_with_code(
    body: MfaLoginBody, request: Request, response: Response, client: RequestClient, resources: Res
) -> AnyTokens:
    """The second half of a login: the challenge and a code from the app, or a recovery code. Five tries."""
    as_cookies = wants_cookies(request, resources.settings)
    client = transport.with_device(request, resources, client, None, cookies=as_cookies)
    issued = await service.log_in_with_code(
        resources, body.challenge, body.code, client, trust_device=body.trust_device
    )
    return await transport.deliver_login(
        request, response, resources, issued, client.device_token, as_cookies=as_cookies
    )


@router.post(
    "/auth/step-up",
    response_model=AnyTokens,
    dependencies=[limited("login")],
    responses=SETS_COOKIES | refusals(Unauthenticated, WrongPassword, WrongCode, CsrfRefused, MfaNotEnabled, *TOO_MANY),
    **TERSE,
)
async def step_up(body: StepUpBody, request: Request, response: Response, me: CurrentUser, resources: Res) -> AnyTokens:
    """Shows the password or a code again, for what answers step_up_required: new tokens, the old ones are dead."""
    as_cookies = came_by_cookie(request)
    issued = await service.step_up(
        resources, me.subject, me.session_id, current_password=body.current_password, code=body.code
    )
    return transport.deliver(response, resources, issued, as_cookies=as_cookies)


@router.post(
    "/auth/refresh",
    response_model=AnyTokens,
    dependencies=[limited("refresh")],
    responses=SETS_COOKIES | refusals(InvalidRefreshToken, CsrfRefused, AmbiguousCredentials, TooManyRequests),
    **TERSE,
)
async def refresh_tokens(
    request: Request, response: Response, client: RequestClient, resources: Res, body: RefreshBody | None = None
) -> AnyTokens:
    """Rotates; doubles within the grace get the same refresh token, later reuse ends the session."""
    token, as_cookies = transport.presented_refresh_token(request, resources, body)
    return transport.deliver(response, resources, await rotate(resources, token, client), as_cookies=as_cookies)


@router.get("/auth/csrf", response_model=CsrfAnswer)
async def get_csrf_token(me: CurrentUser, resources: Res) -> CsrfAnswer:
    """The session's CSRF token once more, for a page that was loaded anew; only allowed origins can read the answer."""
    return CsrfAnswer(csrf_token=csrf_tokens(resources.secrets, me.session_id)[0])


@router.post("/auth/logout", status_code=204, responses=refusals(CsrfRefused, AmbiguousCredentials))
async def log_out(request: Request, response: Response, resources: Res, body: LogoutBody | None = None) -> None:
    """Ends the session of the access token, the refresh token, or both; tokens that are dead already are no error."""
    access_token, refresh_token, cookies = await transport.logout_tokens(request, resources, body)
    await service.log_out(resources, access_token, refresh_token)
    if cookies:
        transport.clear(response, resources)


@router.post("/auth/logout-others", status_code=204)
async def log_out_others(me: FreshUser, resources: Res) -> None:
    """The password or a code must have been shown within five minutes."""
    await end_other_sessions(resources, me.subject, me.session_id)


@router.post("/auth/logout-all", status_code=204)
async def log_out_all(request: Request, response: Response, me: CurrentUser, resources: Res) -> None:
    await end_all_sessions(resources, me.subject, "logout_all")
    if came_by_cookie(request):
        transport.clear(response, resources)
