"""What a dry run says at the terminal: in words, or as the API's answer."""

import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import typer

from auth_service.commands.running import run
from auth_service.core.connections import Resources
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.what_if.effect import Effect, Person, Side
from auth_service.permissions.what_if.people import Span
from auth_service.permissions.what_if.schemas import WhatIf, as_json
from auth_service.permissions.what_if.trial import Trial

Result = TypeVar("Result")
SHOWN = 10
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say who would gain and lose what.")]
Json = Annotated[bool, typer.Option("--json", help="With --dry-run: all of it, and the first hundred people, as JSON.")]


def make_change(
    action: Callable[[Resources, Trial | None], Awaitable[Result]],
    kind: type[WhatIf],
    *,
    done: str,
    dry_run: bool,
    json: bool,
) -> None:
    """Makes the change and says `done`; or tries it, and says what it would do."""
    if not dry_run:
        run(lambda resources: action(resources, None))
        typer.echo(done)
        return
    result, effect = run(lambda resources: tried(resources, action))
    if json:
        sys.stdout.write(as_json(kind, effect, result).decode() + "\n")
    else:
        say(effect)


async def tried(resources: Resources, action: Callable[[Resources, Trial], Awaitable[Result]]) -> tuple[Result, Effect]:
    """What the change answers, and what it would do."""
    trial = Trial()
    result = await action(resources, trial)
    return result, await trial.effect(resources, OPERATOR)


def say(effect: Effect) -> None:
    """In words: how many, and the first ten by login."""
    for line in in_words(effect):
        typer.echo(line)


def in_words(effect: Effect) -> Iterator[str]:
    people = effect.people or ()
    yield from _side("gain", effect.gains, people, lambda person: person.gains)
    yield from _side("lose", effect.loses, people, lambda person: person.loses)
    if not (effect.gains.users or effect.loses.users):
        yield "nobody gains or loses a permission"
    if effect.administration.users:
        named = _names(effect.administration.people or (), effect.administration.users)
        yield f"{_users(effect.administration.users)} lose permissions to administer: {named}"
    for mark in effect.step_up:
        wants = "would ask for a second factor" if mark.step_up else "would no longer ask for a second factor"
        yield (
            f"{mark.permission} {wants}: {_users(mark.users)} have it,"
            f" {mark.without_second_factor:,} of them without a second factor"
        )
    for service in effect.services or ():
        changes = [*(f"+{code}" for code in service.gains), *(f"-{code}" for code in service.loses)]
        yield f"service {service.name}: {' '.join(changes)}"


def _side(verb: str, side: Side, people: Sequence[Person], spans: Callable[[Person], Sequence[Span]]) -> Iterator[str]:
    for count in side.permissions:
        having = [
            (person, [span for span in spans(person) if span.permission == count.permission]) for person in people
        ]
        named = [f"{person.login}{_times(found)}" for person, found in having if found]
        ending = "s" if count.users == 1 else ""
        yield f"{_users(count.users)} {verb}{ending} {count.permission}: {_some(named, count.users)}"


def _names(people: Sequence[Person], users: int) -> str:
    return _some([person.login for person in people], users)


def _some(names: Sequence[str], users: int) -> str:
    shown = names[:SHOWN]
    return ", ".join([*shown, *([f"{users - len(shown):,} more"] if users > len(shown) else [])])


def _users(count: int) -> str:
    return "1 user" if count == 1 else f"{count:,} users"


def _times(spans: Sequence[Span]) -> str:
    """Nothing for what is from now on and for ever."""
    if all(span.starts is None and span.ends is None for span in spans):
        return ""
    return f" ({', '.join(_time(span.starts, span.ends) for span in spans)})"


def _time(starts: datetime | None, ends: datetime | None) -> str:
    parts = [("from", starts), ("until", ends)]
    return " ".join(f"{word} {moment.isoformat(timespec='seconds')}" for word, moment in parts if moment is not None)
