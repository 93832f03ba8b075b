"""Service accounts: who they are, what they may ask, and their secrets, shown once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidClient, ServiceExists, ValidationFailed, existing
from auth_service.core.ids import read_id
from auth_service.core.principal import Principal
from auth_service.core.row_tokens import digest, new_secret
from auth_service.events.kinds import ServiceCreated, ServiceDeleted, ServiceSecretAdded
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules
from auth_service.models import ServiceAccount, ServiceSecret
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.permissions.repository import unknown_patterns
from auth_service.service_accounts import repository

MANAGE = "services:write"
SECRETS_AT_ONCE = 2  # the old and the new one while callers change over


async def list_services(resources: Resources) -> Sequence[ServiceAccount]:
    async with resources.db() as session:
        return await repository.list_services(session)


async def find_id(resources: Resources, name: str) -> UUID:
    """Of what is named by its id or its name; raises NotFound. What can be read as an id is one, and not looked up."""
    service_id = read_id(name)
    if service_id is not None:
        return service_id
    async with resources.db() as session:
        return existing(await repository.find_by_name(session, name), "service account").id


async def create_service(
    resources: Resources, caller: Principal | Actor, name: str, description: str, scopes: Sequence[str]
) -> tuple[ServiceAccount, str]:
    """The account and its first secret; raises LackingYourself for scopes that the caller does not hold (RBAC-1)."""
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        actor = await load_actor(session, caller, resources.clock(), may=MANAGE)
        actor.must_hold(scopes, until=None)
        if await unknown_patterns(session, scopes):
            raise ValidationFailed("scopes name a permission that is not in the catalogue")
        if await repository.find_by_name(session, name) is not None:
            raise ServiceExists
        account = ServiceAccount(
            name=name,
            description=description,
            scopes=sorted(set(scopes)),
            created_by=actor.user_id,
            created_at=resources.clock(),
        )
        session.add(account)
        await session.flush()
        secret, row = _new_secret(account.id, None, resources.clock())
        session.add(row)
        created = ServiceCreated(service_id=account.id, name=name, scopes=account.scopes, by=actor.user_id)
        await record(resources, session, created)
        target, facts = Target("service", str(account.id)), {"name": name, "scopes": account.scopes}
        write_act(session, who(caller), Action.SERVICE_CREATED, target, at=account.created_at, after=facts)
    return account, secret


async def add_secret(
    resources: Resources, caller: Principal | Actor, service_id: UUID, expires_at: datetime | None
) -> str:
    """A new secret; the newest old one goes on working until the next call, so that callers can change over."""
    now = resources.clock()
    if expires_at is not None and expires_at <= now:
        raise ValidationFailed("expires_at must lie in the future")
    async with resources.db.begin() as session:
        await lock_access_rules(session)
        account = existing(await repository.find_service(session, service_id), "service account")
        # Whoever has the secret has the scopes, and what is done with them has no end: not even one that expires
        # is for a temporary admin to make.
        actor = await load_actor(session, caller, now, may=MANAGE)
        actor.must_hold(account.scopes, until=None)
        kept = await repository.secrets_of(session, service_id)
        await repository.delete_secrets(session, [row.id for row in kept[SECRETS_AT_ONCE - 1 :]])
        secret, row = _new_secret(service_id, expires_at, now)
        session.add(row)
        added = ServiceSecretAdded(service_id=service_id, expires_at=expires_at, by=actor.user_id)
        await record(resources, session, added)
        target, facts = Target("service", str(service_id)), {"expires_at": expires_at}
        write_act(session, who(caller), Action.SERVICE_SECRET_ADDED, target, at=now, after=facts)
    return secret


async def delete_service(resources: Resources, caller: Principal | Actor, service_id: UUID) -> None:
    """Its tokens are dead when this returns."""
    async with resources.denylist.announcing(service_id), resources.db.begin() as session:
        await lock_access_rules(session)
        account = existing(await repository.find_service(session, service_id), "service account")
        now = resources.clock()
        actor = await load_actor(session, caller, now, may=MANAGE)
        actor.must_hold(account.scopes, until=now)
        await session.delete(account)
        await record(resources, session, ServiceDeleted(service_id=service_id, by=actor.user_id))
        target, facts = Target("service", str(service_id)), {"name": account.name, "scopes": account.scopes}
        write_act(session, who(caller), Action.SERVICE_DELETED, target, at=now, before=facts)
        await resources.denylist.record(session, [resources.denylist.session(service_id, service_id)])


async def authenticate_service(resources: Resources, client_id: str, client_secret: str) -> ServiceAccount:
    """Raises InvalidClient. The secret has 256 random bits: looking up its hash tells a guesser nothing."""
    try:
        service_id = UUID(client_id)
    except ValueError:
        raise InvalidClient from None
    async with resources.db() as session:
        account = await repository.find_by_secret(session, service_id, digest(client_secret), resources.clock())
    if account is None:
        raise InvalidClient
    return account


def _new_secret(service_id: UUID, expires_at: datetime | None, now: datetime) -> tuple[str, ServiceSecret]:
    secret, secret_hash = new_secret()
    row = ServiceSecret(service_id=service_id, secret_hash=secret_hash, expires_at=expires_at, created_at=now)
    return secret, row
