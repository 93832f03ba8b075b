"""The second factor: on, off, new recovery codes.

The secret and the recovery codes are shown in the answer to the form and nowhere else: no address shows them again.
"""

from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from auth_service.core.connections import Res, Resources
from auth_service.core.http.limits import take
from auth_service.mfa import service
from auth_service.mfa.schemas import ConfirmTotpBody, SecondFactorBody, StartTotpBody
from auth_service.pages import notices
from auth_service.pages.account.screen import screen
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me, Viewer

router = page_router()


@router.get("/account/second-factor")
async def second_factor_page(request: Request, me: Me, resources: Res) -> Response:
    return await _page(request, me, resources)


@router.post("/account/second-factor/start")
async def start(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(StartTotpBody)
        started = await service.start_enrolment(resources, me.id, me.session_id, body.current_password)
        groups = [started.secret[at : at + 4] for at in range(0, len(started.secret), 4)]
        picture = Markup(started.qr_svg)  # noqa: S704  drawn by us, of a text that is not in it
        uri = started.otpauth_uri
        return screen(request, "account/second_factor_start.html", me, picture=picture, groups=groups, uri=uri)
    return await _page(request, me, resources, form)


@router.post("/account/second-factor/confirm")
async def confirm(request: Request, me: Me, resources: Res) -> Response:
    """After a wrong code the app has the secret still; the page does not show it again."""
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(ConfirmTotpBody)
        codes = await service.confirm_enrolment(resources, me.id, me.session_id, body.code)
        return screen(request, "account/recovery_codes.html", me, codes=codes, just_on=True)
    return screen(request, "account/second_factor_start.html", me, form, picture=None, groups=[], uri="")


@router.get("/account/second-factor/codes")
async def codes_page(request: Request, me: Me, resources: Res) -> Response:
    return await _page_while_on(request, me, resources, "account/second_factor_codes.html")


@router.post("/account/second-factor/codes")
async def new_codes(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(SecondFactorBody)
        codes = await service.new_recovery_codes(resources, me.id, me.session_id, body.current_password, body.code)
        return screen(request, "account/recovery_codes.html", me, codes=codes, just_on=False)
    return screen(request, "account/second_factor_codes.html", me, form)


@router.get("/account/second-factor/off")
async def turn_off_page(request: Request, me: Me, resources: Res) -> Response:
    return await _page_while_on(request, me, resources, "account/second_factor_off.html")


@router.post("/account/second-factor/off")
async def turn_off(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(SecondFactorBody)
        await service.disable(resources, me.id, me.session_id, body.current_password, body.code)
        return go(request, "/account", notices.MFA_OFF)
    return screen(request, "account/second_factor_off.html", me, form)


async def _page_while_on(request: Request, me: Viewer, resources: Resources, template: str) -> Response:
    """Who has no second factor is led to where one is set up: no code would do."""
    if not (await service.state(resources, me.id)).enabled:
        return go(request, "/account/second-factor")
    return screen(request, template, me)


async def _page(request: Request, me: Viewer, resources: Resources, form: Form | None = None) -> Response:
    return screen(request, "account/second_factor.html", me, form, state=await service.state(resources, me.id))
