"""Access tokens: ES256 and nothing else, minted and verified here; the only file that imports python-jose."""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JOSEError

ALGORITHM = "ES256"
TYPE = "at+jwt"  # RFC 9068 section 2.1
MAX_TOKEN_BYTES = 8 * 1024
MAX_LIFE_SECONDS = 900
# The order of P-256's group: of the two valid signatures (r, s) and (r, n - s) we make and take the low one (JWT-6).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_PART = re.compile(r"[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HEADER_KEYS = {"alg", "typ", "kid"}
_CLAIMS = {"iss", "aud", "sub", "exp", "iat", "jti", "sid", "kind", "epoch"}

SubjectKind = Literal["user", "service"]


class InvalidToken(Exception):
    """Why, for our log; a client is only told 401."""


class UnknownKey(InvalidToken):
    """The kid is well-formed but not among the loaded keys: perhaps a newer one."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified token says; times are Unix seconds."""

    subject: UUID
    kind: SubjectKind
    session_id: UUID
    token_id: str
    epoch: int
    issued_at: int
    expires_at: int
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One signing key: jose's prebuilt key objects, never raw key text. `head`: how each of its tokens begins."""

    kid: str
    head: str
    private: Key
    public: Key
    public_jwk: dict[str, Any]
    signs_from: datetime
    retires_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What every token of this deployment has in common."""

    issuer: str
    audience: str
    life_seconds: int
    leeway_seconds: int


def generate_key() -> tuple[str, bytes, dict[str, Any]]:
    """A new P-256 key: kid, private PEM, public JWK as published."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kid = secrets.token_urlsafe(12)
    public = jwk.construct(pem.decode(), ALGORITHM).public_key().to_dict()
    public_jwk = {name: _text(value) for name, value in public.items()}
    return kid, pem, {**public_jwk, "kid": kid, "use": "sig", "alg": ALGORITHM}


def load_key(
    kid: str, pem: bytes, public_jwk: dict[str, Any], signs_from: datetime, retires_at: datetime | None
) -> KeyPair:
    private = jwk.construct(pem.decode(), ALGORITHM)
    head = _encode(orjson.dumps({"alg": ALGORITHM, "typ": TYPE, "kid": kid}))
    return KeyPair(kid, head, private, jwk.construct(public_jwk, ALGORITHM), public_jwk, signs_from, retires_at)


def mint(
    rules: TokenRules,
    key: KeyPair,
    now: datetime,
    *,
    subject: UUID,
    kind: SubjectKind,
    session_id: UUID,
    epoch: int,
    scopes: tuple[str, ...] = (),
) -> str:
    """A signed token; its size does not depend on the subject's roles (JWT-8)."""
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": rules.issuer,
        "aud": rules.audience,
        "sub": str(subject),
        "kind": kind,
        "sid": str(session_id),
        "jti": secrets.token_urlsafe(16),
        "epoch": epoch,
        "iat": issued_at,
        "exp": issued_at + rules.life_seconds,
    }
    if kind == "service":
        claims["scope"] = " ".join(scopes)
    signed = f"{key.head}.{_encode(orjson.dumps(claims))}"
    return f"{signed}.{_encode(_low_s(key.private.sign(signed.encode())))}"


def verify(
    rules: TokenRules,
    keys: dict[str, KeyPair],
    token: str,
    now: datetime,
    *,
    expired_too: bool = False,
) -> tuple[str, AccessClaims]:
    """Key id and claims of a genuine, current access token; raises InvalidToken. Does not know of revocation."""
    # No library parses any of it before this has passed: size, parts, alphabet, one spelling (JWT-5).
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken("size")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidToken("parts")
    header = _object(_decode(parts[0]))
    kid = header.get("kid")
    # An exact set of header keys leaves no room for jku, x5u, jwk, x5c, crit, zip or b64 (JWT-2).
    if header.keys() != _HEADER_KEYS or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise InvalidToken("header")
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise InvalidToken("kid")
    key = keys.get(kid)
    if key is None:
        raise UnknownKey("kid")
    signature = _decode(parts[2])
    if len(signature) != 64 or int.from_bytes(signature[32:]) > _ORDER // 2:
        raise InvalidToken("signature form")
    if not _signature_is_right(key.public, f"{parts[0]}.{parts[1]}".encode(), signature):
        raise InvalidToken("signature")
    return kid, _checked_claims(rules, _object(_decode(parts[1])), int(now.timestamp()), expired_too)


def _signature_is_right(key: Key, message: bytes, signature: bytes) -> bool:
    try:
        return bool(key.verify(message, signature))
    except (JOSEError, ValueError):
        return False


def _checked_claims(rules: TokenRules, claims: dict[str, Any], now: int, expired_too: bool) -> AccessClaims:
    kind = claims.get("kind")
    expected = _CLAIMS | {"scope"} if kind == "service" else _CLAIMS
    if claims.keys() != expected or kind not in ("user", "service"):  # a tuple: kind may be unhashable
        raise InvalidToken("claims")
    if claims["iss"] != rules.issuer or claims["aud"] != rules.audience:
        raise InvalidToken("iss or aud")
    numbers = (claims["iat"], claims["exp"], claims["epoch"])
    if not all(type(number) is int and 0 <= number < 2**53 for number in numbers):
        raise InvalidToken("numbers")
    issued_at, expires_at, epoch = numbers
    if expires_at - issued_at > MAX_LIFE_SECONDS:
        raise InvalidToken("issued for too long")
    check_times(rules, issued_at, expires_at, now, expired_too=expired_too)
    if not isinstance(claims["jti"], str) or not 16 <= len(claims["jti"]) <= 64:
        raise InvalidToken("jti")
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise InvalidToken("scope")
    return AccessClaims(
        subject=_uuid(claims["sub"]),
        kind=kind,
        session_id=_uuid(claims["sid"]),
        token_id=claims["jti"],
        epoch=epoch,
        issued_at=issued_at,
        expires_at=expires_at,
        scopes=tuple(scope.split()),
    )


def check_times(rules: TokenRules, issued_at: int, expires_at: int, now: int, *, expired_too: bool) -> None:
    """Raises InvalidToken: what may be right of a token at one moment and wrong at another."""
    if issued_at > now + rules.leeway_seconds:
        raise InvalidToken("issued in the future")
    if expires_at + rules.leeway_seconds <= now and not expired_too:
        raise InvalidToken("expired")


def _uuid(value: Any) -> UUID:
    try:
        parsed = UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise InvalidToken("sub or sid") from None
    if str(parsed) != value:
        raise InvalidToken("sub or sid")
    return parsed


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)  # bounded depth, no NaN, no huge numbers
    except ValueError:
        raise InvalidToken("json") from None
    if not isinstance(value, dict):
        raise InvalidToken("json")
    return value


def _decode(part: str) -> bytes:
    if not _PART.fullmatch(part):
        raise InvalidToken("alphabet")
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise InvalidToken("base64") from None
    if _encode(raw) != part:  # the last character has spare bits, and so aliases
        raise InvalidToken("spelling")
    return raw


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _low_s(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:])
    return signature[:32] + min(s, _ORDER - s).to_bytes(32)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
