"""The refresh token `sid.generation.secret`: opaque to clients, derived and so never stored (REF-1)."""

import base64
import re
from dataclasses import dataclass
from uuid import UUID

from auth_service.core.errors import InvalidRefreshToken
from auth_service.core.secrets import Secrets

_FORM = re.compile(r"([0-9a-f]{32})\.(0|[1-9][0-9]{0,14})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class RefreshToken:
    session_id: UUID
    generation: int


def write_refresh_token(secrets: Secrets, session_id: UUID, generation: int) -> str:
    """The same text for the same session and generation: all racers inside the grace get one successor."""
    name = f"{session_id.hex}.{generation}"
    return f"{name}.{_encode(secrets.mac(name.encode()))}"


def read_refresh_token(secrets: Secrets, text: str) -> RefreshToken:
    """Raises InvalidRefreshToken for all that we did not issue, without asking any store."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidRefreshToken
    name, secret = text.rpartition(".")[0], match[3]
    mac = base64.urlsafe_b64decode(secret + "=")
    if _encode(mac) != secret or not secrets.mac_matches(name.encode(), mac):
        raise InvalidRefreshToken
    return RefreshToken(UUID(match[1]), int(match[2]))


def _encode(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
