"""An admin's act on an account: nobody throws out, opens or becomes those above them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.core.connections import Resources
from auth_service.core.errors import existing
from auth_service.core.principal import Principal
from auth_service.locks import lock_access_rules, lock_user
from auth_service.models import User
from auth_service.permissions.actor import Actor, load_actor, load_subject


async def may_act_on(
    resources: Resources, session: AsyncSession, caller: Principal | Actor, user_id: UUID, *, may: str = "users:write"
) -> tuple[Actor, User]:
    """With the access lock and the user's row held until the transaction ends.

    The caller must hold all that the user holds. Raises NotFound, PermissionDenied or LackingYourself.
    """
    await lock_access_rules(session)
    user = existing(await lock_user(session, user_id), "user")
    now = resources.clock()
    actor = await load_actor(session, caller, now, may=may)
    actor.must_hold((await load_subject(session, user_id)).grants, until=now)
    return actor, user
