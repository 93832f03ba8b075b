"""The password again, before what a stolen session must not be enough for (LOG-9)."""

from fastapi import Request
from starlette.responses import Response

from auth_service.auth import service
from auth_service.core.connections import Res
from auth_service.core.http.limits import take
from auth_service.core.schemas import Body
from auth_service.pages import notices
from auth_service.pages.account.screen import screen
from auth_service.pages.form import posted
from auth_service.pages.own_paths import own_path
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me
from auth_service.users.schemas import TypedPassword

router = page_router()


class PasswordBody(Body):
    """The password alone; a code would do too, but who has one at hand can type the password."""

    current_password: TypedPassword


@router.get("/account/confirm")
async def confirm_page(request: Request, me: Me, next: str | None = None) -> Response:
    return screen(request, "account/confirm.html", me, next=own_path(next))


@router.post("/account/confirm")
async def confirm(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    target = own_path(form.fields.get("next"))
    with form:
        take(request, "login")
        password = form.read(PasswordBody).current_password
        request.state.issued = await service.step_up(
            resources, me.id, me.session_id, current_password=password, code=None
        )
        return go(request, target, notices.CONFIRMED)
    return screen(request, "account/confirm.html", me, form, next=target)
