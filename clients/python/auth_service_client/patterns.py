"""Which scopes cover a permission: whole segments, as the service does it. Pure."""

import re
from collections.abc import Collection

_SEGMENT = r"[a-z][a-z0-9-]{0,62}"
PATTERN = re.compile(rf"{_SEGMENT}:({_SEGMENT}|\*)|\*")


def covers(scopes: Collection[str], permission: str) -> bool:
    resource, _, _ = permission.partition(":")
    return any(scope in scopes for scope in (permission, f"{resource}:*", "*"))
