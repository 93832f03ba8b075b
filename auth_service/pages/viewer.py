"""Who sits at the browser: `me: Me` for somebody signed in, `guest: Guest` for pages that need nobody.

A form has to come from a page of ours and to carry its CSRF token: of the session, or of the visitor's cookie where
there is none yet. An access token that has run out is renewed here, so that no page needs a script for it.
"""

import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import InvalidRefreshToken, NotFound, Unauthenticated
from auth_service.core.http.cookies import cookie_names, read_cookie
from auth_service.core.http.csrf import check_origin, csrf_tokens, is_csrf_token
from auth_service.core.http.limits import take
from auth_service.core.principal import Principal, authenticate, cookie_token
from auth_service.pages.form import posted
from auth_service.pages.kept import Kept, read
from auth_service.pages.route import FormOutOfDate
from auth_service.sessions.client import RequestClient
from auth_service.sessions.refresh_token import read_refresh_token
from auth_service.sessions.rotation import rotate
from auth_service.users.repository import Account
from auth_service.users.service import get_account


@dataclass(frozen=True, slots=True)
class Viewer:
    principal: Principal
    account: Account
    csrf: str

    @property
    def id(self) -> UUID:
        return self.principal.subject

    @property
    def session_id(self) -> UUID:
        return self.principal.session_id


@dataclass(frozen=True, slots=True)
class Visitor:
    csrf: str


async def viewer(request: Request, resources: Res, client: RequestClient) -> Viewer:
    """Raises Unauthenticated, CsrfRefused or FormOutOfDate."""
    principal = await _by_access_token(request, resources)
    session_id = principal.session_id if principal else _session_of_refresh_token(request, resources)
    if session_id is None:
        raise Unauthenticated
    if request.method == "POST":
        check_origin(request, resources.settings)
        if not is_csrf_token(resources.secrets, session_id, (await posted(request)).fields.get("csrf", "")):
            raise FormOutOfDate
    if principal is None:
        take(request, "refresh")
        principal = await _renewed(request, resources, client)
    try:
        account = await get_account(resources, principal.subject)
    except NotFound:
        raise Unauthenticated from None
    return Viewer(principal, account, csrf_tokens(resources.secrets, principal.session_id)[0])


async def visitor(request: Request, resources: Res) -> Visitor:
    """Raises CsrfRefused or FormOutOfDate. A cookie of an attacker is of no use to them: the Origin counts too."""
    known = read(request, Kept.VISITOR)
    if request.method == "POST":
        check_origin(request, resources.settings)
        given = (await posted(request)).fields.get("csrf", "")
        tokens = _visitor_tokens(resources, known) if known else []
        if not any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens):
            raise FormOutOfDate
    if not known:
        known = request.state.visitor = secrets.token_urlsafe(16)
    return Visitor(_visitor_tokens(resources, known)[0])


async def is_signed_in(request: Request, resources: Resources, client: RequestClient) -> bool:
    try:
        await viewer(request, resources, client)
    except Unauthenticated:
        return False
    return True


Me = Annotated[Viewer, Depends(viewer)]
Guest = Annotated[Visitor, Depends(visitor)]


async def _by_access_token(request: Request, resources: Resources) -> Principal | None:
    with suppress(Unauthenticated):
        principal = await authenticate(resources, cookie_token(request, resources))
        return None if principal.is_service else principal
    return None


def _refresh_token(request: Request, resources: Resources) -> str:
    return read_cookie(request, cookie_names(resources.settings).refresh) or ""


def _session_of_refresh_token(request: Request, resources: Resources) -> UUID | None:
    with suppress(InvalidRefreshToken):
        return read_refresh_token(resources.secrets, _refresh_token(request, resources)).session_id
    return None


async def _renewed(request: Request, resources: Resources, client: RequestClient) -> Principal:
    """Two tabs at once get the same successor. The old cookies are left where they are if the session has ended: a
    sign-in in another tab may have replaced them meanwhile.
    """
    try:
        issued = await rotate(resources, _refresh_token(request, resources), client)
    except InvalidRefreshToken:
        raise Unauthenticated from None
    request.state.issued = issued
    return await authenticate(resources, issued.access_token)


def _visitor_tokens(resources: Resources, known: str) -> list[str]:
    return [mac.hex() for mac in resources.secrets.macs(f"visitor:{known}".encode())]
