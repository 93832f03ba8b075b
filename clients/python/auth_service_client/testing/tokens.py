"""Signs access tokens as the service does, with a key of its own."""

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import ECAlgorithm

from auth_service_client.access_tokens import ALGORITHM, MAX_LIFE_SECONDS, TYPE

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Signer:
    def __init__(self, issuer: str, audience: str) -> None:
        self._issuer, self._audience = issuer, audience
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.kid = secrets.token_urlsafe(12)
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        self.jwks = {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}]}
        self.key = jwt.PyJWK(self.jwks["keys"][0])

    def sign(self, subject: UUID, session_id: UUID, now: float, scopes: tuple[str, ...] | None = None) -> str:
        """With `scopes` a service's."""
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            "kind": "user" if scopes is None else "service",
            "sid": str(session_id),
            "jti": secrets.token_urlsafe(16),
            "epoch": 0,
            "iat": int(now),
            "exp": int(now) + MAX_LIFE_SECONDS,
        }
        if scopes is not None:
            claims["scope"] = " ".join(scopes)
        text = f"{_part({'alg': ALGORITHM, 'typ': TYPE, 'kid': self.kid})}.{_part(claims)}"
        r, s = decode_dss_signature(self._private.sign(text.encode(), ec.ECDSA(SHA256())))
        return f"{text}.{_encode(r.to_bytes(32) + min(s, _ORDER - s).to_bytes(32))}"


def _part(value: Mapping[str, Any]) -> str:
    return _encode(json.dumps(value).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
