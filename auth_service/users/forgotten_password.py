"""A new password by a link to the mailbox (PWD-8): asked for by anyone, or started by an admin who never sees it."""

from datetime import timedelta
from uuid import UUID

import structlog

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import Conflict
from auth_service.core.principal import Principal
from auth_service.events.kinds import EmailVerified
from auth_service.events.outbox import record
from auth_service.locks import lock_user
from auth_service.mail.outbox import must_have_mail
from auth_service.models import new_id
from auth_service.permissions.actor import Actor, who
from auth_service.sessions.client import Client
from auth_service.sessions.devices import register_in
from auth_service.sessions.service import end_all_in
from auth_service.users import attempts, mailed_tokens
from auth_service.users.admin_guard import may_act_on
from auth_service.users.identifiers import canonical_email
from auth_service.users.links import send_link, send_nothing
from auth_service.users.mailed_tokens import InvalidMailToken, Purpose
from auth_service.users.password_change import refuse_known_words, replace_password
from auth_service.users.repository import find_by_id, find_by_key

log = structlog.get_logger(__name__)

BUDGET, BUDGET_WINDOW = 10, timedelta(hours=1)


class AccountDisabled(Conflict):
    code, detail = "account_disabled", "The account is disabled; enable it first."


async def ask(resources: Resources, email: str) -> None:
    """The same work and the same silence for a known, an unknown and a disabled account.

    The mail goes to the stored address, whatever spelling was typed (REG-3).
    """
    must_have_mail(resources)
    key = canonical_email(email)[1]
    budget = attempts.mailbox_key(resources, key, "forgot")
    if not await attempts.take(resources, budget, limit=BUDGET, window=BUDGET_WINDOW):
        return
    async with resources.db.begin() as session:
        found = await find_by_key(session, key, is_email=True)
        user = await lock_user(session, found.id if found else new_id())
        if user is not None and user.is_active and user.email_key == key:
            await send_link(resources, session, user, Purpose.RESET_PASSWORD)
        else:
            await send_nothing(resources, session, Purpose.RESET_PASSWORD)


async def reset(resources: Resources, text: str, new_password: str, client: Client) -> str:
    """Sets the password, ends every session, and trusts the mailbox; the second factor stays, nobody is logged in.

    Gives the token of a known device: who has read the mail is not kept out by strangers' failures (LOG-3, LOG-4).

    Raises InvalidMailToken, or ValidationFailed for the password or a store failure, which leave the token as it was.
    """
    async with resources.db() as session:
        owner = await mailed_tokens.owner_of(session, text, Purpose.RESET_PASSWORD)
    if owner is None:
        raise InvalidMailToken
    async with resources.denylist.announcing(owner):
        device_token = await _reset(resources, text, new_password, client)
    log.info("password_reset", user_id=str(owner))
    return device_token


async def _reset(resources: Resources, text: str, new_password: str, client: Client) -> str:
    now = resources.clock()
    async with resources.db() as session:
        token = await mailed_tokens.find(session, text, [Purpose.RESET_PASSWORD], now)
        user = await find_by_id(session, _owner(token.user_id))
    if user is None or not user.is_active or user.email_key != token.email_key:
        raise InvalidMailToken
    refuse_known_words(resources, new_password, login=user.login, email=user.email, field="new_password")
    hashed = await resources.hasher.hash(new_password)
    await resources.denylist.must_be_there()
    async with resources.db.begin() as session:
        user = await lock_user(session, user.id)
        # Looked at again: until the lock the account may have been disabled, or have got another address.
        if user is None or not user.is_active or user.email_key != token.email_key:
            raise InvalidMailToken
        await mailed_tokens.use(session, token, resources.clock())
        if user.email_verified_at is None:
            user.email_verified_at = now
            await record(resources, session, EmailVerified(user_id=user.id))
        await replace_password(resources, session, user, hashed, how="reset")
        await end_all_in(resources, session, user.id, "password_reset", forget_devices=True)
        await attempts.clear_in(session, str(user.id))
        device_token = (await register_in(resources, session, user, None, client, trust=False)).token
    assert device_token is not None  # noqa: S101  the device is new
    return device_token


async def start_for(resources: Resources, caller: Principal | Actor, user_id: UUID) -> None:
    """By an admin, who must hold all that the user holds: the link is a step towards becoming that user.

    Raises NotFound, LackingYourself or AccountDisabled.
    """
    must_have_mail(resources)
    async with resources.db.begin() as session:
        actor, user = await may_act_on(resources, session, caller, user_id)
        if not user.is_active:
            raise AccountDisabled
        await send_link(resources, session, user, Purpose.RESET_PASSWORD)
        write_act(session, who(caller), Action.PASSWORD_RESET_SENT, Target("user", str(user_id)), at=resources.clock())
    log.info("password_reset_started", user_id=str(user_id), by=str(actor.user_id))


def _owner(user_id: UUID | None) -> UUID:
    assert user_id is not None  # noqa: S101  `find` returns no token without one
    return user_id
