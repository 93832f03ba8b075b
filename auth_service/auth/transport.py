"""How tokens reach a client and come back: in bodies, or for browsers in cookies (X-Token-Transport: cookie)."""

from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from fastapi import Request, Response

from auth_service.auth.schemas import CookieTokensAnswer, LogoutBody, RefreshBody, TokensAnswer
from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidRefreshToken, Unauthenticated, ValidationFailed
from auth_service.core.http.cookies import (
    DEVICE_COOKIE_SECONDS,
    AmbiguousCredentials,
    cookie_names,
    read_cookie,
    set_cookie,
)
from auth_service.core.http.csrf import check_csrf, check_origin, csrf_tokens
from auth_service.core.principal import bearer_token, came_by_cookie, cookie_token
from auth_service.core.tokens.access_tokens import InvalidToken
from auth_service.sessions.client import Client
from auth_service.sessions.refresh_token import read_refresh_token
from auth_service.sessions.service import end_session
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


async def deliver_login(
    request: Request,
    response: Response,
    resources: Resources,
    issued: IssuedTokens,
    device_token: str | None,
    *,
    as_cookies: bool,
) -> TokensAnswer | CookieTokensAnswer:
    """As `deliver`; whatever session the browser's cookies were of is ended, since nothing of it is left (LOG-9)."""
    if as_cookies:
        for session_id in await _sessions_of(resources, *_stored(request, resources)) - {issued.session_id}:
            await end_session(resources, session_id, "replaced_by_login")
        # Set again, so that its 180 days begin anew: it is either new or the one that was recognised.
        issued = replace(issued, device_token=issued.device_token or device_token)
    return deliver(response, resources, issued, as_cookies=as_cookies)


def clear(response: Response, resources: Resources) -> None:
    """But the device's: the next login comes from the same device."""
    names = cookie_names(resources.settings)
    for name in (names.access, names.refresh, names.csrf):
        set_cookie(response, resources.settings, name, "", 0)


def with_device(request: Request, resources: Resources, client: Client, given: str | None, *, cookies: bool) -> Client:
    """The device's token from the body, or for a caller that uses cookies from its cookie."""
    stored = read_cookie(request, cookie_names(resources.settings).device) if cookies else None
    return replace(client, device_token=given or stored)


def presented_refresh_token(request: Request, resources: Resources, body: RefreshBody | None) -> tuple[str, bool]:
    """The token, and whether it came in a cookie: then only from a page of ours. Raises CsrfRefused among others."""
    given = body.refresh_token if body else None
    stored = read_cookie(request, cookie_names(resources.settings).refresh)
    if stored is None:
        if given is None:
            raise ValidationFailed("is required, in the body or as a cookie", field="body.refresh_token")
        return given, False
    if given not in {None, stored} or not came_by_cookie(request):
        raise AmbiguousCredentials
    check_origin(request, resources.settings)
    session_id = read_refresh_token(resources.secrets, stored).session_id
    check_csrf(request, resources.settings, resources.secrets, session_id)
    return stored, True


async def logout_tokens(
    request: Request, resources: Resources, body: LogoutBody | None
) -> tuple[str | None, str | None, bool]:
    """(access token, refresh token, whether to clear the cookies); cookies count only where nothing else was sent.

    Raises AmbiguousCredentials where cookies of another session came along: a 204 would look as if that had ended.
    """
    access, refresh = _stored(request, resources)
    by_cookie = access is not None or refresh is not None
    of_cookies = await _sessions_of(resources, access, refresh)
    if came_by_cookie(request) and not (body and body.refresh_token):
        if by_cookie:
            check_origin(request, resources.settings)
        for session_id in of_cookies:
            check_csrf(request, resources.settings, resources.secrets, session_id)
        return access, refresh, by_cookie
    try:
        bearer = bearer_token(request)
    except Unauthenticated:
        bearer = None
    given = (bearer, body.refresh_token if body else None)
    if not of_cookies <= await _sessions_of(resources, *given):
        raise AmbiguousCredentials
    return *given, by_cookie


def _stored(request: Request, resources: Resources) -> tuple[str | None, str | None]:
    return cookie_token(request, resources), read_cookie(request, cookie_names(resources.settings).refresh)


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
