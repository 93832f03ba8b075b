"""TOTP (RFC 6238) as every authenticator app has it: SHA-1, six digits, 30 s. The only file that imports pyotp."""

import base64
import hmac
import re
from datetime import datetime

import pyotp

SECONDS = 30
STEPS_AROUND = (-1, 0, 1)  # no more: each further step makes guessing easier (MFA-3)
_SECRET_CHARACTERS = 32  # base32: 160 bits (MFA-1)
LEAST_BYTES, MOST_BYTES = 16, 128  # of a seed that another system made (RFC 4226, R6)
_CODE = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """Base32, from the operating system's random numbers."""
    return pyotp.random_base32(_SECRET_CHARACTERS)


def seed_of(text: str, *, encoded: bool) -> str:
    """Of another system, as we keep it; `encoded`: the text is base32 already, and else the key itself.

    Raises ValueError with words that fit behind "an authenticator".
    """
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8), casefold=True) if encoded else text.encode()
    except ValueError:  # binascii's is one
        raise ValueError("whose seed is not base32") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"whose seed has not {LEAST_BYTES} to {MOST_BYTES} bytes")
    return base64.b32encode(key).decode().rstrip("=")


def is_totp_code(text: str) -> bool:
    """Six ASCII digits; pyotp would take full-width ones too, and so the same code twice."""
    return _CODE.fullmatch(text) is not None


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step (Unix time / 30) that the code belongs to, if it is the current one or a neighbour."""
    if not is_totp_code(code):
        return None
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // SECONDS
    matches = [step for step in (current + d for d in STEPS_AROUND) if hmac.compare_digest(_code(totp, step), code)]
    return max(matches, default=None)


def code_at(secret: str, now: datetime) -> str:
    """What the viewer's phone shows."""
    return _code(pyotp.TOTP(secret), int(now.timestamp()) // SECONDS)


def otpauth_uri(secret: str, login: str, issuer: str) -> str:
    """What the QR code says to an authenticator app."""
    return str(pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer))


def qr_svg(uri: str) -> str:
    """A whole SVG element, to be put into a page."""
    import segno  # here: half a MiB of each worker

    return str(segno.make(uri, error="m").svg_inline(scale=5, border=4))


def qr_png(uri: str) -> str:
    """A data: URI, for an img element."""
    import segno

    return str(segno.make(uri, error="m").png_data_uri(scale=5, border=4))


def _code(totp: pyotp.TOTP, step: int) -> str:
    return str(totp.generate_otp(step))
