"""Where the AuthZEN Authorization API 1.0 has other rules than ours: its section 10.1 on errors, unknown fields and
request ids. They hold below its paths alone.
"""

import re

from auth_service.core.errors import ValidationFailed

AUTHZEN = "/access/v1"
_BELOW = f"{AUTHZEN}/"
LOGGED_CHARACTERS = 64
# A field value of RFC 9110 section 5.5, which the HTTP parser has seen to already: no line end, nothing that ends it.
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]+")


class InvalidAuthZenRequest(ValidationFailed):
    """A required field that is missing is a 400 there, and so is every other one that is wrong."""

    status = 400


def is_authzen(path: str) -> bool:
    return path.startswith(_BELOW)


def kept_request_id(given: bytes | None) -> str | None:
    """Whatever the client calls its request, byte for byte in latin-1; None without a name."""
    return given.decode("latin-1") if given and _FIELD_VALUE.fullmatch(given) else None


def loggable_request_id(request_id: str) -> str:
    """Its beginning, in ASCII: a terminal takes some bytes above that for commands."""
    return request_id[:LOGGED_CHARACTERS].encode("ascii", "backslashreplace").decode()
