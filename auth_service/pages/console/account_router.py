"""One account: what is known of it, its roles, and why it may do something or may not."""

from typing import Annotated
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.accounts import read_account
from auth_service.core.connections import Res, Resources
from auth_service.core.schemas import Body, Moment
from auth_service.pages.console.acts import offered
from auth_service.pages.console.choices import permissions_for
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.form import Form
from auth_service.pages.route import page_router
from auth_service.permissions.checks import allows
from auth_service.permissions.explanation import Explanation
from auth_service.permissions.repository import logins_of
from auth_service.permissions.schemas import PermissionCode
from auth_service.permissions.why import READ_ROLES, explain

router = page_router()


class WhyQuestion(Body):
    """`at` None: now."""

    permission: PermissionCode
    at: Moment | None = None


@router.get("/console/users/{user_id}")
async def account_page(
    user_id: UUID, request: Request, me: Annotated[Admin, Staff("users:read")], resources: Res
) -> Response:
    account = await read_account(resources, me.principal, user_id)
    form = asked(request)
    return screen(
        request,
        "console/account.html",
        me,
        form,
        account=account,
        acts=offered(me, account),
        granters=await logins_of(resources.hot, {grant.granted_by for grant in account.roles if grant.granted_by}),
        why=await _why(request, resources, me, user_id, form),
        permissions=await permissions_for(resources, me),
    )


async def _why(request: Request, resources: Resources, me: Admin, user_id: UUID, form: Form) -> Explanation | None:
    if "permission" not in form.fields:
        return None
    await allows(resources, me.principal, READ_ROLES)
    with form:
        wanted = form.read(WhyQuestion, **moments(request, form, "at"))
        return await explain(resources, me.principal, user_id, wanted.permission, at=wanted.at)
    return None
