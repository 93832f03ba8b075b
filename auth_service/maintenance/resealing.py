"""Seals everything under SECRET_KEY anew, so that SECRET_KEY_PREVIOUS can go (SEC-2)."""

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.core.stores.postgres_pools import driver_of
from auth_service.mail import outbox
from auth_service.mfa import service as mfa
from auth_service.permissions.actor import Actor, who
from auth_service.webhooks import service as webhooks


async def reseal(resources: Resources, caller: Principal | Actor) -> dict[str, int]:
    """How many of each kind were sealed anew; raises CannotOpen at the first that neither key opens."""
    counts = {
        "authenticators": await mfa.reseal_all(resources),
        "mails": await outbox.reseal_all(resources),
        "webhooks": await webhooks.reseal_all(resources),
    }
    async with resources.db.begin() as session:
        counts["signing_keys"] = await resources.keys.reseal_in(await driver_of(session))
        write_act(
            session, who(caller), Action.SECRETS_RESEALED, Target("key", None), at=resources.clock(), after=counts
        )
    return counts
