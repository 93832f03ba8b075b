"""Access tokens that the service did not issue, made from one that it did."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from auth_service.core.tokens.access_tokens import KeyPair
from tests.support.api import Api, Tokens

# The order of P-256's group: (r, s) and (r, ORDER - s) are both signatures of the same text.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
REMOVED = object()


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def json_part(value: Any) -> str:
    return encode(json.dumps(value).encode())


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(decode(token.split(".", maxsplit=1)[0]))
    return header


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(decode(token.split(".")[1]))
    return claims


def signing_key(api: Api) -> KeyPair:
    """The service's own: what it signs is wrong in nothing but what it says."""
    return api.resources.keys._signing_key(api.resources.clock())


def low_s(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:])
    return signature[:32] + min(s, ORDER - s).to_bytes(32)


def signed(key: KeyPair, header: str, claims: str) -> str:
    """Of two encoded parts."""
    text = f"{header}.{claims}"
    return f"{text}.{encode(low_s(key.private.sign(text.encode())))}"


def changed(original: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A change to REMOVED leaves the name out."""
    return {name: value for name, value in {**original, **changes}.items() if value is not REMOVED}


def forged(api: Api, tokens: Tokens, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """The token with some of its header or claims changed, and a true signature of the service over that."""
    return signed(
        signing_key(api),
        json_part(changed(header_of(tokens.access), header or {})),
        json_part(changed(claims_of(tokens.access), claims)),
    )
