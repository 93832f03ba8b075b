"""auth-service users import: accounts of another system, all or none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auth_service.commands.running import BAD_SETTING, progress_bar, run, stop
from auth_service.core.connections import Resources
from auth_service.mail.outbox import must_have_mail
from auth_service.moving_in.arrival import Settled, Wishes, roles_of, settle, take_in
from auth_service.moving_in.files import Encoding, Format, read_file
from auth_service.moving_in.newcomers import Newcomer, Plan

SHOWN_PROBLEMS = 20
_FORMAT_HELP = "Told by the file's beginning where it is left out."


def import_accounts(  # noqa: PLR0917  typer makes options of them
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    form: Annotated[Format | None, typer.Option("--format", help=_FORMAT_HELP)] = None,
    encoding: Annotated[Encoding, typer.Option(help="Of a CSV file.")] = Encoding.UTF_8,
    ignore_columns: Annotated[bool, typer.Option("--ignore-columns", help="Leave out unknown ones of a CSV.")] = False,
    map_role: Annotated[
        list[str] | None, typer.Option("--map-role", metavar="OLD=NEW", help="The file's name of a role, and ours.")
    ] = None,
    ignore_roles: Annotated[bool, typer.Option("--ignore-roles", help="Leave out roles that are not here.")] = False,
    new_logins: Annotated[
        bool, typer.Option("--new-logins", help="Make new ones for those that have none which is one here.")
    ] = False,
    invite: Annotated[bool, typer.Option("--invite", help="Mail those without a password a link to set one.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out who is here already.")] = False,
    keep_look_alikes: Annotated[
        bool, typer.Option("--keep-look-alikes", help="Take in logins that look like another one.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
) -> None:
    """Accounts with their hashes, from a CSV file, Keycloak's realm export or Django's dumpdata. All or none."""
    names = _names(map_role or [])
    wishes = Wishes(skip_existing, keep_look_alikes, ignore_roles, invite)
    plan = Plan(new_logins=new_logins)
    read_file(plan, file, form, encoding=encoding, ignore_columns=ignore_columns)
    plan.map_roles(names)
    _stop_for(plan.problems + ([] if keep_look_alikes else plan.look_alikes))

    async def action(resources: Resources) -> Settled:
        if invite:
            must_have_mail(resources)
        settled = await settle(resources, plan, wishes)
        coming = settled.newcomers
        if coming and not dry_run:
            with progress_bar() as progress:
                task = progress.add_task("importing", total=len(coming))
                await take_in(resources, coming, lambda count: progress.advance(task, count), wishes)
        return settled

    total = len(plan.newcomers)
    settled = run(action)
    _stop_for(settled.problems)
    _say(plan, settled.newcomers, total, dry_run=dry_run)


def _names(pairs: Sequence[str]) -> dict[str, str]:
    """Of `old=new`; the old name may have an = itself."""
    names: dict[str, str] = {}
    for pair in pairs:
        old, mark, new = pair.rpartition("=")
        if not (mark and old and new):
            stop("--map-role takes OLD=NEW, such as --map-role editor=content-manager", BAD_SETTING)
        names[old] = new
    return names


def _say(plan: Plan, newcomers: Sequence[Newcomer], total: int, *, dry_run: bool) -> None:
    count = len(newcomers)
    typer.echo(f"{'would import' if dry_run else 'imported'} {count} users, left out {total - count}")
    facts = {
        "roles": ", ".join(f"{role} {number}" for role, number in sorted(roles_of(newcomers).items())),
        "without a password": sum(newcomer.password_hash is None for newcomer in newcomers),
        "disabled": sum(not newcomer.is_active for newcomer in newcomers),
        "with an authenticator": sum(newcomer.seed is not None for newcomer in newcomers),
        "not taken over": ", ".join(f"{what} {number}" for what, number in sorted(plan.left.items())),
    }
    for name, fact in facts.items():
        if fact:
            typer.echo(f"{name}: {fact}")
    for line in _some(plan.remarks):
        typer.echo(line)


def _stop_for(problems: list[str]) -> None:
    if problems:
        stop("\n".join(["nothing was imported:", *_some(problems)]))


def _some(lines: list[str]) -> list[str]:
    rest = len(lines) - SHOWN_PROBLEMS
    return lines[:SHOWN_PROBLEMS] + ([f"… and {rest} more"] if rest > 0 else [])
