"""Which role inherits from which, as a picture: columns by depth, parents on the left, few crossings. Pure."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST = 40  # roles in one picture; of more, what is near one of them
BOX_WIDTH, BOX_HEIGHT = 176, 48
_COLUMN = BOX_WIDTH + 56
_GAP, _LANE = 16, 12  # below a box; what a line that passes through a column takes of it
_MARGIN = 4
_SWEEPS = 8

Parents = Mapping[str, Collection[str]]
_Node = tuple[str, ...]  # (role,), or (parent, child, column) where a line passes through
_Links = Mapping[_Node, Sequence[_Node]]


@dataclass(frozen=True, slots=True)
class Box:
    name: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Picture:
    """`lines` are paths of SVG, each from the right of a parent to the left of its child."""

    width: int
    height: int
    boxes: Sequence[Box]
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Branch:
    """A role and its children, in words. `again`: they stand where the role was named first."""

    name: str
    children: Sequence["Branch"]
    again: bool


def draw(parents: Parents) -> Picture:
    """Of all that are keys; other parents are left out."""
    columns, before, after = _in_columns(parents)
    columns = _untangled(columns, before, after)
    heights = [sum(_height(node) for node in column) for column in columns]
    tallest = max(heights, default=0)
    places: dict[_Node, tuple[int, int]] = {}
    for number, (column, height) in enumerate(zip(columns, heights, strict=True)):
        y = _MARGIN + (tallest - height) // 2
        for node in column:
            places[node] = (_MARGIN + number * _COLUMN, y)
            y += _height(node)
    return Picture(
        width=2 * _MARGIN + max(len(columns) - 1, 0) * _COLUMN + BOX_WIDTH,
        height=2 * _MARGIN + max(tallest - _GAP, 0),
        boxes=[Box(node[0], *places[node]) for column in columns for node in column if len(node) == 1],
        lines=[_path([places[node] for node in way], way) for way in _ways(after)],
    )


def around(parents: Parents, name: str, most: int = MOST) -> tuple[Parents, int]:
    """The role with its ancestors and descendants, the nearest first, up to `most`; and how many are left out."""
    children: dict[str, list[str]] = defaultdict(list)
    for child, its in parents.items():
        for parent in its:
            children[parent].append(child)
    near = sorted(
        (distance, side, other)
        for side, links in enumerate((parents, children))
        for other, distance in _distances(links, name).items()
        if other != name
    )
    chosen = {name, *(other for _, _, other in near[: most - 1])}
    return {one: chosen & set(parents[one]) for one in chosen}, max(len(near) - most + 1, 0)


def outline(parents: Parents) -> Sequence[Branch]:
    """The same in words: from those without parents down, each role's children once."""
    children: dict[str, list[str]] = defaultdict(list)
    for child in sorted(parents):
        for parent in parents[child]:
            children[parent].append(child)
    seen: set[str] = set()

    def branch(name: str) -> Branch:
        if name in seen:
            return Branch(name, (), again=bool(children[name]))
        seen.add(name)
        return Branch(name, [branch(child) for child in children[name]], again=False)

    return [branch(name) for name in sorted(parents) if not any(parent in parents for parent in parents[name])]


def crossings(columns: Sequence[Sequence[_Node]], after: _Links) -> int:
    """How many pairs of lines cross between neighbouring columns."""
    total = 0
    for left, right in pairwise(columns):
        places = {node: place for place, node in enumerate(right)}
        ends_above: list[int] = []
        for node in left:
            ends = [places[other] for other in after.get(node, ())]
            total += sum(len(ends_above) - bisect_right(ends_above, end) for end in ends)
            for end in ends:
                insort(ends_above, end)
    return total


def _distances(links: Mapping[str, Collection[str]], name: str) -> dict[str, int]:
    found, waiting = {name: 0}, [name]
    for one in waiting:
        for other in links.get(one, ()):
            if other not in found:
                found[other] = found[one] + 1
                waiting.append(other)
    return found


def _depths(parents: Parents) -> dict[str, int]:
    found: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in found:
            found[name] = max((1 + depth(parent) for parent in parents[name] if parent in parents), default=0)
        return found[name]

    for name in parents:
        depth(name)
    return found


def _in_columns(parents: Parents) -> tuple[list[list[_Node]], _Links, _Links]:
    """The nodes of each column, and of each node its neighbours on the left and on the right."""
    depths = _depths(parents)
    columns: list[list[_Node]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    before: dict[_Node, list[_Node]] = defaultdict(list)
    after: dict[_Node, list[_Node]] = defaultdict(list)
    for name in sorted(parents):
        columns[depths[name]].append((name,))
    for child in sorted(parents):
        for parent in sorted(other for other in parents[child] if other in parents):
            passed = [(parent, child, str(number)) for number in range(depths[parent] + 1, depths[child])]
            for node in passed:
                columns[int(node[2])].append(node)
            for left, right in pairwise([(parent,), *passed, (child,)]):
                before[right].append(left)
                after[left].append(right)
    return columns, before, after


def _untangled(columns: list[list[_Node]], before: _Links, after: _Links) -> list[list[_Node]]:
    """Each node goes to the middle of its neighbours, from the left and from the right by turns; the best is kept."""
    best, fewest = [list(column) for column in columns], crossings(columns, after)
    for sweep in range(_SWEEPS):
        links, numbers = (
            (before, range(1, len(columns))) if sweep % 2 == 0 else (after, range(len(columns) - 2, -1, -1))
        )
        for number in numbers:
            beside = columns[number - 1 if links is before else number + 1]
            places = {node: place for place, node in enumerate(beside)}
            own = {node: place for place, node in enumerate(columns[number])}
            columns[number].sort(
                key=lambda node, links=links, places=places, own=own: (  # type: ignore[misc]
                    sum(places[other] for other in links[node]) / len(links[node]) if links.get(node) else own[node]
                )
            )
        count = crossings(columns, after)
        if count < fewest:
            best, fewest = [list(column) for column in columns], count
    return best


def _ways(after: _Links) -> list[list[_Node]]:
    """Of each line all nodes, from parent to child."""
    ways = []
    for node, nexts in after.items():
        if len(node) == 1:
            for following in nexts:
                way = [node, following]
                while len(way[-1]) > 1:
                    way.append(after[way[-1]][0])
                ways.append(way)
    return ways


def _height(node: _Node) -> int:
    return BOX_HEIGHT + _GAP if len(node) == 1 else _LANE


def _path(places: Sequence[tuple[int, int]], way: Sequence[_Node]) -> str:
    points = [(x, y + (BOX_HEIGHT if len(node) == 1 else _LANE) // 2) for (x, y), node in zip(places, way, strict=True)]
    x, y = points[0]
    drawn = [f"M{x + BOX_WIDTH} {y}"]
    for (left, high), (right, low) in pairwise(points):
        middle = (left + BOX_WIDTH + right) // 2
        drawn.append(f"C{middle} {high} {middle} {low} {right} {low}")
        drawn.append(f"H{right + BOX_WIDTH}")
    return " ".join(drawn[:-1])  # the last one ends at the box
