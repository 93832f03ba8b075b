"""Which scopes cover a permission: whole segments, as the service does it. Pure."""

from collections.abc import Collection


def covers(scopes: Collection[str], permission: str) -> bool:
    resource, _, _ = permission.partition(":")
    return any(scope in scopes for scope in (permission, f"{resource}:*", "*"))
