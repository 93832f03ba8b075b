"""An authenticator app, written from RFC 6238 and not with the library that the service uses."""

import base64
import hmac
import struct
from datetime import datetime


def shown_at(secret: str, moment: datetime) -> str:
    """The six digits on the phone's screen."""
    counter = struct.pack(">Q", int(moment.timestamp()) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"
