"""The account at a glance."""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.mail.addresses import shown
from auth_service.mfa.service import state
from auth_service.pages.account.screen import screen
from auth_service.pages.console.guard import held_by
from auth_service.pages.console.nav import sections_for
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me
from auth_service.sessions.service import count_sessions
from auth_service.users.email import waiting_change

router = page_router()


@router.get("/account")
async def overview(request: Request, me: Me, resources: Res) -> Response:
    return screen(
        request,
        "account/overview.html",
        me,
        email=shown(me.account.email),
        change=await waiting_change(resources, me.id),
        second_factor=await state(resources, me.id),
        administers=bool(sections_for(await held_by(resources, me))),
        sessions=await count_sessions(resources, me.id),
    )
