"""Two states of roles and catalogue, brought to as few questions about people as there are. Pure.

There may be thousands of roles and codes, and a change touches few of them in few ways. Roles that give the same of the
codes in question are one kind, codes that the same kinds give are one class, and people are asked about by kind and
class alone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth_service.permissions import rules
from auth_service.permissions.patterns import EVERYTHING, covering, covers

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """`roles`: of each role all patterns, those of its ancestors too; a role without any may be left out.

    `codes`: the catalogue; True where a code is marked for step-up.
    """

    roles: Mapping[str, frozenset[str]]
    codes: Mapping[str, bool]

    def giving(self, code: str) -> list[str]:
        """The roles that give a code of the catalogue."""
        return [role for role, patterns in self.roles.items() if covers(patterns, code)]

    def of(self, roles: Collection[str]) -> "Rules":
        """The same with these roles alone."""
        return Rules({role: self.roles[role] for role in roles if role in self.roles}, self.codes)


def with_inherited(own: rules.Rules, roles: Iterable[str]) -> Rules:
    """As states are compared: each of the roles with all that it has by its ancestors."""
    return Rules({name: own.patterns_of(name) for name in roles}, own.catalogue)


@dataclass(frozen=True, slots=True)
class Period:
    """From `valid_from` (inclusive) until `valid_until` (exclusive; None: for ever)."""

    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class GrantChange:
    """A user's grant of a role; `before` is None for a new one, `after` for one that is taken away."""

    user_id: UUID
    role: str
    before: Period | None
    after: Period | None


@dataclass(frozen=True, slots=True)
class Given:
    """Whether roles of the kind give the codes of the class, before and after."""

    kind: int
    of_class: int
    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """`kinds`: by role, numbered from 0 without a gap; a role that is missing gives nothing that is in question.

    `classes`: the codes of each. `differing`: the roles that give something before or after, and not both.
    """

    kinds: Mapping[str, int]
    classes: tuple[tuple[str, ...], ...]
    given: tuple[Given, ...]
    differing: tuple[str, ...]


def compare(before: Rules, after: Rules, granted: Collection[str] = ()) -> Comparison:
    """`granted`: roles of grants that change too; all that they give is in question."""
    asked = _in_question(before, after, frozenset(granted))
    relevant = frozenset(pattern for code in asked for pattern in covering(code))
    then, now = _Giving(asked & before.codes.keys()), _Giving(asked & after.codes.keys())
    numbers: dict[tuple[frozenset[str], frozenset[str]], int] = {}
    kinds: dict[str, int] = {}
    for role in before.roles.keys() | after.roles.keys():
        had = then.codes(before.roles.get(role, _NOTHING) & relevant)
        has = now.codes(after.roles.get(role, _NOTHING) & relevant)
        if had or has:
            kinds[role] = numbers.setdefault((had, has), len(numbers))
    members: dict[str, list[tuple[int, bool, bool]]] = defaultdict(list)
    for (had, has), kind in numbers.items():
        for code in had | has:
            members[code].append((kind, code in had, code in has))
    regranted = {kinds[role] for role in granted if role in kinds}
    classes: dict[tuple[tuple[int, bool, bool], ...], list[str]] = defaultdict(list)
    for code, of_kinds in members.items():
        if any(had is not has or kind in regranted for kind, had, has in of_kinds):
            classes[tuple(of_kinds)].append(code)
    used = sorted({kind for of_kinds in classes for kind, _, _ in of_kinds})
    renumbered = {kind: number for number, kind in enumerate(used)}
    given = tuple(
        Given(renumbered[kind], number, had, has)
        for number, of_kinds in enumerate(classes)
        for kind, had, has in of_kinds
    )
    kinds = {role: renumbered[kind] for role, kind in kinds.items() if kind in renumbered}
    differing = {one.kind for one in given if one.before is not one.after}
    return Comparison(
        kinds=kinds,
        classes=tuple(tuple(sorted(codes)) for codes in classes.values()),
        given=given,
        differing=tuple(role for role, kind in kinds.items() if kind in differing),
    )


def _in_question(before: Rules, after: Rules, granted: frozenset[str]) -> set[str]:
    """The codes that somebody may have before or after, and not both."""
    patterns: set[str] = set()
    for role in before.roles.keys() | after.roles.keys():
        had, has = before.roles.get(role, _NOTHING), after.roles.get(role, _NOTHING)
        if had is not has:
            patterns |= had ^ has
        if role in granted:
            patterns |= had | has
    codes = before.codes.keys() | after.codes.keys()
    return set(_covered(patterns, codes)) | (before.codes.keys() ^ after.codes.keys())


def _covered(patterns: Collection[str], codes: Iterable[str]) -> frozenset[str]:
    if EVERYTHING in patterns:
        return frozenset(codes)
    return frozenset(code for code in codes if covers(patterns, code)) if patterns else _NOTHING


class _Giving:
    """Which of `asked` patterns give; the same patterns, and the same answers, are one object."""

    def __init__(self, asked: Collection[str]) -> None:
        self._asked = asked
        self._by_pattern: dict[str, list[str]] = defaultdict(list)
        for code in asked:
            for pattern in covering(code):
                self._by_pattern[pattern].append(code)
        self._known: dict[frozenset[str], frozenset[str]] = {_NOTHING: _NOTHING}
        self._answers: dict[frozenset[str], frozenset[str]] = {_NOTHING: _NOTHING}

    def codes(self, patterns: frozenset[str]) -> frozenset[str]:
        found = self._known.get(patterns)
        if found is None:
            found = frozenset().union(*(self._by_pattern.get(pattern, ()) for pattern in patterns))
            found = self._known[patterns] = self._answers.setdefault(found, found)
        return found


def services_touched(before: Rules, after: Rules, scopes: Collection[str]) -> tuple[list[str], list[str]]:
    """The codes that these scopes cover more, and fewer, by what came into the catalogue and what went."""
    come, gone = after.codes.keys() - before.codes.keys(), before.codes.keys() - after.codes.keys()
    return sorted(_covered(scopes, come)), sorted(_covered(scopes, gone))
