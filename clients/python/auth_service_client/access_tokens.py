"""The rules of an access token, which are the service's own: ES256 and nothing else (RFC 9068, RFC 8725). Pure."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from auth_service_client.answers import Caller
from auth_service_client.errors import InvalidToken

ALGORITHM, TYPE = "ES256", "at+jwt"
MAX_TOKEN_CHARS = 8 * 1024
MAX_LIFE_SECONDS = 900
LEEWAY_SECONDS = 30  # for clocks that differ, as the service has it
_CLAIMS = {"iss", "aud", "sub", "exp", "iat", "jti", "sid", "kind", "epoch"}
_PART = re.compile(r"[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9_-]{8,64}")
# Half of the order of P-256's group: of a signature's two forms only the low one is the service's.
_HALF = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


class BadToken(InvalidToken):
    """`why` is for a log; the caller is only told 401."""

    def __init__(self, why: str) -> None:
        super().__init__("not_authenticated", "A valid access token is needed.")
        self.why = why


@dataclass(frozen=True, slots=True)
class Rules:
    issuer: str
    audience: str
    leeway_seconds: int = LEEWAY_SECONDS


def key_id(token: str) -> str:
    """Of a token in the right form, before any library looks at it; raises BadToken."""
    if len(token) > MAX_TOKEN_CHARS:
        raise BadToken("size")
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("parts")
    head, _, signature = (_decode(part) for part in parts)
    header = _object(head)
    # An exact set of keys leaves no room for jku, x5u, jwk, crit or b64.
    if header.keys() != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise BadToken("header")
    if not isinstance(header["kid"], str) or not _KID.fullmatch(header["kid"]):
        raise BadToken("kid")
    if len(signature) != 64 or int.from_bytes(signature[32:]) > _HALF:
        raise BadToken("signature form")
    return header["kid"]


def read_token(token: str, key: jwt.PyJWK, rules: Rules, now: float) -> Caller:
    """`token` has passed `key_id`, `key` is the one of that id; raises BadToken. Knows nothing of revocation."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=rules.audience,
            issuer=rules.issuer,
            # The times are compared below, by a clock that tests can move.
            options={"require": list(_CLAIMS - {"kind", "epoch", "sid"}), "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise BadToken(type(error).__name__) from None
    return _caller(claims, rules, int(now))


def expired(caller: Caller, rules: Rules, now: float) -> bool:
    return caller.expires_at + rules.leeway_seconds <= now


def _caller(claims: Mapping[str, Any], rules: Rules, now: int) -> Caller:
    kind = claims.get("kind")
    if kind not in ("user", "service") or claims.keys() != (_CLAIMS | {"scope"} if kind == "service" else _CLAIMS):
        raise BadToken("claims")
    numbers = (claims["iat"], claims["exp"], claims["epoch"])
    if not all(type(number) is int and 0 <= number < 2**53 for number in numbers):
        raise BadToken("numbers")
    if claims["aud"] != rules.audience:  # the library takes a list of them too
        raise BadToken("aud")
    if claims["exp"] - claims["iat"] > MAX_LIFE_SECONDS or claims["iat"] > now + rules.leeway_seconds:
        raise BadToken("times")
    scope, token_id = claims.get("scope", ""), claims["jti"]
    if not isinstance(scope, str) or not isinstance(token_id, str) or not 16 <= len(token_id) <= 64:
        raise BadToken("scope or jti")
    caller = Caller(
        id=_uuid(claims["sub"]),
        kind=kind,
        session_id=_uuid(claims["sid"]),
        token_id=token_id,
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        scopes=tuple(scope.split()),
    )
    if expired(caller, rules, now):
        raise BadToken("expired")
    return caller


def _uuid(value: Any) -> UUID:
    try:
        parsed = UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise BadToken("sub or sid") from None
    if str(parsed) != value:
        raise BadToken("sub or sid")
    return parsed


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadToken("json") from None
    if not isinstance(value, dict):
        raise BadToken("json")
    return value


def _decode(part: str) -> bytes:
    if not _PART.fullmatch(part):
        raise BadToken("alphabet")
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise BadToken("base64") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:  # the last character has spare bits
        raise BadToken("spelling")
    return raw
