"""A page of the account, of somebody signed in or of nobody."""

from typing import Any

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from auth_service.auth import transport
from auth_service.core.connections import Resources
from auth_service.pages.form import Form
from auth_service.pages.kept import Kept, keep
from auth_service.pages.page import WITH_FORMS, go, show
from auth_service.pages.viewer import Viewer, Visitor
from auth_service.sessions.start import IssuedTokens


def screen(
    request: Request, template: str, who: Viewer | Visitor, form: Form | None = None, **facts: Any
) -> HTMLResponse:
    me = who if isinstance(who, Viewer) else None
    return show(request, template, form=form, policy=WITH_FORMS, viewer=me, csrf=who.csrf, **facts)


async def signed_in(
    request: Request,
    resources: Resources,
    issued: IssuedTokens,
    device_token: str | None,
    *,
    to: str,
    notice: str | None = None,
) -> Response:
    """With the cookies of the new session; whatever session this browser had before is ended (LOG-9)."""
    response = go(request, to, notice)
    await transport.deliver_login(request, response, resources, issued, device_token, as_cookies=True)
    keep(request, response, Kept.CHALLENGE, "", 0)
    return response


def signed_out(request: Request, resources: Resources, path: str, notice: str) -> Response:
    request.state.issued = None  # tokens that were renewed for this request are dead now
    response = go(request, path, notice)
    transport.clear(response, resources)
    return response
