"""How tokens reach a client and come back: in bodies, or for browsers in cookies (X-Token-Transport: cookie)."""

from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from fastapi import Request, Response

from auth_service.auth.schemas import CookieTokensAnswer, LogoutBody, RefreshBody, TokensAnswer
from auth_service.core.connections import Resources
from auth_service.core.cookies import (
    DEVICE_COOKIE_SECONDS,
    AmbiguousCredentials,
    check_csrf,
    check_origin,
    cookie_names,
    csrf_tokens,
    set_cookie,
)
from auth_service.core.errors import InvalidRefreshToken, Unauthenticated, ValidationFailed
from auth_service.core.principal import bearer_token, cookie_token
from auth_service.core.tokens import InvalidToken
from auth_service.sessions.client import Client
from auth_service.sessions.refresh_token import read_refresh_token
from auth_service.sessions.start import IssuedTokens


def deliver(
    response: Response, resources: Resources, issued: IssuedTokens, *, as_cookies: bool
) -> TokensAnswer | CookieTokensAnswer:
    """With cookies no token stands in the body, where scripts could read it (CKE-1)."""
    if not as_cookies:
        return TokensAnswer.model_validate(issued)
    settings = resources.settings
    names, lasting = cookie_names(settings), settings.session_idle_seconds
    csrf = csrf_tokens(resources.secrets, issued.session_id)[0]
    set_cookie(response, settings, names.access, issued.access_token, issued.expires_in)
    set_cookie(response, settings, names.refresh, issued.refresh_token, lasting)
    set_cookie(response, settings, names.csrf, csrf, lasting)
    if issued.device_token is not None:
        set_cookie(response, settings, names.device, issued.device_token, DEVICE_COOKIE_SECONDS)
    return CookieTokensAnswer(
        csrf_token=csrf,
        expires_in=issued.expires_in,
        session_id=issued.session_id,
        ended_sessions=issued.ended_sessions,
    )


def clear(response: Response, resources: Resources) -> None:
    """But the device's: the next login comes from the same device."""
    names = cookie_names(resources.settings)
    for name in (names.access, names.refresh, names.csrf):
        set_cookie(response, resources.settings, name, "", 0)


def with_device(request: Request, resources: Resources, client: Client, given: str | None, *, cookies: bool) -> Client:
    """The device's token from the body, or for a caller that uses cookies from its cookie."""
    stored = request.cookies.get(cookie_names(resources.settings).device) if cookies else None
    return replace(client, device_token=given or stored)


def presented_refresh_token(request: Request, resources: Resources, body: RefreshBody | None) -> tuple[str, bool]:
    """The token, and whether it came in a cookie: then only from a page of ours. Raises CsrfRefused among others."""
    given = body.refresh_token if body else None
    stored = request.cookies.get(cookie_names(resources.settings).refresh)
    if stored is None:
        if given is None:
            raise ValidationFailed("refresh_token is required, in the body or as a cookie")
        return given, False
    if given not in {None, stored}:
        raise AmbiguousCredentials
    check_origin(request, resources.settings)
    session_id = read_refresh_token(resources.secrets, stored).session_id
    check_csrf(request, resources.settings, resources.secrets, session_id)
    return stored, True


async def logout_tokens(
    request: Request, resources: Resources, body: LogoutBody | None
) -> tuple[str | None, str | None, bool]:
    """(access token, refresh token, whether they are cookies). Cookies count only where nothing else was sent."""
    try:
        bearer = bearer_token(request)
    except Unauthenticated:
        return None, body.refresh_token if body else None, False
    if bearer is not None or (body and body.refresh_token):
        return bearer, body.refresh_token if body else None, False
    access = cookie_token(request, resources)
    refresh = request.cookies.get(cookie_names(resources.settings).refresh)
    if access is None and refresh is None:
        return None, None, False
    check_origin(request, resources.settings)
    for session_id in await _sessions_of(resources, access, refresh):
        check_csrf(request, resources.settings, resources.secrets, session_id)
    return access, refresh, True


async def _sessions_of(resources: Resources, access: str | None, refresh: str | None) -> set[UUID]:
    """None of junk: there is nothing to protect then, and the cookies are cleared all the same (OUT-4)."""
    found = set()
    with suppress(InvalidToken):
        if access is not None:
            found.add((await resources.keys.verify(access, expired_too=True)).session_id)
    with suppress(InvalidRefreshToken):
        if refresh is not None:
            found.add(read_refresh_token(resources.secrets, refresh).session_id)
    return found
