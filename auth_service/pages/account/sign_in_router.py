"""Sign in with the password, then with a code where a second factor is on; sign out."""

from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from auth_service.auth import service, transport
from auth_service.auth.schemas import LoginBody, MfaLoginBody
from auth_service.core.connections import Res
from auth_service.core.http.cookies import cookie_names, read_cookie
from auth_service.core.http.limits import take
from auth_service.core.principal import cookie_token
from auth_service.mfa.challenges import InvalidChallenge, OpenChallenge
from auth_service.pages import notices
from auth_service.pages.account.screen import screen, signed_in, signed_out
from auth_service.pages.form import posted
from auth_service.pages.kept import Kept, keep, read
from auth_service.pages.own_paths import own_path
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Guest, Me, is_signed_in
from auth_service.sessions.client import RequestClient

router = page_router()
CODE_PAGE = "/account/sign-in/code"


@router.get("/account/sign-in")
async def sign_in_page(
    request: Request, guest: Guest, client: RequestClient, resources: Res, next: str | None = None
) -> Response:
    if await is_signed_in(request, resources, client):
        return go(request, own_path(next))
    return screen(request, "account/sign_in.html", guest, next=own_path(next))


@router.post("/account/sign-in")
async def sign_in(request: Request, guest: Guest, client: RequestClient, resources: Res) -> Response:
    """Where somebody else is signed in at this browser, their session ends."""
    form = await posted(request)
    target = own_path(form.fields.get("next"))
    client = transport.with_device(request, resources, client, None, cookies=True)
    with form:
        take(request, "login")
        body = form.read(LoginBody)
        issued = await service.log_in(resources, body.login, body.password, client)
        if not isinstance(issued, OpenChallenge):
            return await signed_in(request, resources, issued, client.device_token, to=target)
        response = go(request, f"{CODE_PAGE}?next={quote(target)}")
        keep(request, response, Kept.CHALLENGE, issued.challenge, issued.expires_in)
        return response
    return screen(request, "account/sign_in.html", guest, form, next=target)


@router.get(CODE_PAGE)
async def code_page(request: Request, guest: Guest, next: str | None = None) -> Response:
    if not read(request, Kept.CHALLENGE):
        return go(request, "/account/sign-in")
    return screen(request, "account/sign_in_code.html", guest, next=own_path(next))


@router.post(CODE_PAGE)
async def sign_in_with_code(request: Request, guest: Guest, client: RequestClient, resources: Res) -> Response:
    form = await posted(request)
    target = own_path(form.fields.get("next"))
    challenge = read(request, Kept.CHALLENGE) or "none"
    client = transport.with_device(request, resources, client, None, cookies=True)
    with form:
        take(request, "login")
        body = form.read(MfaLoginBody, challenge=challenge, trust_device="trust_device" in form.fields)
        try:
            issued = await service.log_in_with_code(
                resources, body.challenge, body.code, client, trust_device=body.trust_device
            )
        except InvalidChallenge:
            return go(request, "/account/sign-in", notices.STEP_OVER)
        return await signed_in(request, resources, issued, client.device_token, to=target)
    return screen(request, "account/sign_in_code.html", guest, form, next=target)


@router.post("/account/sign-out")
async def sign_out(request: Request, me: Me, resources: Res) -> Response:
    refresh = read_cookie(request, cookie_names(resources.settings).refresh)
    await service.log_out(resources, cookie_token(request, resources), refresh)
    return signed_out(request, resources, "/account/sign-in", notices.SIGNED_OUT)
