"""An account for somebody, who sets the password by a mailed link."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.accounts import NewAccount, create_account
from auth_service.admin.accounts_schemas import NewAccountBody
from auth_service.core.connections import Res
from auth_service.core.errors import NotFound
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.choices import roles_to_grant
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.form import Form, posted
from auth_service.pages.page import go
from auth_service.pages.route import page_router
from auth_service.pages.words import Words

router = page_router()
PAGE = "/console/users/new"
Inviter = Annotated[Admin, Staff("users:read", "users:write")]
_NO_ROLE = Words(N_("There is no role of this name. Choose one of those that the field offers."))


@router.get(PAGE)
async def invite_page(request: Request, me: Inviter, resources: Res) -> Response:
    return await _page(request, me, resources, Form())


@router.post(PAGE)
async def invite(request: Request, me: Inviter, resources: Res) -> Response:
    form = await posted(request)
    with form:
        role = form.fields.get("roles")
        body = form.read(NewAccountBody, roles=[role] if role else [])
        try:
            user_id = await create_account(resources, me.principal, NewAccount(**body.model_dump()))
        except NotFound:  # of what is sent only the role can be missing
            form.errors["roles"], form.status = _NO_ROLE, 422
        else:
            return go(request, f"/console/users/{user_id}", notices.INVITED)
    return await _page(request, me, resources, form)


async def _page(request: Request, me: Admin, resources: Res, form: Form) -> Response:
    roles = await roles_to_grant(resources, me) if me.may("roles:grant") else []
    return screen(request, "console/invite.html", me, form, roles=roles)
