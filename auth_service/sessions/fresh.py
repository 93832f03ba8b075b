"""`me: FreshUser` guards a route that a stolen session must not be enough for."""

from datetime import timedelta
from typing import Annotated

from fastapi import Depends

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import StepUpRequired, Unauthenticated, may_answer
from auth_service.core.principal import CurrentUser, Principal
from auth_service.sessions.repository import find_own
from auth_service.sessions.service import idle_life

FRESH = timedelta(minutes=5)  # LOG-9


async def must_be_fresh(resources: Resources, me: Principal) -> None:
    """Raises StepUpRequired where the password or a code was last shown more than five minutes ago."""
    now = resources.clock()
    async with resources.db() as session:
        row = await find_own(session, me.subject, me.session_id, now, idle_life(resources))
    if row is None:
        await resources.denylist.publish_of(me.subject)  # the token was good a moment ago, and may be elsewhere
        raise Unauthenticated
    if row.authenticated_at + FRESH <= now:
        raise StepUpRequired


@may_answer(StepUpRequired)
async def fresh_user(me: CurrentUser, resources: Res) -> Principal:
    await must_be_fresh(resources, me)
    return me


FreshUser = Annotated[Principal, Depends(fresh_user)]
