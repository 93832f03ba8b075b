"""What one can do to somebody's account, each on a page of its own that says what it means."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from auth_service.admin import accounts, support
from auth_service.admin.accounts_schemas import AccountDetail, AccountPatch, Reason, RemovalBody
from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.mfa import service as mfa
from auth_service.mfa.schemas import ResetSecondFactorBody
from auth_service.pages import notices
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin
from auth_service.pages.form import Form
from auth_service.users import forgotten_password

Do = Callable[[Resources, Principal, UUID, Form], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Act:
    """`fits`: whether there is something to do; `typed`: the login has to be typed, since nothing brings it back."""

    name: str
    title: str
    means: str
    do: Do
    notice: str
    fits: Callable[[AccountDetail], bool] = lambda account: True
    code: str = "users:write"
    reason: bool = False
    typed: bool = False
    on_oneself: bool = True
    danger: bool = False


class SwitchBody(AccountPatch):
    """The API's own, which asks for a reason in this case only."""

    reason: Reason


async def _disable(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await _switch(resources, caller, user_id, form.read(SwitchBody, is_active=False))


async def _enable(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await _switch(resources, caller, user_id, form.read(SwitchBody, is_active=True))


async def _switch(resources: Resources, caller: Principal, user_id: UUID, body: SwitchBody) -> None:
    await accounts.change_account(resources, caller, user_id, {"is_active": body.is_active}, body.reason)


async def _delete(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await accounts.delete_account(resources, caller, user_id, form.read(RemovalBody).reason)


async def _unlock(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await support.unlock(resources, caller, user_id)


async def _log_out(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await support.log_out_all(resources, caller, user_id)


async def _reset_second_factor(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await mfa.reset(resources, caller, user_id, form.read(ResetSecondFactorBody).reason)


async def _send_reset(resources: Resources, caller: Principal, user_id: UUID, form: Form) -> None:
    await forgotten_password.start_for(resources, caller, user_id)


ACTS = (
    Act(
        "unlock",
        N_("Unlock"),
        N_("After many wrong passwords or codes an account is closed for a while. This gives all tries back."),
        _unlock,
        notices.USER_UNLOCKED,
    ),
    Act(
        "send-password-reset",
        N_("Send a link to set a password"),
        N_("The link goes to the address of the account. Nobody else sees it, you neither."),
        _send_reset,
        notices.USER_RESET_SENT,
        fits=lambda account: account.is_active,
    ),
    Act(
        "log-out",
        N_("Sign out everywhere"),
        N_("Ends every session. Known devices are forgotten, so the next sign-in asks for everything again."),
        _log_out,
        notices.USER_LOGGED_OUT,
    ),
    Act(
        "reset-second-factor",
        N_("Turn two-step sign-in off"),
        N_("For somebody who lost phone and recovery codes. Make sure who asks: the password alone is enough then."),
        _reset_second_factor,
        notices.USER_MFA_RESET,
        fits=lambda account: account.second_factor.enabled,
        reason=True,
        danger=True,
    ),
    Act(
        "disable",
        N_("Disable the account"),
        N_("It can do nothing and sign in nowhere until somebody enables it. Its roles stay for that day."),
        _disable,
        notices.USER_DISABLED,
        fits=lambda account: account.is_active,
        reason=True,
        on_oneself=False,
        danger=True,
    ),
    Act(
        "enable",
        N_("Enable the account"),
        N_("It can sign in again, with the roles that it had."),
        _enable,
        notices.USER_ENABLED,
        fits=lambda account: not account.is_active,
        reason=True,
        on_oneself=False,
    ),
    Act(
        "delete",
        N_("Delete the account"),
        N_("The account, its sessions, devices and history are deleted for good. Nobody can bring them back."),
        _delete,
        notices.USER_DELETED,
        code="users:delete",
        reason=True,
        typed=True,
        on_oneself=False,
        danger=True,
    ),
)


def offered(me: Admin, account: AccountDetail) -> list[Act]:
    own = account.id == me.id
    return [act for act in ACTS if me.may(act.code) and act.fits(account) and (act.on_oneself or not own)]
