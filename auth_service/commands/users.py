"""auth-service users …"""

from collections.abc import Sequence
from typing import Annotated

import typer

from auth_service.admin import support as admin
from auth_service.admin.accounts_schemas import Reason, Search
from auth_service.audit.trail import operator
from auth_service.commands.moving_in import import_accounts
from auth_service.commands.running import (
    BAD_SETTING,
    as_typed,
    ask,
    ask_password,
    at_terminal,
    confirmed,
    find_user,
    print_rows,
    read_moment,
    run,
    stop,
)
from auth_service.core.confusables import look
from auth_service.core.connections import Resources
from auth_service.core.errors import EmailTaken, LoginTaken, NotFound
from auth_service.core.passwords.hashing import check_rules
from auth_service.mail.addresses import shown
from auth_service.mfa import service as second_factor
from auth_service.models import User
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.decision import Grant
from auth_service.permissions.why import permissions_at
from auth_service.users import forgotten_password, repository, service
from auth_service.users.identifiers import canonical_email, canonical_login
from auth_service.users.look_alikes import taken_looks
from auth_service.users.new_login import free_login
from auth_service.users.schemas import Email, FullName, Login
from auth_service.users.search import Found, UserFilter, find_users

app = typer.Typer(help="Accounts.", no_args_is_help=True)
Who = Annotated[str, typer.Argument(help="Id, login or e-mail address.")]


@app.command("list")
def list_users(  # noqa: PLR0917  typer makes options of them
    search: Annotated[str | None, typer.Option(help="Part of a login, an e-mail address or a name.")] = None,
    role: Annotated[str | None, typer.Option(help="Who has it by an active grant.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--disabled")] = None,
    verified: Annotated[bool | None, typer.Option("--verified/--unverified", help="The e-mail address.")] = None,
    mfa: Annotated[bool | None, typer.Option("--mfa/--no-mfa", help="A second factor in use.")] = None,
    since: Annotated[str | None, typer.Option(help="Created at that time or later: 2030-01-31T12:00:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="Created before that time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Accounts, oldest first; the table says less than --json, to fit on 80 columns."""
    start, end = read_moment(since), read_moment(until)
    if start is not None and end is not None and start > end:
        stop("--since must not lie after --until")
    wanted = UserFilter(
        search=as_typed(Search | None, "search", search),
        role=role,
        active=active,
        email_verified=verified,
        mfa=mfa,
        created_since=start,
        created_until=end,
    )

    async def action(resources: Resources) -> Sequence[Found]:
        async with resources.db() as session:
            return await find_users(session, wanted, resources.clock(), limit=limit)

    found = run(action)
    print_rows([_whole(item) if json else _in_short(item) for item in found], as_json=json)


@app.command()
def permissions(
    who: Who,
    at: Annotated[str | None, typer.Option(help="2030-01-31T12:00:00Z; default: now")] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """What a user's active grants give: now, at a coming moment, or at one that has passed."""
    asked = read_moment(at)

    async def action(resources: Resources) -> list[Grant]:
        user = await find_user(resources, who)
        return await permissions_at(resources, user.id, asked)

    rows = [
        {
            "permission": grant.pattern,
            "role": grant.role,
            "via": grant.via,
            "valid_from": grant.valid_from,
            "valid_until": grant.valid_until,
        }
        for grant in run(action)
    ]
    print_rows(rows, as_json=json)


@app.command()
def create(
    login: Annotated[
        str | None,
        typer.Argument(metavar="[LOGIN]", show_default=False, help="Left out: asked for, or what stands before the @."),
    ] = None,
    email: Annotated[str | None, typer.Argument(metavar="EMAIL", show_default=False, help="Alone is enough.")] = None,
    full_name: Annotated[str | None, typer.Option()] = None,
    superuser: Annotated[bool, typer.Option("--superuser", help="Make the first superuser.")] = False,
    another: Annotated[bool, typer.Option("--another-superuser", help="Make one although there is one.")] = False,
) -> None:
    """An account; the password is asked for, or read from standard input."""
    given, address = _login_and_email(login, email)
    full_name = as_typed(FullName | None, "full name", full_name)
    only_first = superuser and not another

    def free(wanted: str | None) -> str:
        return run(lambda resources: _free(resources, wanted, address, only_first=only_first))

    # Before anybody types a password for nothing.
    chosen = given if given is not None and not at_terminal() else free(given)
    if given is None and at_terminal():
        offered, chosen = chosen, ask("Login", canonical_login, offered=chosen)
        if chosen != offered:
            free(chosen)
    password = ask_password(check_rules)

    async def action(resources: Resources) -> User:
        role = repository.SUPERUSER if superuser or another else None
        return await service.create_user(
            resources,
            login=chosen,
            email=address,
            password=password,
            full_name=full_name,
            role=role,
            only_first=only_first,
            by=operator(),
        )

    typer.echo(f"created {run(action).id}")
    if given is None:
        typer.echo(f"login {chosen}")


def _login_and_email(login: str | None, email: str | None) -> tuple[str | None, str]:
    """Whichever was given in whichever order: only an address has an @. Stops for what is no login or no address."""
    if login is not None and "@" in login and "@" not in (email or ""):
        login, email = email, login
    login = as_typed(Login | None, "login", login)
    if email is None:
        if not at_terminal():
            stop("Give the e-mail address: auth-service users create [LOGIN] EMAIL", BAD_SETTING)
        email = ask("E-mail address", canonical_email)
    return login, as_typed(Email, "email", email)


async def _free(resources: Resources, login: str | None, email: str, *, only_first: bool) -> str:
    """The login, or one that may be offered. Raises what `create_user` would raise at this moment."""
    async with resources.db() as session:
        if only_first and any(await repository.count_superusers(session, resources.clock())):
            raise service.SuperuserExists
        email_key = canonical_email(email)[1]
        login_key = None if login is None else canonical_login(login)
        taken = await repository.existing_keys(session, [login_key] if login_key else [], [email_key])
        if login_key in taken or (login is not None and await taken_looks(session, [look(login)])):
            raise LoginTaken
        if email_key in taken:
            raise EmailTaken
        return login or await free_login(session, email)


@app.command("update-password")
def update_password(who: Who) -> None:
    """A new password; ends all sessions of the account."""
    user = run(lambda resources: find_user(resources, who))  # before anybody types a password for nothing
    password = ask_password(check_rules)
    run(lambda resources: service.set_password(resources, user.id, password))
    typer.echo("password changed, all sessions ended")


@app.command()
def delete(who: Who, yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False) -> None:
    """Deletes the account, its sessions, grants and history."""
    confirmed(yes, f"The account {who} is deleted for good, and this cannot be undone")

    async def action(resources: Resources) -> None:
        try:
            user = await find_user(resources, who)
        except NotFound:
            # A try before may have deleted it and not got as far as telling the workers.
            await resources.denylist.publish_of(None)
            raise
        await service.delete_user(resources, user.id, by=operator())

    run(action)
    typer.echo("deleted")


@app.command("toggle-active")
def toggle_active(
    who: Who,
    to: Annotated[
        bool | None, typer.Option("--enable/--disable", help="This, whatever it is now: for a second try.")
    ] = None,
) -> None:
    """Disables an active account (and ends its sessions), enables a disabled one."""

    async def action(resources: Resources) -> User:
        await resources.denylist.must_be_there()  # or a second try would undo what the first one did
        user = await find_user(resources, who)
        return await service.set_active(resources, user.id, not user.is_active if to is None else to)

    typer.echo("active" if run(action).is_active else "disabled")


@app.command()
def unlock(who: Who) -> None:
    """Gives the account its whole budget of failed logins and codes back."""

    async def action(resources: Resources) -> None:
        await admin.unlock(resources, OPERATOR, (await find_user(resources, who)).id)

    run(action)
    typer.echo("unlocked")


@app.command("reset-mfa")
def reset_mfa(who: Who, reason: Annotated[str, typer.Option(help="Goes to the audit trail.")]) -> None:
    """For a user who lost phone and recovery codes; ends all sessions of the user."""
    reason = as_typed(Reason, "reason", reason)

    async def action(resources: Resources) -> None:
        user = await find_user(resources, who)
        await second_factor.reset(resources, OPERATOR, user.id, reason)

    run(action)
    typer.echo("the second factor is gone, all sessions ended")


@app.command("send-password-reset")
def send_password_reset(who: Who) -> None:
    """Mails the user a link to set a new password; a running service sends it."""

    async def action(resources: Resources) -> None:
        user = await find_user(resources, who)
        await forgotten_password.start_for(resources, OPERATOR, user.id)

    run(action)
    typer.echo("a mail is on its way")


app.command("import")(import_accounts)


def _whole(found: Found) -> dict[str, object]:
    user = found.user
    return {
        "id": user.id,
        "login": user.login,
        "email": shown(user.email),
        "email_verified": user.email_verified,
        "mfa": found.mfa,
        "active": user.is_active,
        "created_at": user.created_at,
    }


def _in_short(found: Found) -> dict[str, object]:
    """The id is 36 columns wide and cannot be cut; what is unusual of an account goes into one word each."""
    user = found.user
    remarks = {"disabled": not user.is_active, "unverified": not user.email_verified, "mfa": found.mfa}
    return {
        "id": user.id,
        "login, e-mail": f"{user.login}\n{shown(user.email)}",
        "state": "\n".join(word for word, holds in remarks.items() if holds),
    }
