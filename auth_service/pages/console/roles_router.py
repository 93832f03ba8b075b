"""Roles to look at: all of them, how they inherit, and each by itself."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from auth_service.admin.lists_schemas import MAY_LIST
from auth_service.core.connections import Res, Resources
from auth_service.core.errors import existing
from auth_service.pages.console.choices import hierarchy_of
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.permission_choices import Known, inherited, shown
from auth_service.pages.console.role_picture import MOST, Parents, around, draw, outline
from auth_service.pages.console.screen import asked, screen
from auth_service.pages.route import page_router
from auth_service.permissions.catalogue import list_permissions
from auth_service.roles import service
from auth_service.roles.grant_list import count_holders
from auth_service.roles.role import RoleView

router = page_router()
PAGE = "/console/roles"
_ON_A_PAGE = 50
_COUNTED = 1000  # grants of a role; a million would take a tenth of a second


@router.get(PAGE)
async def roles_page(request: Request, me: Annotated[Admin, Staff("roles:read")], resources: Res) -> Response:
    """By name, behind that of `cursor`; found by a part of name or title."""
    form = asked(request)
    roles = await service.list_roles(resources)
    wanted = form.value("search").lower()
    found = [role for role in roles if wanted in role.name or wanted in role.title.lower()]
    behind = [role for role in found if role.name > form.value("cursor")]
    page, more = behind[:_ON_A_PAGE], len(behind) > _ON_A_PAGE
    parents = parents_of(roles)
    whole = len(roles) <= MOST
    return screen(
        request,
        "console/roles.html",
        me,
        form,
        roles=page,
        titles={role.name: role.title for role in roles},
        count=len(roles),
        picture=draw(parents) if whole else None,
        branches=outline(parents) if whole else (),
        current=None,
        next_cursor=page[-1].name if more else None,
    )


@router.get(f"{PAGE}/{{name}}")
async def role_page(name: str, request: Request, me: Annotated[Admin, Staff("roles:read")], resources: Res) -> Response:
    roles = {role.name: role for role in await service.list_roles(resources)}
    role = existing(roles.get(name), "role")
    parents = parents_of(roles.values())
    near, left_out = around(parents, name)
    catalogue = await known_permissions(resources)
    hierarchy = hierarchy_of(roles.values())
    limits = hierarchy.session_limits({other.name: other.session_limit for other in roles.values()})
    all_of_it = hierarchy.effective(name)
    return screen(
        request,
        "console/role.html",
        me,
        role=role,
        titles={other.name: other.title for other in roles.values()},
        children=[other for other in roles.values() if name in other.parents],
        picture=draw(near),
        branches=outline(near),
        current=name,
        left_out=left_out,
        own=shown(catalogue, role.permissions),
        inherited=shown(catalogue, inherited(role.permissions, all_of_it)),
        manages=me.may(*all_of_it),
        limit=limits[name],
        holders=await _holders(resources, me, name),
        is_default=name == resources.settings.default_role,
    )


def parents_of(roles: Iterable[RoleView]) -> Parents:
    return {role.name: role.parents for role in roles}


async def known_permissions(resources: Resources) -> dict[str, Known]:
    """The catalogue, of which only codes and titles are shown: whoever may read roles may read these."""
    return {one.code: Known(one.title, one.step_up) for one in await list_permissions(resources)}


async def _holders(resources: Resources, me: Admin, name: str) -> tuple[int, bool] | None:
    """How many have it now, and whether there may be more; None for who may not list them."""
    if not me.may(*MAY_LIST):
        return None
    return await count_holders(resources.hot, name, resources.clock(), most=_COUNTED)
