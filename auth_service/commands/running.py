"""How a command runs: stores opened, errors in words, the same exit codes everywhere."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import asyncpg
import orjson
import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from auth_service.config import ConfigError, Settings, load_settings
from auth_service.core.coherence import sitting_out
from auth_service.core.connections import Resources, open_resources
from auth_service.core.errors import AppError, NotFound, is_store_failure
from auth_service.core.http.error_answers import explain_field
from auth_service.core.schemas import Moment
from auth_service.core.stores.trouble import of_store
from auth_service.models import User
from auth_service.users.naming import find_named

if TYPE_CHECKING:
    from rich.progress import Progress

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
REFUSED, BAD_SETTING, NO_STORE = 1, 2, 3
# A command may take its time; a request may not.
PATIENT = {"database_timeout_seconds": 60.0, "redis_timeout_ms": 5000}


def stop(message: str, code: int = REFUSED) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def read_settings() -> Settings:
    try:
        return load_settings()
    except ConfigError as error:
        stop(str(error), BAD_SETTING)


def run(action: Callable[[Resources], Awaitable[Result]]) -> Result:
    """Opens the stores for one action. Exit codes: 1 refused, 2 a bad setting, 3 a store that cannot be reached."""
    settings = read_settings().model_copy(update=PATIENT)
    with errors_in_words(settings):
        return asyncio.run(_with_resources(settings, action))


@contextmanager
def errors_in_words(settings: Settings) -> Iterator[None]:
    """Ends the command with a line and an exit code instead of a traceback."""
    try:
        yield
    except AppError as error:
        stop(error.detail)
    except Exception as error:
        if not is_store_failure(error) and not _lacks_rights(error):
            raise
        stop(_store_trouble(settings, error), NO_STORE)


def read(kind: type[Model], **values: Any) -> Model:
    """What the API too would take as `kind`; stops with its words for anything else."""
    try:
        return kind(**values)
    except ValidationError as error:
        problems = [explain_field(item) for item in error.errors()]
    stop("\n".join(f"{item['field']} {item['message']}".strip() for item in problems))


def checked(kind: Any, value: str | None, complaint: str) -> None:
    """Stops with `complaint` unless the value is what the API too would take as `kind`."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        stop(complaint)


def as_typed(kind: Any, name: str, value: str | None) -> Any:
    """The value as the API too would take it, white space around it left out; else stops with what is wrong."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        stop(f"{name} {explain_field(error.errors()[0])['message']}")


def read_moment(text: str | None) -> datetime | None:
    """A time as the API takes it; stops with words for any other text."""
    if text is None:
        return None
    try:
        return _MOMENT.validate_python(text)
    except ValidationError:
        stop("Write times as 2030-01-31T12:00:00Z: with their zone, and between the years 1970 and 9998.")


def print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """A table for people, or a JSON list for programs."""
    if as_json:
        sys.stdout.write(orjson.dumps(list(rows), default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    if not rows:
        typer.echo("none")
        return
    table = Table(box=box.SIMPLE)
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=name.endswith("id"))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


ToCsv = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="All of it as a CSV file; - is standard output.")
]


def page_size(limit: int | None, csv: str | None, *, json: bool) -> int:
    """Of a list that has --limit, --json and --csv; stops where both a page and the whole are asked for."""
    if csv is not None and (json or limit is not None):
        stop("--csv writes the whole list: leave out --json and --limit", BAD_SETTING)
    return limit or 20


def print_page(rows: Sequence[dict[str, Any]], *, as_json: bool, more: bool) -> None:
    print_rows(rows, as_json=as_json)
    if more:
        typer.echo(f"these are the first {len(rows)}: --limit shows up to 100, --csv FILE writes all", err=True)


def progress_bar() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def at_terminal() -> bool:
    """Whether there is somebody to ask; a script gets a refusal that says what to give instead."""
    return sys.stdin.isatty()


def confirmed(yes: bool, warning: str) -> None:
    """Goes on with --yes, or with a yes typed at a terminal."""
    if yes:
        return
    if not at_terminal():
        stop(f"{warning}; add --yes.")
    typer.confirm(f"{warning}. Go on?", abort=True)


def ask(question: str, check: Callable[[str], object], *, offered: str | None = None) -> str:
    """At a terminal, until `check` raises no ValueError."""
    while True:
        answer = str(typer.prompt(question, default=offered)).strip()
        try:
            check(answer)
        except ValueError as error:
            typer.echo(f"{question} {error}", err=True)
        else:
            return answer


def ask_password(check: Callable[[str], str]) -> str:
    """Typed twice at a terminal, until `check` takes it; one line of standard input for scripts. Never an argument:
    those are public.
    """
    while True:
        if at_terminal():
            typed = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
        else:
            typed = sys.stdin.readline().rstrip("\r\n")
            if not typed:
                stop("The password is missing: type it at a terminal, or give it as a line of standard input.")
        try:
            return check(typed)
        except ValueError as error:
            if not at_terminal():
                stop(f"password {error}")
            typer.echo(f"password {error}", err=True)


async def find_user(resources: Resources, who: str) -> User:
    """By id, login or e-mail address; raises NotFound."""
    who = who.strip()
    async with resources.db() as session:
        user = await find_named(session, who)
    if user is None:
        raise NotFound(f"There is no user {who}.")
    return user


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return "" if value is None else str(value)


async def _with_resources(settings: Settings, action: Callable[[Resources], Awaitable[Result]]) -> Result:
    async with open_resources(settings) as resources, sitting_out(resources.direct, settings):
        return await action(resources)


def _lacks_rights(error: Exception) -> bool:
    """In a request that is a mistake of ours or of the installation's; here it is what an operator has forgotten."""
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return isinstance(cause, asyncpg.InsufficientPrivilegeError)


def _store_trouble(settings: Settings, error: Exception) -> str:
    trouble = of_store(error)
    place = settings.redis_address if trouble.setting == "REDIS_URL" else settings.postgres_address
    return f"{trouble.setting}: {place} {trouble.problem}: {trouble.fix}."
