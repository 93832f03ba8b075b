"""Accounts: made, changed, disabled, deleted."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, Who, operator, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import Conflict, LastSuperuser, WrongPassword, existing
from auth_service.core.passwords.hashing import normalize
from auth_service.events.kinds import (
    LoginChanged,
    NewUser,
    ProfileChanged,
    RoleGranted,
    UserActivated,
    UserDeactivated,
    UserDeleted,
)
from auth_service.events.outbox import erase_user, record
from auth_service.locks import lock_access_rules, lock_user
from auth_service.models import User, UserRole, new_id
from auth_service.permissions.keepers import keeping_administration
from auth_service.sessions.repository import delete_history, origin_of
from auth_service.sessions.service import end_all_in, end_others_in
from auth_service.users import attempts, look_alikes, repository
from auth_service.users.credentials import Origin, Outcome, verify_password
from auth_service.users.identifiers import canonical_email, canonical_login
from auth_service.users.links import may_mail, send_link
from auth_service.users.mailed_tokens import Purpose
from auth_service.users.password_change import refuse_known_words, replace_password, void_what_waits

One = TypeVar("One", User, repository.Account)


class PasswordChanged(Conflict):
    code, detail = "password_changed", "The password was changed meanwhile; log in again."


class SuperuserExists(Conflict):
    detail = (
        "There is a superuser already, who can grant the role. If none of them can log in, add --another-superuser."
    )


async def create_user(
    resources: Resources,
    *,
    login: str,
    email: str,
    password: str,
    full_name: str | None = None,
    role: str | None = None,
    only_first: bool = False,
    verify: bool = False,
    by: Who | None = None,
) -> User:
    """With the default role, and with `role` for the operator's command line.

    Raises ValidationFailed for a password made of login, mailbox and brand, LoginTaken or EmailTaken. `only_first`
    raises SuperuserExists where there is a superuser (SEC-3); `verify` mails a link that confirms the address, unless
    that mailbox got too many within the hour. `by`: who made it for somebody else.
    """
    refuse_known_words(resources, password, login=login, email=email, field="password")
    hashed = await resources.hasher.hash(password)
    user = new_user(resources, login=login, email=email, full_name=full_name, password_hash=hashed)
    extra = [] if role is None else [role]
    try:
        async with resources.db.begin() as session:
            if only_first:
                await lock_access_rules(session)
                if any(await repository.count_superusers(session, user.created_at)):
                    raise SuperuserExists
            await add_in(resources, session, user, {resources.settings.default_role, *extra})
            if by is not None:
                record_creation(session, by, user, extra)
            if verify and await may_mail(resources, user.email_key):
                await send_link(resources, session, user, Purpose.VERIFY_EMAIL)
    except IntegrityError as error:
        raise repository.taken(error) from None
    return user


def new_user(resources: Resources, *, login: str, email: str, full_name: str | None, password_hash: str) -> User:
    """Not stored yet; raises ValueError for a login or an address that the schemas would refuse."""
    now = resources.clock()
    address, email_key = canonical_email(email)
    return User(
        id=new_id(),
        login=login,
        login_key=canonical_login(login),
        email=address,
        email_key=email_key,
        full_name=full_name,
        password_hash=password_hash,
        created_at=now,
        updated_at=now,
    )


async def add_in(resources: Resources, session: AsyncSession, user: User, roles: Collection[str]) -> None:
    """In the caller's transaction, with grants from the moment of its creation and without an end.

    Raises LoginTaken where another account's login looks the same.
    """
    session.add(user)
    await look_alikes.claim(session, user)
    since = user.created_at
    created = NewUser(user_id=user.id, username=user.login, full_name=user.full_name, created_at=since)
    await record(resources, session, created)
    session.add_all(UserRole(user_id=user.id, role_name=name, valid_from=since, granted_at=since) for name in roles)
    dates = {"valid_from": since, "valid_until": None}
    granted = [RoleGranted(user_id=user.id, role=name, by=None, **dates) for name in roles]
    await record(resources, session, *granted)


def record_creation(session: AsyncSession, by: Who, user: User, roles: Collection[str]) -> None:
    """`roles`: those beside the default one. The login and the address stay out: the row outlives the account."""
    after = {"roles": list(roles)}
    write_act(session, by, Action.USER_CREATED, Target("user", str(user.id)), at=user.created_at, after=after)


async def get_account(resources: Resources, user_id: UUID) -> repository.Account:
    """Raises NotFound."""
    account = await repository.find_account(resources.hot, user_id)
    if account is None:
        await resources.denylist.publish_of(user_id)  # "there is no such user" tells that its tokens are dead
    return existing(account, "user")


async def get_user(resources: Resources, user_id: UUID) -> User:
    """As `get_account`."""
    async with resources.db() as session:
        user = await repository.find_by_id(session, user_id)
    if user is None:
        await resources.denylist.publish_of(user_id)
    return existing(user, "user")


async def find_by_login_or_email(resources: Resources, key: str, *, is_email: bool) -> User | None:
    async with resources.db() as session:
        return await repository.find_by_key(session, key, is_email=is_email)


async def update_profile(resources: Resources, user_id: UUID, changes: dict[str, str | None]) -> User:
    """`changes` holds only the fields that were sent."""
    async with resources.db.begin() as session:
        user = existing(await lock_user(session, user_id), "user")
        name_before = user.full_name
        for name, value in changes.items():
            setattr(user, name, value)
        user.updated_at = resources.clock()
        if user.full_name != name_before:
            await record(resources, session, ProfileChanged(user_id=user_id, full_name=user.full_name))
    return user


async def change_login(
    resources: Resources, user_id: UUID, session_id: UUID, login: str, current_password: str
) -> User:
    """Asks for the password again; raises WrongPassword, PasswordChanged or LoginTaken."""
    confirmed = await confirm_password(resources, user_id, session_id, current_password)
    try:
        async with resources.db.begin() as session:
            user = await lock_confirmed(session, confirmed)
            before = user.login
            user.login, user.login_key = login, canonical_login(login)
            user.updated_at = resources.clock()
            if user.login != before:
                await look_alikes.claim(session, user, before=before)
                await record(resources, session, LoginChanged(user_id=user_id, username=login))
    except IntegrityError as error:
        raise repository.taken(error) from None
    return user


async def change_password(
    resources: Resources, user_id: UUID, session_id: UUID, current_password: str, new_password: str
) -> None:
    """Ends the user's other sessions in the same step (PWD-7)."""
    async with resources.denylist.announcing(user_id):
        confirmed = await confirm_password(resources, user_id, session_id, current_password)
        refuse_known_words(resources, new_password, login=confirmed.login, email=confirmed.email, field="new_password")
        hashed = await resources.hasher.hash(new_password)
        await resources.denylist.must_be_there()  # or a retry after the 503 would find the old password wrong
        async with resources.db.begin() as session:
            user = await lock_confirmed(session, confirmed)
            await replace_password(resources, session, user, hashed, how="changed")
            await end_others_in(resources, session, user_id, session_id, "password_changed", forget_devices=True)


async def set_password(resources: Resources, user_id: UUID, new_password: str) -> None:
    """The operator's way: no current password, and every session ends; raises ValidationFailed as `create_user`."""
    known = await get_user(resources, user_id)
    refuse_known_words(resources, new_password, login=known.login, email=known.email, field="password")
    hashed = await resources.hasher.hash(normalize(new_password))
    async with resources.denylist.announcing(user_id), resources.db.begin() as session:
        await end_all_in(resources, session, user_id, "password_set", forget_devices=True)
        user = existing(await repository.find_by_id(session, user_id), "user")
        await replace_password(resources, session, user, hashed, how="set_by_operator")
        write_act(session, operator(), Action.PASSWORD_SET, Target("user", str(user_id)), at=resources.clock())


async def set_active(resources: Resources, user_id: UUID, active: bool) -> User:
    """The operator's way. A disabled user's tokens are dead when this returns (LOG-10); raises LastSuperuser."""
    async with (
        resources.denylist.announcing(user_id),
        resources.db.begin() as session,
        keeping_a_superuser(resources, session),
    ):
        was = existing(await lock_user(session, user_id), "user").is_active
        user = await set_active_in(resources, session, user_id, active)
        action = Action.USER_ENABLED if active else Action.USER_DISABLED
        # Written if nothing changed too, since sessions end in any case: so it says what was.
        before, after = {"is_active": was}, {"is_active": active}
        target = Target("user", str(user_id))
        write_act(session, operator(), action, target, at=resources.clock(), before=before, after=after)
    return user


async def set_active_in(resources: Resources, session: AsyncSession, user_id: UUID, active: bool) -> User:
    """In the caller's transaction, which keeps a superuser; the caller is `announcing`."""
    if not active:
        await end_all_in(resources, session, user_id, "deactivated", forget_devices=True)
    user = existing(await lock_user(session, user_id), "user")
    changed = user.is_active != active
    if not active:
        await void_what_waits(session, user)  # else it would be good again with the account
    user.is_active = active
    user.updated_at = resources.clock()
    if changed:
        event = UserActivated(user_id=user_id) if active else UserDeactivated(user_id=user_id)
        await record(resources, session, event)
    return user


async def delete_user(
    resources: Resources, user_id: UUID, *, by: Who | None = None, confirmed: User | None = None
) -> None:
    """The account and all that is kept of it, but for the denials of its tokens until those expire, its events, which
    lose name and address, and its rows of the audit trail, which have only its id.

    `by`: who deletes it for somebody else. Raises LastSuperuser, or PasswordChanged where its owner's confirmation is
    out of date.
    """
    async with (
        resources.denylist.announcing(user_id),
        resources.db.begin() as session,
        keeping_a_superuser(resources, session),
    ):
        if confirmed is not None:
            await lock_confirmed(session, confirmed)
        await delete_in(resources, session, user_id)
        if by is not None:
            write_act(session, by, Action.USER_DELETED, Target("user", str(user_id)), at=resources.clock())


async def delete_in(resources: Resources, session: AsyncSession, user_id: UUID) -> None:
    """In the caller's transaction, which keeps a superuser; the caller is `announcing`."""
    await end_all_in(resources, session, user_id, "deleted")
    await repository.leave_grant_jobs(session, user_id)
    await session.delete(existing(await lock_user(session, user_id), "user"))  # the foreign keys take most with it
    await record(resources, session, UserDeleted(user_id=user_id))
    await erase_user(session, user_id)
    await delete_history(session, user_id)
    await attempts.forget_user(session, user_id)


async def delete_own_account(resources: Resources, user_id: UUID, session_id: UUID, current_password: str) -> None:
    confirmed = await confirm_password(resources, user_id, session_id, current_password)
    await delete_user(resources, user_id, confirmed=confirmed)


@asynccontextmanager
async def keeping_a_superuser(resources: Resources, session: AsyncSession) -> AsyncIterator[None]:
    """Around a change of who is active or has what; one at a time (RBAC-2).

    Rolled back with LastSuperuser if no active permanent superuser is left, or as by `keeping_administration`.
    """
    async with keeping_administration(resources, session):
        # Each time the clock of that moment: a grant renewed a moment before would seem not to have begun.
        serving_before, appointed_before = await repository.count_superusers(session, resources.clock())
        yield
        await session.flush()
        serving, appointed = await repository.count_superusers(session, resources.clock())
        # `appointed` too: to a worker whose clock is behind, one who was just renewed does not serve yet.
        if not serving and (serving < serving_before or appointed < appointed_before):
            raise LastSuperuser


async def confirm_password(resources: Resources, user_id: UUID, session_id: UUID, password: str) -> User:
    """The user as it was before the check; raises WrongPassword. Shares the budget of the device's logins (LOG-5)."""
    user = await get_user(resources, user_id)
    ip, device_id = await origin_of(resources.hot, session_id)
    if await verify_password(resources, user, user.login_key, password, Origin(ip, device_id)) is not Outcome.RIGHT:
        raise WrongPassword
    return user


async def lock_confirmed(session: AsyncSession, confirmed: User) -> User:
    """The row of a user who was asked for the password, locked before any other row of theirs.

    Raises PasswordChanged where what ends sessions happened since then: a thief who was just thrown out gets no
    last word. NotFound where the account was deleted.
    """
    user = existing(await lock_user(session, confirmed.id), "user")
    if user.credentials_version != confirmed.credentials_version:
        raise PasswordChanged
    return user
