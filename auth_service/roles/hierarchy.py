"""The graph of roles: what each has with its ancestors; no cycles, at most ten deep (RBAC-4). Pure."""

from collections.abc import Collection, Mapping, Sequence

from auth_service.core.errors import RoleCycle

MAX_DEPTH = 10


class Hierarchy:
    """`parents` and `own` by role name; `with_role` gives a changed copy, so that a plan can be judged first."""

    def __init__(self, parents: Mapping[str, Collection[str]], own: Mapping[str, Collection[str]]) -> None:
        self._parents = {name: frozenset(items) for name, items in parents.items()}
        self._own = {name: frozenset(items) for name, items in own.items()}

    def with_role(self, name: str, parents: Collection[str], own: Collection[str]) -> "Hierarchy":
        return Hierarchy({**self._parents, name: parents}, {**self._own, name: own})

    def __contains__(self, name: str) -> bool:
        return name in self._own

    def effective(self, name: str) -> frozenset[str]:
        """All patterns of the role and its ancestors."""
        return frozenset().union(*(self._own.get(role, frozenset()) for role in self._lineage(name)))

    def session_limits(self, own: Mapping[str, int | None]) -> dict[str, int | None]:
        """By role: its own limit, else the largest of its parents; None where nobody says any. Call `check` first."""
        found: dict[str, int | None] = {}

        def limit_of(name: str) -> int | None:
            if name not in found:
                inherited = [limit_of(parent) for parent in self._parents.get(name, ())]
                found[name] = own.get(name) or max((item for item in inherited if item is not None), default=None)
            return found[name]

        return {name: limit_of(name) for name in self._own}

    def check(self) -> None:
        """Raises RoleCycle for a role that is its own ancestor, or for ancestry that is too deep."""
        heights: dict[str, int] = {}
        for name in self._own:
            self._height(name, heights, ())

    def _lineage(self, name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            new = self._parents.get(waiting.pop(), frozenset()) - found
            found |= new
            waiting += new
        return found

    def _height(self, name: str, heights: dict[str, int], path: Sequence[str]) -> int:
        if name in path or len(path) > MAX_DEPTH:
            raise RoleCycle
        if name not in heights:
            above = [self._height(parent, heights, (*path, name)) for parent in self._parents.get(name, ())]
            heights[name] = 1 + max(above, default=0)
        if heights[name] > MAX_DEPTH:
            raise RoleCycle
        return heights[name]
