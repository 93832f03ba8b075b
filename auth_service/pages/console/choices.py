"""What fields of forms offer to choose from."""

from collections.abc import Sequence

from auth_service.core.connections import Resources
from auth_service.models import Permission
from auth_service.pages.console.guard import Admin
from auth_service.permissions.catalogue import list_permissions
from auth_service.permissions.patterns import covers
from auth_service.roles.repository import load_hierarchy
from auth_service.roles.role import RoleView
from auth_service.roles.service import list_roles


async def roles_for(resources: Resources, me: Admin) -> Sequence[RoleView]:
    """Nothing where the list is not for them: the field takes a name all the same."""
    return await list_roles(resources) if me.may("roles:read") else ()


async def permissions_for(resources: Resources, me: Admin) -> Sequence[Permission]:
    return await list_permissions(resources) if me.may("permissions:read") else ()


async def roles_to_grant(resources: Resources, me: Admin) -> list[RoleView]:
    """Those of which they hold everything; the service also asks for how long."""
    async with resources.db() as session:
        hierarchy = await load_hierarchy(session)
    return [
        role
        for role in await list_roles(resources)
        if all(covers(me.held, pattern) for pattern in hierarchy.effective(role.name))
    ]
