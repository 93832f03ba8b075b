"""What pages keep in the browser beside the tokens: small cookies, none of which opens anything by itself."""

from enum import StrEnum

from fastapi import Request
from starlette.responses import Response

from auth_service.config import Settings
from auth_service.core.http.cookies import read_cookie, set_cookie
from auth_service.pages.notices import NOTICES, Notice

YEAR = 365 * 86_400
ZONE_COOKIE = "auth_timezone"  # which the script of the pages sets


class Kept(StrEnum):
    LANGUAGE = "language"
    VISITOR = "visitor"  # what the forms of somebody who is not signed in are bound to
    CHALLENGE = "challenge"  # between the password and the code of a sign-in
    NOTICE = "notice"  # what the next page says was done


def name_of(settings: Settings, kept: Kept) -> str:
    return f"__Host-auth_{kept}" if settings.secure_cookies else f"auth_{kept}"


def read(request: Request, kept: Kept) -> str | None:
    return read_cookie(request, name_of(request.app.state.resources.settings, kept))


def keep(request: Request, response: Response, kept: Kept, value: str, seconds: int) -> None:
    """Zero seconds: forget it."""
    settings = request.app.state.resources.settings
    set_cookie(response, settings, name_of(settings, kept), value, seconds)


def waiting_notice(request: Request) -> Notice | None:
    """Of the last step, to be shown once."""
    return NOTICES.get(read(request, Kept.NOTICE) or "")
