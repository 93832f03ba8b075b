"""Everybody who has an account, page by page."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.accounts import list_accounts
from auth_service.admin.accounts_schemas import AccountsQuery
from auth_service.core.connections import Res
from auth_service.pages.console.choices import roles_for
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import asked, screen
from auth_service.pages.route import page_router

router = page_router()
PAGE = "/console/users"


@router.get(PAGE)
async def users_page(request: Request, me: Annotated[Admin, Staff("users:read")], resources: Res) -> Response:
    form, found = asked(request), None
    with form:
        found = await list_accounts(resources, me.principal, form.read(AccountsQuery))
    return screen(request, "console/users.html", me, form, found=found, roles=await roles_for(resources, me))
