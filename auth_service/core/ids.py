"""Ids as people write them."""

import re
from uuid import UUID

_ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)


def read_id(text: str) -> UUID | None:
    """With its dashes or without; None for what is no id, to be looked up as a name then, if it can be one.

    UUID() alone would take braces, underscores and digits of other scripts as well.
    """
    return UUID(text) if _ID.fullmatch(text) else None
