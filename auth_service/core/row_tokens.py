"""Tokens `id.secret` that stand for a row: the id finds it, and of the 256-bit secret the row keeps only a hash."""

import hashlib
import re
import secrets
from uuid import UUID

_FORM = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")


def new_secret() -> tuple[str, bytes]:
    """(the secret, its hash for the row)."""
    secret = secrets.token_urlsafe(32)
    return secret, digest(secret)


def digest(secret: str) -> bytes:
    """SHA-256: there is nothing to guess in 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def write_token(row_id: UUID, secret: str) -> str:
    return f"{row_id.hex}.{secret}"


def read_token(text: str) -> tuple[UUID, bytes] | None:
    """(the row's id, the hash it must have); None for what we cannot have written."""
    match = _FORM.fullmatch(text)
    return None if match is None else (UUID(match[1]), digest(match[2]))
