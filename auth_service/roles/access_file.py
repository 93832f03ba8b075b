"""The catalogue and the roles as a YAML file; the only file that imports yaml. Pure.

No aliases, so that a small file is a small document; no key twice; every error names its line.
"""

from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import yaml
from pydantic import StrictBool, ValidationError

from auth_service.core.errors import AppError
from auth_service.core.http.error_answers import explain_field
from auth_service.core.schemas import Body
from auth_service.permissions.schemas import Description, PermissionCode, Title
from auth_service.roles.schemas import Parents, Patterns, RoleName, SessionLimit

MOST_BYTES = 256 * 1024
MOST_DEPTH = 8
_HEAD = "version: 1\n"
Path = tuple[str | int, ...]
# Where the words for a request would not do.
_MESSAGES = {
    "extra_forbidden": "is not known here",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be a mapping"),
}


class BadAccessFile(AppError):
    """A line for each thing that is wrong."""


class PermissionEntry(Body):
    title: Title
    description: Description = ""
    step_up: StrictBool = False


class RoleEntry(Body):
    title: Title
    description: Description = ""
    permissions: Patterns = []
    parents: Parents = []
    session_limit: SessionLimit | None = None


class AccessFile(Body):
    """What is left out of an entry has its default: an entry says all of what it names."""

    version: Literal[1]
    permissions: dict[PermissionCode, PermissionEntry] = {}
    roles: dict[RoleName, RoleEntry] = {}


def write(content: AccessFile) -> str:
    """The same text for the same content: sorted, without what is a default, without comments."""
    document = {
        "permissions": {
            code: entry.model_dump(exclude_defaults=True) for code, entry in sorted(content.permissions.items())
        },
        "roles": {
            name: _sorted(entry.model_dump(exclude_defaults=True)) for name, entry in sorted(content.roles.items())
        },
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def read(text: bytes) -> AccessFile:
    """Raises BadAccessFile, whose text says the number of each line that is wrong."""
    if len(text) > MOST_BYTES:
        raise BadAccessFile(f"The file has more than {MOST_BYTES // 1024} KiB.")
    try:
        node = _Loader(text).get_single_node()
        lines: dict[Path, int] = {}
        value = None if node is None else _plain(node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _refuse(1 if mark is None else mark.line + 1, error.problem or "is no YAML")
    except (yaml.YAMLError, UnicodeDecodeError):
        _refuse(1, "is no YAML in UTF-8, or has control characters")
    try:
        return AccessFile.model_validate(value)
    except ValidationError as error:
        found = [(_line_of(item["loc"], lines), explain_field(item)) for item in error.errors()]
    found.sort(key=lambda item: item[0])
    raise BadAccessFile("\n".join(f"line {line}: {_in_words(item)}" for line, item in found))


class _Loader(yaml.SafeLoader):
    """Nodes only, and of them none that stands for another one."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:  # an alias has the anchor that it names
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not taken", problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise yaml.MarkedYAMLError(problem="is nested too deeply", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_SCALARS = yaml.constructor.SafeConstructor


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    """As Python's own types; `lines` gets where each part begins."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, number), lines) for number, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        line = key_node.start_mark.line + 1
        if key is None:
            _refuse(line, "a key must be plain text")
        if key in found:
            _refuse(line, "has a key that was there before")
        lines[*path, key] = line
        found[key] = _plain(value_node, (*path, key), lines)
    return found


def _scalar(node: yaml.Node) -> Any:
    try:
        return _SCALARS().construct_object(node)
    except (ValueError, OverflowError):  # such as a month 13, or a number of thousands of digits
        _refuse(node.start_mark.line + 1, "has a number or a date that is none; quote it if it is text")


def _line_of(path: Sequence[str | int], lines: dict[Path, int]) -> int:
    """Of the part, or of the nearest one around it."""
    for length in range(len(path), -1, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return 1


def _in_words(item: dict[str, str]) -> str:
    words = _MESSAGES.get(item["type"], item["message"])
    return f"{item['field']} {words}".strip()


def _sorted(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, list) else value for name, value in entry.items()}


def _refuse(line: int, problem: str) -> NoReturn:
    raise BadAccessFile(f"line {line}: {problem}")
