"""auth-service explain"""

import sys
from collections.abc import Iterator
from shlex import quote
from typing import Annotated

import orjson
import typer

from auth_service.audit.words import moment
from auth_service.commands.running import as_typed, find_user, read_moment, run
from auth_service.core.connections import Resources
from auth_service.models import User
from auth_service.permissions import why
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.decision import Reason
from auth_service.permissions.explanation import Explanation, Obstacle, Path
from auth_service.permissions.schemas import PermissionCode, WhyAnswer

MOST_REMEDIES = 5


def explain(
    who: Annotated[str, typer.Argument(help="Id, login or e-mail address.")],
    permission: Annotated[str, typer.Argument(help="Such as films:watch")],
    at: Annotated[str | None, typer.Option(help="2030-01-31T12:00:00Z; default: now")] = None,
    json: Annotated[bool, typer.Option("--json", help="As GET /users/{id}/permissions/{code} answers.")] = False,
) -> None:
    """Why a user may do something, or what stands in the way, and the commands that would change it."""
    asked, code = read_moment(at), as_typed(PermissionCode, "the permission", permission.strip())

    async def action(resources: Resources) -> tuple[User, Explanation]:
        user = await find_user(resources, who)
        return user, await why.explain(resources, OPERATOR, user.id, code, at=asked)

    user, found = run(action)
    if json:
        sys.stdout.write(orjson.dumps(_plain(found), option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    for line in in_words(user.login, found, dated=asked is not None):
        typer.echo(line)


def in_words(login: str, found: Explanation, *, dated: bool) -> Iterator[str]:
    """Sentences; below each thing that stands in the way, the commands that would remove it."""
    when = f" on {moment(found.at)}" if dated else ""
    yield f"{login} {'may' if found.allowed else 'may not'} {found.permission}{when}."
    if found.path is not None:
        yield f"{_way(found.path)} {_grant(found.path)}"
    if found.allowed and found.valid_until is not None:
        yield f"Time alone changes nothing before {moment(found.valid_until)}."
    for obstacle in found.obstacles:
        yield _in_the_way(login, found, obstacle)
        command = _command(login, obstacle)
        if command is not None and not found.past:
            yield f"    {command}"
    if found.remedies:
        yield f"{_count(found.remedy_count or 0)} would give it; those that give least beside it come first:"
        for remedy in found.remedies[:MOST_REMEDIES]:
            through = "" if len(remedy.through) == 1 else f", through {' -> '.join(remedy.through[1:])}"
            yield f"    auth-service roles grant {quote(login)} {remedy.role}"
            yield f"        {remedy.title}{through}: {remedy.permissions} permissions in all"
    elif found.remedies is not None and found.known:
        yield "No role has it yet."


def _plain(found: Explanation) -> object:
    return WhyAnswer.model_validate(found).model_dump(mode="json")


def _way(path: Path) -> str:
    return f"The role {' -> '.join(path.roles)} has {path.pattern}."


def _grant(path: Path) -> str:
    until = "without an end" if path.valid_until is None else f"until {moment(path.valid_until)}"
    by = path.granted_by_name or (str(path.granted_by) if path.granted_by else None)
    words = f"It is granted from {moment(path.valid_from)} {until}"
    words += f", by {by} on {moment(path.granted_at)}" if by else f", since {moment(path.granted_at)}"
    return f"{words}: {path.reason}." if path.reason else f"{words}."


def _in_the_way(login: str, found: Explanation, obstacle: Obstacle) -> str:
    path = obstacle.path
    match obstacle.kind:
        case Reason.UNKNOWN_PERMISSION:
            return f"{found.permission} is not in the catalogue."
        case Reason.USER_INACTIVE:
            return f"The account of {login} is disabled."
        case Reason.GRANT_EXPIRED if path is not None and path.valid_until is not None:
            return f"The grant of {path.roles[0]} ended on {moment(path.valid_until)}."
        case Reason.GRANT_NOT_STARTED if path is not None:
            return f"The grant of {path.roles[0]} begins on {moment(path.valid_from)}."
        case Reason.STEP_UP_REQUIRED:
            has = {True: "has one set up", False: "has none set up yet", None: "may have none set up"}
            asks = "It also asks for a second factor, shown in the session a short time ago"
            return f"{asks}; {login} {has[obstacle.second_factor]}."
        case _:
            return f"No grant of {login} gives it."


def _command(login: str, obstacle: Obstacle) -> str | None:
    """What removes the obstacle; None where only the user or a list of roles can say."""
    if obstacle.kind is Reason.USER_INACTIVE:
        return f"auth-service users toggle-active {quote(login)} --enable"
    if obstacle.path is not None:
        return f"auth-service roles grant {quote(login)} {obstacle.path.roles[0]}"
    return None


def _count(roles: int) -> str:
    return "1 role" if roles == 1 else f"{roles} roles"
