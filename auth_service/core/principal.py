"""Who is calling: a bearer token or a cookie becomes a Principal, or the answer is 401."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import NoToken, Unauthenticated, may_answer
from auth_service.core.http.cache_control import wants_fresh
from auth_service.core.http.call import note_ended
from auth_service.core.http.cookies import AmbiguousCredentials, cookie_names, read_cookie
from auth_service.core.http.csrf import CsrfRefused, check_csrf
from auth_service.core.tokens.access_tokens import AccessClaims, InvalidToken


@dataclass(frozen=True, slots=True)
class Principal:
    """A user (with a session) or a service; `claims` are those of the verified token."""

    claims: AccessClaims

    @property
    def subject(self) -> UUID:
        return self.claims.subject

    @property
    def session_id(self) -> UUID:
        return self.claims.session_id

    @property
    def is_service(self) -> bool:
        return self.claims.kind == "service"


def bearer_token(request: Request) -> str | None:
    """The token of the one Authorization header; None where there is none. Raises Unauthenticated for others, and
    NoToken of another scheme.
    """
    given = request.headers.getlist("authorization")
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1:
        raise Unauthenticated
    if scheme.lower() != "bearer":
        raise NoToken
    return token


def came_by_cookie(request: Request) -> bool:
    """Any Authorization header, a bad one too, is what counts instead (CKE-3)."""
    return "authorization" not in request.headers


async def verified(resources: Resources, token: str | None) -> Principal:
    """Of a genuine, current token, which may have been revoked; raises Unauthenticated for any other."""
    if token is None:
        raise NoToken
    try:
        return Principal(await resources.keys.verify(token))
    except InvalidToken:
        raise Unauthenticated from None


async def authenticate(resources: Resources, token: str | None) -> Principal:
    """Signature and claims first, then the denylist; a store failure surfaces as 503, never as 401."""
    principal = await verified(resources, token)
    if await resources.denylist.refuses(principal.claims):
        note_ended()
        raise Unauthenticated
    return principal


def cookie_token(request: Request, resources: Resources) -> str | None:
    """The access token of the cookie; None without one."""
    return read_cookie(request, cookie_names(resources.settings).access)


@may_answer(Unauthenticated, AmbiguousCredentials, CsrfRefused)
async def current_principal(request: Request, resources: Res) -> Principal:
    """A bad bearer token never falls back to the cookie, and both together must be of one session (CKE-3)."""
    bearer, cookie = bearer_token(request), cookie_token(request, resources)
    if bearer is None:
        principal = await authenticate(resources, cookie)
        check_csrf(request, resources.settings, resources.secrets, principal.session_id)
        return principal
    principal = await authenticate(resources, bearer)
    if wants_fresh(request.headers.get("cache-control", "").encode("latin-1")):
        await _confirmed(resources, principal, bearer)
    if cookie is not None:
        try:
            other = await authenticate(resources, cookie)
        except Unauthenticated:
            raise AmbiguousCredentials from None
        if other.session_id != principal.session_id:
            raise AmbiguousCredentials
    return principal


async def _confirmed(resources: Resources, principal: Principal, token: str) -> None:
    """For whoever has heard of a change and asks again: Redis may not have been told of it yet, nor this worker."""
    recorded = await resources.denylist.is_recorded(principal.claims)
    if recorded or not await resources.keys.is_recorded(token):
        note_ended()
        raise Unauthenticated


async def current_user(principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
    """For routes about oneself: a service has no self here."""
    if principal.is_service:
        raise Unauthenticated("This route is for users; a service account has no sessions or profile.")
    return principal


AnyPrincipal = Annotated[Principal, Depends(current_principal)]
CurrentUser = Annotated[Principal, Depends(current_user)]
