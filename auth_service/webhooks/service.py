"""Webhook endpoints: who may have events sent where, and the secrets that sign them."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, Who, differing, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import TooManyWebhooks, ValidationFailed, existing
from auth_service.core.principal import Principal
from auth_service.events.cloud_event import TYPE_PREFIX
from auth_service.events.kinds import (
    WebhookChanged,
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookSecretRotated,
)
from auth_service.events.outbox import record
from auth_service.events.positions import give_positions
from auth_service.locks import lock_access_rules
from auth_service.models import WebhookDelivery, WebhookEndpoint, new_id
from auth_service.permissions.actor import Actor, load_actor, who
from auth_service.webhooks import repository
from auth_service.webhooks.addresses import host_of, refusal_of
from auth_service.webhooks.answer import Answer
from auth_service.webhooks.signature import as_text, new_secret, signed_headers

MANAGE = "webhooks:write"
# What a receiver gets to read; and it goes on reading when who registered it is no admin any more.
READ_EVENTS = "audit:read"
PREVIOUS_SIGNS = timedelta(hours=24)
MOST_ENDPOINTS = 50
PING = "ping"
BY_ADMIN = "by_admin"
_SYSTEM = Who("system", "webhooks")
_REFUSALS = {
    "https_required": "must begin with https:// in production",
    "address_refused": "must lead to a public address; the operator lists others in WEBHOOK_PRIVATE_NETWORKS",
}


async def list_endpoints(resources: Resources) -> Sequence[WebhookEndpoint]:
    async with resources.db() as session:
        return await repository.list_endpoints(session)


async def get_endpoint(resources: Resources, endpoint_id: UUID) -> WebhookEndpoint:
    async with resources.db() as session:
        return existing(await repository.find_endpoint(session, endpoint_id), "webhook")


async def list_deliveries(resources: Resources, endpoint_id: UUID, limit: int) -> Sequence[WebhookDelivery]:
    """Newest first; only the last hundred are kept. Raises NotFound."""
    async with resources.db() as session:
        existing(await repository.find_endpoint(session, endpoint_id), "webhook")
        return await repository.last_deliveries(session, endpoint_id, limit)


async def create_endpoint(
    resources: Resources, caller: Principal | Actor, *, url: str, description: str, kinds: Collection[str]
) -> tuple[WebhookEndpoint, str]:
    """The endpoint and its secret; it is sent what happens from now on, its own creation too.

    Raises LackingYourself for a caller who may not read all events without an end (RBAC-1), ValidationFailed for
    where it must not lead, TooManyWebhooks.
    """
    _must_lead_outside(resources, url)
    async with resources.hot.acquire() as connection:
        await give_positions(connection)  # so that what was committed before lies behind the endpoint
    async with resources.db.begin() as session:
        actor = await _manager(resources, session, caller)
        if await repository.count_endpoints(session) >= MOST_ENDPOINTS:
            raise TooManyWebhooks
        endpoint_id, secret = new_id(), new_secret()
        endpoint = WebhookEndpoint(
            id=endpoint_id,
            url=url,
            description=description,
            kinds=sorted(set(kinds)),
            enabled=True,
            sealed_secret=resources.secrets.seal(secret, bound_to=bound_to(endpoint_id)),
            position=await repository.end_of_outbox(session),
            created_by=actor.user_id,
            created_at=resources.clock(),
        )
        session.add(endpoint)
        await session.flush()
        created = WebhookCreated(webhook_id=endpoint_id, kinds=endpoint.kinds, by=actor.user_id)
        await record(resources, session, created)
        _write(resources, session, who(caller), Action.WEBHOOK_CREATED, endpoint_id, after=_facts(endpoint))
    return endpoint, as_text(secret)


async def update_endpoint(
    resources: Resources,
    caller: Principal | Actor,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    description: str | None = None,
    kinds: Collection[str] | None = None,
    enabled: bool | None = None,
) -> WebhookEndpoint:
    """None leaves a part as it is. A new address or `enabled` is tried at once, whatever failed before."""
    if url is not None:
        _must_lead_outside(resources, url)
    async with resources.db.begin() as session:
        actor = await _manager(resources, session, caller)
        endpoint = existing(await repository.find_endpoint(session, endpoint_id, for_update=True), "webhook")
        before = _facts(endpoint)
        moved = url not in {None, endpoint.url}
        endpoint.url = endpoint.url if url is None else url
        endpoint.description = endpoint.description if description is None else description
        endpoint.kinds = endpoint.kinds if kinds is None else sorted(set(kinds))
        if enabled not in {None, endpoint.enabled}:
            endpoint.enabled = not endpoint.enabled
            endpoint.disabled_reason = None if endpoint.enabled else BY_ADMIN
        if moved or enabled:
            endpoint.tries, endpoint.failing_since, endpoint.next_try_at = 0, None, None
        await session.flush()
        changed = WebhookChanged(
            webhook_id=endpoint_id, kinds=endpoint.kinds, enabled=endpoint.enabled, by=actor.user_id
        )
        await record(resources, session, changed)
        after = _facts(endpoint) | ({"changed": ["url"]} if moved else {})
        facts = differing(before, after)
        _write(resources, session, who(caller), Action.WEBHOOK_UPDATED, endpoint_id, **facts)
    return endpoint


async def delete_endpoint(resources: Resources, caller: Principal | Actor, endpoint_id: UUID) -> None:
    """What is on its way arrives; nothing else does."""
    async with resources.db.begin() as session:
        actor = await _manager(resources, session, caller)
        endpoint = existing(await repository.find_endpoint(session, endpoint_id, for_update=True), "webhook")
        await session.delete(endpoint)
        await record(resources, session, WebhookDeleted(webhook_id=endpoint_id, by=actor.user_id))
        _write(resources, session, who(caller), Action.WEBHOOK_DELETED, endpoint_id, before=_facts(endpoint))


async def rotate_secret(
    resources: Resources, caller: Principal | Actor, endpoint_id: UUID
) -> tuple[WebhookEndpoint, str]:
    """A new secret; the present one signs too for 24 hours, the one before it no longer."""
    async with resources.db.begin() as session:
        actor = await _manager(resources, session, caller)
        endpoint = existing(await repository.find_endpoint(session, endpoint_id, for_update=True), "webhook")
        secret, until = new_secret(), resources.clock() + PREVIOUS_SIGNS
        endpoint.previous_sealed_secret, endpoint.previous_secret_until = endpoint.sealed_secret, until
        endpoint.sealed_secret = resources.secrets.seal(secret, bound_to=bound_to(endpoint_id))
        await record(resources, session, WebhookSecretRotated(webhook_id=endpoint_id, by=actor.user_id))
        facts = {"previous_secret_until": until}
        _write(resources, session, who(caller), Action.WEBHOOK_SECRET_ROTATED, endpoint_id, after=facts)
    return endpoint, as_text(secret)


async def ping(resources: Resources, caller: Principal | Actor, endpoint_id: UUID) -> Answer:
    """Sends one message that is no event, to a disabled endpoint too; it is not tried again."""
    async with resources.db.begin() as session:
        await _manager(resources, session, caller)
        endpoint = existing(await repository.find_endpoint(session, endpoint_id), "webhook")
        _write(resources, session, who(caller), Action.WEBHOOK_TESTED, endpoint_id)
    now, message_id = resources.clock(), new_id()
    body = orjson.dumps(
        {
            "specversion": "1.0",
            "id": str(message_id),
            "source": resources.settings.issuer,
            "type": TYPE_PREFIX + PING,
            "subject": f"webhook:{endpoint_id}",
            "time": now,
            "datacontenttype": "application/json",
            "data": {"webhook_id": str(endpoint_id)},
        }
    )
    keys = keys_of(resources, endpoint)
    from auth_service.webhooks.sender import Sender, trusted

    async with Sender(resources.settings, await trusted(), endpoint.url) as sender:
        answer = await sender.post(signed_headers(keys, str(message_id), now, body), body)
    async with resources.db.begin() as session:
        # It may have been deleted meanwhile.
        if await repository.find_endpoint(session, endpoint_id, for_update=True) is not None:
            session.add(
                WebhookDelivery(
                    endpoint_id=endpoint_id,
                    event_id=message_id,
                    kind=PING,
                    at=now,
                    status=answer.status,
                    error=answer.error,
                    milliseconds=answer.milliseconds,
                )
            )
    return answer


async def disable_failed(resources: Resources, endpoint_id: UUID, reason: str) -> bool:
    """By the service itself; False where somebody else has done it, or has deleted it."""
    async with resources.db.begin() as session:
        endpoint = await repository.find_endpoint(session, endpoint_id, for_update=True)
        if endpoint is None or not endpoint.enabled:
            return False
        endpoint.enabled, endpoint.disabled_reason, endpoint.next_try_at = False, reason, None
        await record(resources, session, WebhookDisabled(webhook_id=endpoint_id, reason=reason))
        facts = {"enabled": False, "disabled_reason": reason}
        _write(resources, session, _SYSTEM, Action.WEBHOOK_DISABLED, endpoint_id, before={"enabled": True}, after=facts)
    return True


async def reseal_all(resources: Resources) -> int:
    """How many endpoints had a secret that SECRET_KEY_PREVIOUS opened and SECRET_KEY seals now; raises CannotOpen."""
    count = 0
    async with resources.db.begin() as session:
        for endpoint in await repository.list_endpoints(session, for_update=True):
            before = (endpoint.sealed_secret, endpoint.previous_sealed_secret)
            endpoint.sealed_secret = _sealed_anew(resources, endpoint.id, endpoint.sealed_secret)
            if endpoint.previous_sealed_secret is not None:
                anew = _sealed_anew(resources, endpoint.id, endpoint.previous_sealed_secret)
                endpoint.previous_sealed_secret = anew
            count += before != (endpoint.sealed_secret, endpoint.previous_sealed_secret)
    return count


def _sealed_anew(resources: Resources, endpoint_id: UUID, sealed: bytes) -> bytes:
    name = bound_to(endpoint_id)
    if resources.secrets.is_current(sealed, bound_to=name):
        return sealed
    return resources.secrets.seal(resources.secrets.unseal(sealed, bound_to=name), bound_to=name)


def bound_to(endpoint_id: UUID) -> str:
    """What a sealed secret of the endpoint is bound to."""
    return f"webhook:{endpoint_id}"


def keys_of(resources: Resources, endpoint: WebhookEndpoint) -> list[bytes]:
    """What it signs with at this moment, newest first; raises CannotOpen."""
    sealed = [endpoint.sealed_secret]
    until = endpoint.previous_secret_until
    if endpoint.previous_sealed_secret is not None and until is not None and until > resources.clock():
        sealed.append(endpoint.previous_sealed_secret)
    return [resources.secrets.unseal(item, bound_to=bound_to(endpoint.id)) for item in sealed]


async def _manager(resources: Resources, session: AsyncSession, caller: Principal | Actor) -> Actor:
    """The caller, under the access lock: who has events sent somewhere hands out what `audit:read` gives."""
    await lock_access_rules(session)
    actor = await load_actor(session, caller, resources.clock(), may=MANAGE)
    actor.must_hold([READ_EVENTS], until=None)
    return actor


def _must_lead_outside(resources: Resources, url: str) -> None:
    if refusal := refusal_of(resources.settings, url):
        raise ValidationFailed(_REFUSALS[refusal], field="body.url")


def _write(
    resources: Resources,
    session: AsyncSession,
    by: Who,
    action: Action,
    endpoint_id: UUID,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    target = Target("webhook", str(endpoint_id))
    write_act(session, by, action, target, at=resources.clock(), before=before, after=after)


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What the audit trail keeps; of the URL only the host, since a path may be what opens the receiver."""
    return {"host": host_of(endpoint.url), "kinds": endpoint.kinds, "enabled": endpoint.enabled}
