"""Who is meant: an account is named by its id, its login or its e-mail address, in the API as at the command line."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import PermissionDenied, StepUpRequired, existing, may_answer
from auth_service.core.ids import read_id
from auth_service.core.principal import AnyPrincipal, Principal
from auth_service.models import User
from auth_service.permissions.checks import allows
from auth_service.users import repository
from auth_service.users.identifiers import lookup_key

PERSONAL_DATA = "users:write"  # a moderator sees accounts, but neither names nor e-mail addresses
InPath = Annotated[str, Path(description="Id or login, or with users:write the e-mail address.")]


async def find_named(session: AsyncSession, name: str) -> User | None:
    """What can be read as an id is one, and never a login: else whoever takes the id of a deleted account for a login
    would be given what was meant for that one.
    """
    user_id = read_id(name)
    if user_id is not None:
        return await repository.find_by_id(session, user_id)
    key, is_email = lookup_key(name)
    return await repository.find_by_key(session, key, is_email=is_email)


async def find_named_id(resources: Resources, name: str) -> UUID | None:
    """As `find_named`, but an id is given back unseen: whoever reads or changes the account looks for it anyway."""
    user_id = read_id(name)
    if user_id is not None:
        return user_id
    async with resources.db() as session:
        user = await find_named(session, name)
    return user.id if user else None


async def find_named_ids(resources: Resources, names: Collection[str]) -> dict[str, UUID]:
    """As `find_named_id`, of those names that somebody has; one query, and none where all are ids."""
    ids = {name: read_id(name) for name in names}
    keys = {name: lookup_key(name) for name, user_id in ids.items() if user_id is None}
    found = await repository.find_ids(resources.hot, set(keys.values())) if keys else {}
    return {name: user_id for name in names if (user_id := ids[name] or found.get(keys[name]))}


async def may_name(resources: Resources, caller: Principal, name: str) -> None:
    """By address only for those who may see addresses, whether anybody has it or not: else trying would tell.

    Raises PermissionDenied or StepUpRequired.
    """
    if "@" not in name:  # no login has one
        return
    try:
        await allows(resources, caller, PERSONAL_DATA)
    except PermissionDenied:
        raise PermissionDenied(f"To name an account by its e-mail address takes {PERSONAL_DATA}.") from None


def NamedOrSelf(code: str) -> Any:
    """As NamedUser, with the guard in it: the permission `code`, but for one's own account."""
    return Depends(_guard_or_self(code))


@may_answer(PermissionDenied, StepUpRequired)
async def _named(user_id: InPath, caller: AnyPrincipal, resources: Res) -> UUID:
    await may_name(resources, caller, user_id)
    return existing(await find_named_id(resources, user_id), "user")


def _guard_or_self(code: str) -> Callable[..., Awaitable[UUID]]:
    @may_answer(PermissionDenied, StepUpRequired)
    async def guard(user_id: InPath, caller: AnyPrincipal, resources: Res) -> UUID:
        found = await find_named_id(resources, user_id)
        if found is not None and found == caller.subject and not caller.is_service:
            return found
        await allows(resources, caller, code)
        await may_name(resources, caller, user_id)
        return existing(found, "user")

    return guard


# The id of the account that the path's `user_id` names, or NotFound. It stands behind the guard in a route's signature:
# before it, strangers would learn who is there.
NamedUser = Annotated[UUID, Depends(_named)]
