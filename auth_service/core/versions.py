"""Versions of what several people change: the ETag of an answer, and the If-Match of a change (RFC 9110)."""

import hashlib
from typing import Annotated

from fastapi import Header

from auth_service.core.errors import AppError

IfMatch = Annotated[
    str | None,
    Header(description="The `ETag` of what you read: the change is refused if it was changed since. Optional."),
]


class PreconditionFailed(AppError):
    status, code = 412, "precondition_failed"
    detail = "It was changed since you read it. Read it again, then decide."


def version_of(*facts: object) -> str:
    """A strong entity tag, quotes and all: the same for the same facts, on each worker."""
    return f'"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}"'


def must_match(if_match: str | None, version: str) -> None:
    """Call it under the lock of the change. Raises PreconditionFailed; a weak tag matches nothing (section 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        return
    if version not in {tag.strip() for tag in if_match.split(",")}:  # ours have no comma
        raise PreconditionFailed
