"""The catalogue of permissions by resource, and who has one of them, now or at a moment."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.admin import holders
from auth_service.admin.holders_schemas import HoldersQuery
from auth_service.admin.lists_schemas import MAY_LIST
from auth_service.core.connections import Res
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.named import all_there
from auth_service.pages.console.permission_choices import Known, shown
from auth_service.pages.console.screen import asked, moments, screen
from auth_service.pages.route import page_router
from auth_service.permissions.catalogue import get_permission, list_permissions
from auth_service.permissions.codes import OWN_CODES
from auth_service.permissions.patterns import covers
from auth_service.roles.service import list_roles

router = page_router()
PAGE = "/console/permissions"
_ON_A_PAGE = 100


@router.get(PAGE)
async def permissions_page(
    request: Request, me: Annotated[Admin, Staff("permissions:read")], resources: Res
) -> Response:
    """By code, behind that of `cursor`; found by a part of code or title."""
    form = asked(request)
    catalogue = await list_permissions(resources)
    wanted = form.value("search").lower()
    found = sorted(
        (one for one in catalogue if wanted in one.code or wanted in one.title.lower()), key=lambda one: one.code
    )
    behind = [one for one in found if one.code > form.value("cursor")]
    page = {one.code: Known(one.title, one.step_up) for one in behind[:_ON_A_PAGE]}
    last = list(page)[-1] if len(behind) > _ON_A_PAGE else None
    return screen(
        request,
        "console/permissions.html",
        me,
        form,
        groups=shown(page, page),
        count=len(catalogue),
        next_cursor=last,
    )


@router.get(f"{PAGE}/{{code}}")
async def permission_page(
    code: str, request: Request, me: Annotated[Admin, Staff("permissions:read")], resources: Res
) -> Response:
    permission = await get_permission(resources, code)
    roles = await list_roles(resources) if me.may("roles:read") else None
    return screen(
        request,
        "console/permission.html",
        me,
        permission=permission,
        giving=None if roles is None else [role for role in roles if covers(role.permissions, code)],
        may_list=me.may(*MAY_LIST),
        is_ours=code in OWN_CODES,
    )


@router.get(f"{PAGE}/{{code}}/people")
async def people_page(
    code: str,
    request: Request,
    me: Annotated[Admin, Staff(*MAY_LIST)],
    resources: Res,
) -> Response:
    """`format=csv`: all of them, as the API gives it."""
    form, page = asked(request), None
    with form:
        query = form.read(HoldersQuery, **moments(request, form, "at"))
        if await all_there(resources, me, form, roles=("role",)):
            wanted = await holders.who_has(resources, code, query, me.principal)
            if query.format == "csv":
                return await holders.csv_file(resources, me.principal, wanted)
            page = await holders.list_holders(wanted, query)
    return screen(
        request,
        "console/people.html",
        me,
        form,
        code=code,
        page=page,
        roles=await list_roles(resources),
    )
