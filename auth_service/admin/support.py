"""An admin's acts on somebody's sessions and locks; none of them reveals or sets anything secret."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.mfa.service import budget_key
from auth_service.models import Session
from auth_service.permissions.actor import Actor, who
from auth_service.sessions import devices, service
from auth_service.users import attempts
from auth_service.users.admin_guard import may_act_on
from auth_service.users.service import get_user

log = structlog.get_logger(__name__)


async def list_sessions(resources: Resources, user_id: UUID) -> Sequence[Session]:
    """Raises NotFound."""
    await get_user(resources, user_id)
    return await service.list_sessions(resources, user_id)


async def end_session(resources: Resources, caller: Principal | Actor, user_id: UUID, session_id: UUID) -> None:
    """Raises NotFound or LackingYourself."""
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        await may_act_on(resources, session, caller, user_id)
        await service.end_one_in(resources, session, user_id, session_id, "ended_by_admin")
        target, facts = Target("user", str(user_id)), {"session_id": str(session_id)}
        write_act(session, who(caller), Action.SESSION_ENDED, target, at=resources.clock(), after=facts)
    await service.families(resources).forget([session_id])
    log.warning("session_ended_by_admin", user_id=str(user_id), session_id=str(session_id))


async def log_out_all(resources: Resources, caller: Principal | Actor, user_id: UUID) -> None:
    """Raises NotFound or LackingYourself."""
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        await may_act_on(resources, session, caller, user_id)
        await service.end_all_in(resources, session, user_id, "ended_by_admin", forget_devices=True)
        write_act(session, who(caller), Action.USER_LOGGED_OUT, Target("user", str(user_id)), at=resources.clock())
    log.warning("logged_out_by_admin", user_id=str(user_id))


async def unlock(resources: Resources, caller: Principal | Actor, user_id: UUID) -> None:
    """Raises NotFound or LackingYourself: new tries at an account are not for one who has less than it."""
    async with resources.db.begin() as session:
        await may_act_on(resources, session, caller, user_id)
        own = [attempts.device_key(device_id) for device_id in await devices.ids_in(session, user_id)]
        await attempts.clear_in(session, str(user_id), budget_key(user_id), *own)
        write_act(session, who(caller), Action.USER_UNLOCKED, Target("user", str(user_id)), at=resources.clock())
    log.warning("unlocked", user_id=str(user_id))
