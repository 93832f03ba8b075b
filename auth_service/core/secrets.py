"""Keys derived from SECRET_KEY, one for each purpose, and sealing with them."""

import hmac
import secrets
from functools import cached_property

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from auth_service.config import Settings
from auth_service.core.errors import Unavailable

log = structlog.get_logger(__name__)
NONCE_BYTES = 12


class CannotOpen(Unavailable):
    """Sealed under another SECRET_KEY, for another purpose, or tampered with: a 503, since nothing is known."""

    detail = "A stored secret cannot be opened: the operator has to set the former SECRET_KEY as SECRET_KEY_PREVIOUS."


class Secrets:
    """SECRET_KEY seals and signs; SECRET_KEY_PREVIOUS still opens and verifies while it is set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _masters(self) -> tuple[bytes, ...]:
        given = (self._settings.secret_key, self._settings.secret_key_previous)
        return tuple(secret.get_secret_value().encode() for secret in given if secret is not None)

    @cached_property
    def _mac_keys(self) -> tuple[bytes, ...]:
        return tuple(_derive(master, "refresh-token") for master in self._masters)

    @cached_property
    def _sealing_keys(self) -> tuple[AESGCM, ...]:
        return tuple(AESGCM(_derive(master, "seal")) for master in self._masters)

    def mac(self, message: bytes) -> bytes:
        """256 bits that only a holder of SECRET_KEY can compute (REF-1); each kind of message begins differently."""
        return hmac.digest(self._mac_keys[0], message, "sha256")

    def macs(self, message: bytes) -> list[bytes]:
        """Under SECRET_KEY, and under SECRET_KEY_PREVIOUS while that is set."""
        return [hmac.digest(key, message, "sha256") for key in self._mac_keys]

    def mac_matches(self, message: bytes, mac: bytes) -> bool:
        return any(hmac.compare_digest(candidate, mac) for candidate in self.macs(message))

    def seal(self, plain: bytes, *, bound_to: str) -> bytes:
        """AES-256-GCM: nonce and ciphertext; `bound_to` must be the same at `unseal`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._sealing_keys[0].encrypt(nonce, plain, bound_to.encode())

    def unseal(self, sealed: bytes, *, bound_to: str) -> bytes:
        for key in self._sealing_keys:
            try:
                return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
            except InvalidTag:
                continue  # perhaps the previous key sealed it
        log.error("cannot_unseal", what=bound_to.partition(":")[0], remedy="set the former SECRET_KEY_PREVIOUS")
        raise CannotOpen

    def can_open(self, sealed: bytes, *, bound_to: str) -> bool:
        """Whether SECRET_KEY or SECRET_KEY_PREVIOUS opens it; for questions, so nothing is logged."""
        return any(_opens(key, sealed, bound_to) for key in self._sealing_keys)

    def is_current(self, sealed: bytes, *, bound_to: str) -> bool:
        """Whether SECRET_KEY itself opens it, not the previous one."""
        return _opens(self._sealing_keys[0], sealed, bound_to)


def _opens(key: AESGCM, sealed: bytes, bound_to: str) -> bool:
    try:
        key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
    except InvalidTag:
        return False
    return True


def _derive(master: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"auth-service", info=purpose.encode()).derive(master)
