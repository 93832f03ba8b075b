"""What fields of forms offer to choose from."""

from collections.abc import Iterable, Sequence

from auth_service.core.connections import Resources
from auth_service.models import Permission
from auth_service.pages.console.guard import Admin
from auth_service.permissions.catalogue import list_permissions
from auth_service.roles.hierarchy import Hierarchy
from auth_service.roles.role import RoleView
from auth_service.roles.service import list_roles


async def roles_for(resources: Resources, me: Admin) -> Sequence[RoleView]:
    """Nothing where the list is not for them: the field takes a name all the same."""
    return await list_roles(resources) if me.may("roles:read") else ()


async def permissions_for(resources: Resources, me: Admin) -> Sequence[Permission]:
    return await list_permissions(resources) if me.may("permissions:read") else ()


async def roles_to_grant(resources: Resources, me: Admin) -> list[RoleView]:
    return grantable(me, await list_roles(resources))


def grantable(me: Admin, roles: Sequence[RoleView]) -> list[RoleView]:
    """Of all roles those of which they hold everything; the service also asks for how long."""
    hierarchy = hierarchy_of(roles)
    return [role for role in roles if me.may(*hierarchy.effective(role.name))]


def hierarchy_of(roles: Iterable[RoleView]) -> Hierarchy:
    """Of all roles."""
    return Hierarchy({role.name: role.parents for role in roles}, {role.name: role.permissions for role in roles})
