"""The second factor: enrol, check a code within its own budget, recover, reset."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.trail import Action, Target, write_act
from auth_service.core.connections import Resources
from auth_service.core.errors import AppError, Conflict, PermissionDenied, Unauthenticated
from auth_service.core.principal import Principal
from auth_service.core.schemas import without_gaps
from auth_service.events import kinds
from auth_service.events.outbox import record
from auth_service.locks import lock_user
from auth_service.mail.outbox import enqueue
from auth_service.mail.texts import MailKind
from auth_service.mfa import recovery_codes, repository, totp
from auth_service.models import Totp, User
from auth_service.permissions.actor import Actor, who
from auth_service.permissions.keepers import keeping_administration
from auth_service.sessions.repository import find_own, mark_second_factor
from auth_service.sessions.service import end_all_in, end_others_in, idle_life
from auth_service.users import attempts
from auth_service.users.admin_guard import may_act_on
from auth_service.users.service import confirm_password, lock_confirmed

log = structlog.get_logger(__name__)

BUDGET, BUDGET_WINDOW = 10, timedelta(hours=1)
MOST_MISSES = 100  # in a row: from then on only a recovery code gets in (MFA-4)
PENDING_LIFE = timedelta(minutes=15)


class WrongCode(AppError):
    """The same for a wrong, an old and a repeated code, and for a budget that is used up."""

    status, code, detail = 403, "wrong_code", "The code is wrong or was used before."


class MfaEnabled(Conflict):
    code, detail = "mfa_enabled", "A second factor is in use; disable it first."


class MfaNotEnabled(Conflict):
    code, detail = "mfa_not_enabled", "No second factor is in use."


class NoEnrolment(Conflict):
    code, detail = "no_enrolment", "There is no enrolment to confirm, or it is older than 15 minutes; start again."


@dataclass(frozen=True, slots=True)
class State:
    enabled: bool
    confirmed_at: datetime | None
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class StartedEnrolment:
    secret: str
    otpauth_uri: str
    qr_svg: str
    qr_png: str


async def state(resources: Resources, user_id: UUID) -> State:
    confirmed_at, left = await repository.state_of(resources.hot, user_id)
    return State(confirmed_at is not None, confirmed_at, left)


async def start_enrolment(
    resources: Resources, user_id: UUID, session_id: UUID, current_password: str
) -> StartedEnrolment:
    """A pending secret, which changes nothing until it is confirmed (MFA-6); raises MfaEnabled."""
    confirmed = await confirm_password(resources, user_id, session_id, current_password)
    secret = totp.new_secret()
    sealed = resources.secrets.seal(secret.encode(), bound_to=_bound_to(user_id))
    async with resources.db.begin() as session:
        user = await lock_confirmed(session, confirmed)
        if not await repository.replace_pending(session, user_id, sealed, resources.clock()):
            raise MfaEnabled
    uri = totp.otpauth_uri(secret, user.login, resources.settings.issuer_name)
    # Drawing takes 50 ms and more: not on the event loop.
    svg, png = await asyncio.to_thread(lambda: (totp.qr_svg(uri), totp.qr_png(uri)))
    return StartedEnrolment(secret, uri, svg, png)


async def confirm_enrolment(resources: Resources, user_id: UUID, session_id: UUID, code: str) -> list[str]:
    """Recovery codes, shown once; the user's other sessions end. Raises NoEnrolment or WrongCode.

    Raises Unauthenticated where the session ended while the codes were hashed: else a thief who was just thrown out
    could lock the owner out.
    """
    now = resources.clock()
    async with resources.denylist.announcing(user_id):
        async with resources.db() as session:
            row = await repository.find_totp(session, user_id)
        if row is None or row.confirmed_at is not None or row.created_at + PENDING_LIFE <= now:
            raise NoEnrolment
        await _take_try(resources, user_id)
        step = totp.matching_step(_opened(resources, row), code, now)
        if step is None:
            raise WrongCode
        codes, rows = await _hashed_codes(resources)
        await resources.denylist.must_be_there()  # or the codes would be lost with the answer
        async with resources.db.begin() as session:
            user = await lock_user(session, user_id)
            if user is None or await find_own(session, user_id, session_id, now, idle_life(resources)) is None:
                raise Unauthenticated
            if not await repository.confirm(session, user_id, row.sealed_secret, step, now):
                raise NoEnrolment
            await repository.replace_codes(session, user_id, rows)
            await end_others_in(resources, session, user_id, session_id, "mfa_enabled", forget_devices=True)
            # The code was shown in this session; there is no need to ask for the next one at once.
            await mark_second_factor(session, session_id, now)
            await _tell(resources, session, user, kinds.MfaEnabled(user_id=user_id), MailKind.MFA_ENABLED)
            await attempts.clear_in(session, budget_key(user_id))
    log.info("mfa_enabled", user_id=str(user_id))
    return codes


async def bring_in(resources: Resources, session: AsyncSession, seeds: Mapping[UUID, str]) -> None:
    """Authenticators that new accounts go on using, by their ids; in the transaction that makes the accounts.

    Their owners had confirmed them elsewhere. They have no recovery codes until they make some.
    """
    now = resources.clock()
    rows = [
        {
            "user_id": user_id,
            "sealed_secret": resources.secrets.seal(seed.encode(), bound_to=_bound_to(user_id)),
            "created_at": now,
            "confirmed_at": now,
        }
        for user_id, seed in seeds.items()
    ]
    await repository.add_confirmed(session, rows)
    await record(resources, session, *(kinds.MfaEnabled(user_id=user_id) for user_id in seeds))


async def disable(resources: Resources, user_id: UUID, session_id: UUID, current_password: str, code: str) -> None:
    """Password and code (MFA-7); the user's other sessions end. Raises WouldShutOut for who alone can administer."""
    async with resources.denylist.announcing(user_id):
        confirmed = await confirm_password(resources, user_id, session_id, current_password)
        await resources.denylist.must_be_there()  # or a code would be used up for a 503
        await check_code(resources, user_id, code)
        async with resources.db.begin() as session, keeping_administration(resources, session):
            user = await lock_confirmed(session, confirmed)
            await repository.delete_all(session, user_id)
            await end_others_in(resources, session, user_id, session_id, "mfa_disabled", forget_devices=True)
            await mark_second_factor(session, session_id, None)
            await _tell(resources, session, user, kinds.MfaDisabled(user_id=user_id), MailKind.MFA_DISABLED)
    log.info("mfa_disabled", user_id=str(user_id))


async def new_recovery_codes(
    resources: Resources, user_id: UUID, session_id: UUID, current_password: str, code: str
) -> list[str]:
    """The old set is void."""
    confirmed = await confirm_password(resources, user_id, session_id, current_password)
    await check_code(resources, user_id, code)
    codes, rows = await _hashed_codes(resources)
    async with resources.db.begin() as session:
        user = await lock_confirmed(session, confirmed)
        if await repository.find_confirmed(session, user_id) is None:
            raise MfaNotEnabled
        await repository.replace_codes(session, user_id, rows)
        await _tell(
            resources, session, user, kinds.RecoveryCodesRenewed(user_id=user_id), MailKind.RECOVERY_CODES_RENEWED
        )
    return codes


async def check_code(resources: Resources, user_id: UUID, code: str) -> None:
    """Uses up a TOTP or a recovery code, of a form that the schemas let through; raises WrongCode or MfaNotEnabled.

    Ten tries an hour, whatever the path.
    """
    async with resources.db() as session:
        row = await repository.find_confirmed(session, user_id)
    if row is None:
        raise MfaNotEnabled
    await _take_try(resources, user_id)
    if totp.is_totp_code(code):
        await _use_totp(resources, row, code)
    else:
        await _use_recovery_code(resources, user_id, code)
    await attempts.clear(resources, budget_key(user_id))


async def reset(resources: Resources, caller: Principal | Actor, user_id: UUID, reason: str) -> None:
    """For a viewer who lost phone and codes: no second factor any more, and no session.

    The caller must hold all that the user holds: it is a step towards becoming that user. Raises NotFound,
    LackingYourself, PermissionDenied for oneself (a stolen session must not be enough), MfaNotEnabled, or
    WouldShutOut; that not to the operator, who is the way out for an only superuser without the phone.
    """
    async with (
        resources.denylist.announcing(user_id),
        resources.db.begin() as session,
        _keeping(resources, session, caller),
    ):
        if isinstance(caller, Principal) and caller.subject == user_id:
            raise PermissionDenied("Your own second factor is disabled with your password and a code.")
        actor, user = await may_act_on(resources, session, caller, user_id)
        if not await repository.delete_all(session, user_id):
            raise MfaNotEnabled
        await end_all_in(resources, session, user_id, "mfa_reset", forget_devices=True)
        await attempts.clear_in(session, budget_key(user_id))
        await _tell(resources, session, user, kinds.MfaReset(user_id=user_id, by=actor.user_id), MailKind.MFA_DISABLED)
        write_act(
            session, who(caller), Action.MFA_RESET, Target("user", str(user_id)), at=resources.clock(), reason=reason
        )
    log.warning("mfa_reset", user_id=str(user_id))


def _keeping(
    resources: Resources, session: AsyncSession, caller: Principal | Actor
) -> AbstractAsyncContextManager[None]:
    return nullcontext() if isinstance(caller, Actor) else keeping_administration(resources, session)


async def _use_totp(resources: Resources, row: Totp, code: str) -> None:
    if row.misses >= MOST_MISSES:
        raise WrongCode
    step = totp.matching_step(_opened(resources, row), code, resources.clock())
    async with resources.db.begin() as session:
        if step is None:
            await repository.count_miss(session, row.user_id)
            accepted = False
        else:
            accepted = await repository.use_step(session, row.user_id, row.sealed_secret, step)
    if step is not None and not accepted:
        await attempts.give_back(resources, budget_key(row.user_id))  # a replay is no guess
    if not accepted:
        raise WrongCode
    await _seal_anew(resources, row)


async def reseal_all(resources: Resources) -> int:
    """How many seeds SECRET_KEY_PREVIOUS opened and SECRET_KEY seals now; raises CannotOpen."""
    count, after = 0, UUID(int=0)
    while True:
        async with resources.db() as session:
            rows = await repository.totp_after(session, after)
        if not rows:
            return count
        count += sum([await _seal_anew(resources, row) for row in rows])
        after = rows[-1].user_id


async def _seal_anew(resources: Resources, row: Totp) -> bool:
    """A seed that SECRET_KEY_PREVIOUS opened is sealed with SECRET_KEY, so that the old key can go one day."""
    bound_to = _bound_to(row.user_id)
    if resources.secrets.is_current(row.sealed_secret, bound_to=bound_to):
        return False
    sealed = resources.secrets.seal(_opened(resources, row).encode(), bound_to=bound_to)
    async with resources.db.begin() as session:
        await repository.replace_seal(session, row.user_id, row.sealed_secret, sealed)
    return True


async def _use_recovery_code(resources: Resources, user_id: UUID, code: str) -> None:
    finder, secret = recovery_codes.split(code)
    async with resources.db() as session:
        row = await repository.find_code(session, user_id, finder)
    async with resources.hasher.slot() as slot:
        if row is None:
            await slot.verify_nobody(secret)
            raise WrongCode
        matches, _ = await slot.verify(secret, row.code_hash)
    if not matches:
        raise WrongCode
    async with resources.db.begin() as session:
        user = await lock_user(session, user_id)  # before the code's row, in the order of a deletion
        if user is None or not await repository.use_code(session, user_id, row.code_hash, resources.clock()):
            raise WrongCode
        await repository.forget_misses(session, user_id)
        await _tell(resources, session, user, kinds.RecoveryCodeUsed(user_id=user_id), MailKind.RECOVERY_CODE_USED)
    log.info("recovery_code_used", user_id=str(user_id))


async def _tell(
    resources: Resources, session: AsyncSession, user: User, event: kinds.UserEvent, kind: MailKind
) -> None:
    """The user by mail, the others by an event; in the transaction of what it tells of (PWD-7)."""
    await enqueue(resources, session, user, kind)
    await record(resources, session, event)


async def _hashed_codes(resources: Resources) -> tuple[list[str], list[dict[str, str]]]:
    codes = recovery_codes.new_codes()
    rows = []
    for code in codes:
        finder, secret = recovery_codes.split(without_gaps(code))
        rows.append({"finder": finder, "code_hash": await resources.hasher.hash(secret)})
    return codes, rows


async def _take_try(resources: Resources, user_id: UUID) -> None:
    if not await attempts.take(resources, budget_key(user_id), limit=BUDGET, window=BUDGET_WINDOW):
        raise WrongCode


def _opened(resources: Resources, row: Totp) -> str:
    return resources.secrets.unseal(row.sealed_secret, bound_to=_bound_to(row.user_id)).decode()


def _bound_to(user_id: UUID) -> str:
    return f"totp:{user_id}"  # one user's sealed secret opens for no other (MFA-1)


def budget_key(user_id: UUID) -> str:
    """Of `users.attempts`."""
    return f"mfa:{user_id}"
