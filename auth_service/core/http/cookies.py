"""Tokens in cookies, for browsers: out of reach of the page's scripts (CKE-1); csrf guards them against other pages."""

from dataclasses import dataclass

from fastapi import Request, Response

from auth_service.config import Settings
from auth_service.core.errors import BadRequest
from auth_service.core.http.csrf import check_origin

TRANSPORT_HEADER = "x-token-transport"
DEVICE_COOKIE_SECONDS = 180 * 86_400


class AmbiguousCredentials(BadRequest):
    code, detail = "ambiguous_credentials", "The cookie and the token in the request are not of one live session."


class UnknownTransport(BadRequest):
    code, detail = "unknown_transport", "X-Token-Transport is cookie, or is left out."


@dataclass(frozen=True, slots=True)
class CookieNames:
    access: str
    refresh: str
    csrf: str
    device: str


# A __Host- cookie is Secure, for this host alone, and cannot be planted by a sibling host.
_SECURE = CookieNames("__Host-auth_access", "__Host-auth_refresh", "__Host-auth_csrf", "__Host-auth_device")
_PLAIN = CookieNames("auth_access", "auth_refresh", "auth_csrf", "auth_device")


def cookie_names(settings: Settings) -> CookieNames:
    """Plain names where the public address is http://, which is for development only."""
    return _SECURE if settings.secure_cookies else _PLAIN


def read_cookie(request: Request, name: str) -> str | None:
    """The value under exactly this name; empty, and so junk to whoever reads it, where the name is there twice.

    Not Starlette's parser: it strips the bytes 0x85 and 0xA0 off a name, which browsers do not, and so takes a cookie
    that a sibling host has set for a __Host- one.
    """
    pairs = (part.strip(" \t").partition("=") for line in request.headers.getlist("cookie") for part in line.split(";"))
    values = [value for given, _, value in pairs if given == name]
    return None if not values else values[0] if len(values) == 1 else ""


def wants_cookies(request: Request, settings: Settings) -> bool:
    """Whether the caller asks for cookies; then it has to be a page of ours (login CSRF, CKE-2)."""
    asked = request.headers.getlist(TRANSPORT_HEADER)
    if not asked:
        return False
    if asked != ["cookie"]:
        raise UnknownTransport
    check_origin(request, settings)
    return True


def set_cookie(response: Response, settings: Settings, name: str, value: str, seconds: int) -> None:
    """Zero seconds: forget it. Only the CSRF token may be read by scripts."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=settings.secure_cookies,
        httponly=name != cookie_names(settings).csrf,
        samesite="lax",
    )
