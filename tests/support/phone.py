"""An authenticator app, written from RFC 6238 and not with the library that the service uses."""

import base64
import hmac
import struct
from datetime import datetime

from tests.support.api import PASSWORD, V1, Api, Tokens


def shown_at(secret: str, moment: datetime) -> str:
    """The six digits on the phone's screen."""
    counter = struct.pack(">Q", int(moment.timestamp()) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


async def enrol_phone(api: Api, tokens: Tokens) -> list[str]:
    """An authenticator for the caller; the recovery codes."""
    body = {"current_password": PASSWORD}
    started = await api.http.post(f"{V1}/mfa/totp", json=body, headers=tokens.bearer)
    assert started.status_code == 201, started.text
    code = {"code": shown_at(started.json()["secret"], api.resources.clock())}
    confirmed = await api.http.post(f"{V1}/mfa/totp/confirm", json=code, headers=tokens.bearer)
    assert confirmed.status_code == 200, confirmed.text
    codes: list[str] = confirmed.json()["recovery_codes"]
    return codes
