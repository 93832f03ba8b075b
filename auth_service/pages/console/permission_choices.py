"""Permissions to be looked at or chosen from: by resource, with `resource:*` at the head of each group. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from auth_service.permissions.patterns import EVERYTHING, covering

_ON = "on"  # what a browser sends for a box that is ticked


@dataclass(frozen=True, slots=True)
class Choice:
    """`title` is empty for a wildcard, and for a code that the catalogue does not have."""

    pattern: str
    title: str
    step_up: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Group:
    """`chosen`: how many of them are; with the wildcard, which comes first where there is one."""

    resource: str
    choices: Sequence[Choice]

    @property
    def chosen(self) -> int:
        return sum(choice.chosen for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Known:
    """Of the catalogue."""

    title: str
    step_up: bool


_UNKNOWN = Known("", step_up=False)


def choices(catalogue: Mapping[str, Known], chosen: Collection[str], may: Callable[[str], bool]) -> list[Group]:
    """What somebody may hand out, and what is chosen already."""
    there = {*catalogue, *(f"{_resource(code)}:*" for code in catalogue)}
    patterns = {pattern for pattern in there if may(pattern)} | set(chosen)
    return _grouped(catalogue, patterns, frozenset(chosen))


def shown(catalogue: Mapping[str, Known], patterns: Iterable[str]) -> list[Group]:
    """These alone."""
    present = frozenset(patterns)
    return _grouped(catalogue, present, present)


def inherited(own: Collection[str], all_of_it: Collection[str]) -> list[str]:
    """What a role has from its ancestors and would not have by itself."""
    return sorted(pattern for pattern in all_of_it if not any(one in own for one in covering(pattern)))


def field(kind: str, value: str) -> str:
    """The name of a box: each has its own, so that no field is there twice."""
    return f"{kind}.{value}"


def ticked(fields: Mapping[str, str], kind: str) -> list[str]:
    """The values of the boxes that were."""
    return sorted(name.removeprefix(f"{kind}.") for name in fields if name.startswith(f"{kind}."))


def ticks(kind: str, values: Iterable[str]) -> dict[str, str]:
    return {field(kind, value): _ON for value in values}


def _grouped(catalogue: Mapping[str, Known], patterns: Collection[str], chosen: Collection[str]) -> list[Group]:
    by_resource: dict[str, list[Choice]] = {}
    # `*` sorts before every letter, so a wildcard is at the head of its resource.
    for pattern in sorted(patterns):
        known = catalogue.get(pattern, _UNKNOWN)
        choice = Choice(pattern, known.title, known.step_up, pattern in chosen)
        by_resource.setdefault(_resource(pattern), []).append(choice)
    return [Group(resource, items) for resource, items in by_resource.items()]


def _resource(pattern: str) -> str:
    return pattern if pattern == EVERYTHING else pattern.partition(":")[0]
