"""The options behind the ? of a store's URL. An error names an option, never a value and nothing else of the URL."""

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,39}")
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class BadOption(ValueError):
    """Its text is for the operator."""


def read_options(query: str, allowed: Mapping[str, object]) -> dict[str, str]:
    """Raises BadOption for a name that is not allowed, and ValueError for what may be the end of a password."""
    if "@" in query or "#" in query:  # a ? in a password begins what looks like a query
        raise ValueError
    found: dict[str, str] = {}
    query = query.strip("&")
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
        if not _NAME.fullmatch(name):
            raise ValueError
        if name not in allowed:
            raise BadOption(f"the option {name} is not one that the service understands: leave it out")
        if found.setdefault(name, value) != value:
            raise BadOption(f"the option {name} is there twice")
    return found


def as_bool(name: str, value: str) -> bool:
    if value.lower() not in _YES | _NO:
        raise BadOption(f"the option {name} is true or false")
    return value.lower() in _YES


def must_be_readable(name: str, path: str) -> None:
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise BadOption(f"the option {name} names a file that cannot be read")
