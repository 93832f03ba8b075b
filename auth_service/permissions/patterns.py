"""Permission codes `resource:action` and the patterns that cover them: whole segments, never regex (RBAC-5). Pure."""

import re
from collections.abc import Collection

EVERYTHING = "*"
CODE = r"[a-z][a-z0-9-]{0,62}:[a-z][a-z0-9-]{0,62}"
PATTERN = rf"{CODE}|[a-z][a-z0-9-]{{0,62}}:\*"
_CODE = re.compile(CODE)
_PATTERN = re.compile(PATTERN)


def is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """A code or `resource:*`; the bare `*` is not for hand-made roles."""
    return _PATTERN.fullmatch(text) is not None


def covering(pattern: str) -> tuple[str, str, str]:
    """All patterns that cover this one: itself, its resource's wildcard, everything."""
    resource, _, _ = pattern.partition(":")
    return pattern, f"{resource}:*", EVERYTHING


def covers(held: Collection[str], pattern: str) -> bool:
    """Whether `held` gives all that `pattern` gives, now and for codes still to come."""
    return any(candidate in held for candidate in covering(pattern))
