"""An admin's view of accounts, and changes to them; no hash or secret is in any answer, and no password is set here."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.admin.accounts_schemas import AccountAnswer, AccountDetail, AccountsAnswer, AccountsQuery, Locks
from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import PermissionDenied
from auth_service.core.principal import Principal
from auth_service.events.kinds import Event, LoginChanged, ProfileChanged
from auth_service.events.outbox import record
from auth_service.locks import lock_access_rules, lock_user
from auth_service.mail.outbox import must_have_mail
from auth_service.mfa import service as mfa
from auth_service.mfa.schemas import MfaState
from auth_service.models import LoginAttempts, User
from auth_service.permissions.actor import Actor, load_actor, load_subject, who
from auth_service.permissions.checks import holds
from auth_service.roles.grants import grant_in, list_grants
from auth_service.roles.schemas import RoleGrantAnswer
from auth_service.sessions import devices
from auth_service.sessions.service import count_sessions
from auth_service.users import email as addresses
from auth_service.users import look_alikes, repository, service
from auth_service.users.admin_guard import may_act_on
from auth_service.users.identifiers import canonical_login
from auth_service.users.links import send_link
from auth_service.users.mailed_tokens import Purpose
from auth_service.users.naming import PERSONAL_DATA
from auth_service.users.search import Found, find_users, read_cursor, write_cursor

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewAccount:
    login: str
    email: str
    full_name: str | None
    roles: Collection[str]


async def list_accounts(resources: Resources, caller: Principal, query: AccountsQuery) -> AccountsAnswer:
    """By creation, the oldest first; raises ValidationFailed for a cursor that we did not give."""
    after = read_cursor(query.cursor)
    personal = await holds(resources, caller, PERSONAL_DATA)
    wanted = query.wanted(personal=personal)
    async with resources.db() as session:
        found = await find_users(session, wanted, resources.clock(), after=after, limit=query.limit + 1)
    shown = found[: query.limit]
    cursor = write_cursor(shown[-1].user.id) if len(found) > query.limit else None
    return AccountsAnswer(items=[_view(item, personal=personal) for item in shown], next_cursor=cursor)


async def read_account(resources: Resources, caller: Principal, user_id: UUID) -> AccountDetail:
    """Raises NotFound."""
    personal = await holds(resources, caller, PERSONAL_DATA)
    user = await service.get_user(resources, user_id)
    second_factor = await mfa.state(resources, user_id)
    view = _view(Found(user, second_factor.enabled), personal=personal)
    return AccountDetail(
        **view.model_dump(),
        roles=[RoleGrantAnswer.model_validate(grant) for grant in await list_grants(resources, user_id)],
        second_factor=MfaState.model_validate(second_factor),
        locks=await _locks(resources, user_id),
        sessions=await count_sessions(resources, user_id),
        devices=len(await devices.list_devices(resources, user_id)),
    )


async def create_account(resources: Resources, caller: Principal, new: NewAccount) -> UUID:
    """With the default role, a password that nobody knows, and a mail with the link to set one.

    Raises MailNotConfigured, LoginTaken, EmailTaken, NotFound for a role, or LackingYourself (RBAC-1).
    """
    must_have_mail(resources)
    hashed = await resources.hasher.hash(secrets.token_urlsafe(32))
    user = service.new_user(resources, login=new.login, email=new.email, full_name=new.full_name, password_hash=hashed)
    try:
        async with resources.db.begin() as session:
            await lock_access_rules(session)
            now = resources.clock()
            actor = await load_actor(session, caller, now, may="users:write")
            await service.add_in(resources, session, user, {resources.settings.default_role})
            if new.roles:
                actor = await load_actor(session, caller, now, may="roles:grant")
            for role in sorted(set(new.roles)):
                await grant_in(resources, session, actor, user.id, role, now=now, valid_from=now)
            service.record_creation(session, who(caller), user, new.roles)
            await send_link(resources, session, user, Purpose.RESET_PASSWORD)
    except IntegrityError as error:
        raise repository.taken(error) from None
    log.info("account_created", user_id=str(user.id))
    return user.id


async def change_account(
    resources: Resources, caller: Principal, user_id: UUID, changes: dict[str, Any], reason: str | None
) -> None:
    """`changes` holds only the fields that were sent; a new address is unconfirmed until its mailbox has answered.

    Raises NotFound, LackingYourself, PermissionDenied for oneself, LastSuperuser, LoginTaken, EmailTaken or
    MailNotConfigured.
    """
    if "email" in changes:
        must_have_mail(resources)
    try:
        async with (
            resources.denylist.announcing(user_id),
            resources.db.begin() as session,
            service.keeping_a_superuser(resources, session),
        ):
            actor = await _may_change(resources, session, caller, user_id, may="users:write")
            user = await lock_user(session, user_id)
            assert user is not None  # noqa: S101  it was there a moment ago, and deleting takes the access lock
            switched = changes.get("is_active") not in {None, user.is_active}
            if switched:
                await _switch(resources, session, actor, user, active=changes["is_active"])
            await _rename(resources, session, user, changes)
            if changes.get("email") not in {None, user.email}:
                await addresses.replace_in(resources, session, user, changes["email"])
            action, before, after = Action.USER_UPDATED, None, {}
            if switched:
                active: bool = changes["is_active"]
                action = Action.USER_ENABLED if active else Action.USER_DISABLED
                before, after = {"is_active": not active}, {"is_active": active}
            # Of all others which fields, not what is in them: the row outlives the account.
            write_act(
                session,
                who(caller),
                action,
                Target("user", str(user_id)),
                at=resources.clock(),
                before=before,
                after={"changed": sorted(changes), **after},
                reason=reason,
            )
    except IntegrityError as error:
        raise repository.taken(error) from None
    log.warning("account_changed_by_admin", user_id=str(user_id), fields=sorted(changes))


async def delete_account(resources: Resources, caller: Principal, user_id: UUID, reason: str) -> None:
    """Raises NotFound, LackingYourself, PermissionDenied for oneself, or LastSuperuser."""
    async with (
        resources.denylist.announcing(user_id),
        resources.db.begin() as session,
        service.keeping_a_superuser(resources, session),
    ):
        await _may_change(resources, session, caller, user_id, may="users:delete")
        await service.delete_in(resources, session, user_id)
        target = Target("user", str(user_id))
        write_act(session, who(caller), Action.USER_DELETED, target, at=resources.clock(), reason=reason)
    log.warning("account_deleted_by_admin", user_id=str(user_id))


async def _may_change(
    resources: Resources, session: AsyncSession, caller: Principal, user_id: UUID, *, may: str
) -> Actor:
    # A stolen session must not be enough: one's own account asks for the password.
    if not caller.is_service and caller.subject == user_id:
        raise PermissionDenied("Your own account is changed and deleted at /api/v1/users/me.")
    actor, _ = await may_act_on(resources, session, caller, user_id, may=may)
    return actor


async def _switch(resources: Resources, session: AsyncSession, actor: Actor, user: User, *, active: bool) -> None:
    if active:
        # Enabling gives the user's roles back, so it is judged as granting them would be (RBAC-1).
        for pattern, grants in (await load_subject(session, user.id)).grants.items():
            ends = [grant.valid_until for grant in grants if grant.valid_until is not None]
            actor.must_hold([pattern], until=max(ends) if len(ends) == len(grants) else None)
    await service.set_active_in(resources, session, user.id, active)


async def _rename(resources: Resources, session: AsyncSession, user: User, changes: dict[str, Any]) -> None:
    name_before, login_before = user.full_name, user.login
    user.full_name = changes.get("full_name", name_before)
    user.login = changes.get("login", login_before)
    user.login_key = canonical_login(user.login)
    user.updated_at = resources.clock()
    await session.flush()
    events: list[Event] = []
    if user.full_name != name_before:
        events.append(ProfileChanged(user_id=user.id, full_name=user.full_name))
    if user.login != login_before:
        await look_alikes.claim(session, user, before=login_before)
        events.append(LoginChanged(user_id=user.id, username=user.login))
    await record(resources, session, *events)


async def _locks(resources: Resources, user_id: UUID) -> Locks:
    settings, now = resources.settings, resources.clock()
    async with resources.db() as session:
        logins = await session.get(LoginAttempts, str(user_id))
        codes = await session.get(LoginAttempts, mfa.budget_key(user_id))
    window = timedelta(seconds=settings.login_lock_seconds)
    return Locks(
        logins_locked_until=_locked_until(logins, settings.login_failure_limit, window, now),
        closed_to_strangers=logins is not None and logins.unbroken >= settings.login_total_failure_limit,
        codes_locked_until=_locked_until(codes, mfa.BUDGET, mfa.BUDGET_WINDOW, now),
    )


def _locked_until(row: LoginAttempts | None, limit: int, window: timedelta, now: datetime) -> datetime | None:
    if row is None or row.failures < limit or row.last_at + window <= now:
        return None
    return row.last_at + window


def _view(found: Found, *, personal: bool) -> AccountAnswer:
    user = found.user
    return AccountAnswer(
        id=user.id,
        login=user.login,
        email=user.email if personal else None,
        full_name=user.full_name if personal else None,
        email_verified=user.email_verified,
        mfa=found.mfa,
        is_active=user.is_active,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )
