"""Rotating and retiring signing keys: the key ring's steps, with their rows in the audit trail."""

from datetime import datetime

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import driver_of
from auth_service.permissions.actor import Actor, who


async def rotate(resources: Resources, caller: Principal | Actor, *, soon: bool = False) -> tuple[str, datetime]:
    """As KeyRing.rotate."""
    await resources.keys.load()  # a new deployment gets its first key, which signs until this one does
    async with resources.db.begin() as session:
        kid, signs_from = await resources.keys.rotate_in(await driver_of(session), soon=soon)
        write_act(
            session,
            who(caller),
            Action.KEY_ROTATED,
            Target("key", kid),
            at=resources.clock(),
            after={"signs_from": signs_from},
        )
    await resources.keys.load()
    return kid, signs_from


async def retire(resources: Resources, caller: Principal | Actor, kid: str) -> bool:
    """As KeyRing.retire."""
    async with resources.db.begin() as session:
        found = await resources.keys.retire_in(await driver_of(session), kid)
        if found:
            write_act(session, who(caller), Action.KEY_RETIRED, Target("key", kid), at=resources.clock())
    await resources.keys.load()
    return found
