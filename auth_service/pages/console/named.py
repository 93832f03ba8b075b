"""Roles and users that a form names: a name that nobody has is said beside its field."""

from collections.abc import Sequence

from auth_service.core.connections import Resources
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin
from auth_service.pages.form import Form
from auth_service.pages.words import Words
from auth_service.roles.service import list_roles
from auth_service.users.naming import find_named, may_name

_NO_ROLE = Words(N_("There is no role of this name. Choose one of those that the field offers."))
_NOBODY = Words(N_("Nobody has this name."))


async def all_there(
    resources: Resources, me: Admin, form: Form, *, roles: Sequence[str] = (), users: Sequence[str] = ()
) -> bool:
    """Of the fields `roles` and `users`, where they are filled in. Raises PermissionDenied for an e-mail address that
    is not for the caller to ask for.
    """
    if any(form.value(field) for field in roles):
        known = {role.name for role in await list_roles(resources)}
        for field in roles:
            if form.value(field) and form.value(field) not in known:
                form.errors[field] = _NO_ROLE
    for field in users:
        if name := form.value(field):
            await may_name(resources, me.principal, name)
            async with resources.db() as session:
                if await find_named(session, name) is None:
                    form.errors[field] = _NOBODY
    if form.errors:
        form.status = 422
    return not form.errors
