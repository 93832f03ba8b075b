"""The whole life of an account, spoken over HTTP alone, with Debian's oathtool as the phone where it is installed."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Fresh
from tests.support.api import V1, StoppedClock, Tokens, error_of, tokens_of, unique
from tests.support.phone import shown_at

PASSWORD, SECOND_PASSWORD, THIRD_PASSWORD = "seven white rabbits", "eight black horses", "nine green parrots"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ANDROID = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"


def oathtool(secret: str, moment: datetime) -> str:
    now = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    command = ["oathtool", "--totp", "--base32", "--now", now, secret]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


PHONES = {"oathtool": oathtool, "a program of our own": shown_at}


@dataclass
class Viewer:
    """Who speaks to the service: a browser or an app, with what it keeps."""

    http: httpx.AsyncClient
    agent: str
    login: str
    tokens: Tokens | None = None
    device_token: str | None = None

    async def call(self, method: str, path: str, expected: int, **body: Any) -> Any:
        headers = {"User-Agent": self.agent} | (self.tokens.bearer if self.tokens else {})
        response = await self.http.request(method, f"{V1}{path}", json=body or None, headers=headers)
        assert response.status_code == expected, response.text
        return response.json() if response.content else None

    async def log_in(self, password: str, code: str | None = None, **more: Any) -> dict[str, Any]:
        """With a code where a second factor is asked for; what the last answer says beside the tokens is returned."""
        known = {"device_token": self.device_token} if self.device_token else {}
        self.tokens = None
        answer = await self.call("POST", "/auth/login", 200, login=self.login, password=password, **known)
        if "challenge" in answer:
            assert code is not None, "a second factor is asked for"
            answer = await self.call("POST", "/auth/login/mfa", 200, challenge=answer["challenge"], code=code, **more)
        else:
            assert code is None, "no second factor is asked for"
        self.keep(answer)
        return dict(answer)

    def keep(self, answer: dict[str, Any]) -> None:
        self.tokens = Tokens(answer["access_token"], answer["refresh_token"], answer["session_id"])
        self.device_token = answer.get("device_token", self.device_token)

    async def letters(self, to: str) -> list[dict[str, Any]]:
        """Newest first."""
        response = await self.http.get("/dev/mails.json", params={"to": to})
        return list(response.json())

    async def link_token(self, to: str) -> str:
        match = re.search(r"#token=(\S+)", next(m["text"] for m in await self.letters(to) if "#token=" in m["text"]))
        assert match is not None
        return match[1]


@pytest.mark.parametrize("phone", PHONES)
async def test_a_whole_life(fresh: Fresh, phone: str) -> None:
    if phone == "oathtool" and shutil.which("oathtool") is None:
        pytest.skip("oathtool is not installed; the other phone takes its place")
    clock = StoppedClock()
    api = await fresh.api(clock, app_env="development")
    login, email = unique("neo"), f"{unique('neo')}@example.com"
    laptop, mobile = Viewer(api.http, FIREFOX, login), Viewer(api.http, ANDROID, login)

    def code(steps: int) -> str:
        """Of the present, the step before or the next: each works once, and only after those before it."""
        return PHONES[phone](secret, clock.now + timedelta(seconds=30 * steps))

    # Registers; the address is confirmed by mail.
    registered = await laptop.call("POST", "/auth/register", 201, login=login, email=email, password=PASSWORD)
    assert registered["email_verified"] is False
    confirmed = await laptop.call("POST", "/auth/email/confirm", 200, token=await laptop.link_token(email))
    assert confirmed["verified"] is True

    # Logs in, sets up the second factor; from then on a code is asked for, but not on a trusted device.
    await laptop.log_in(PASSWORD)
    started = await laptop.call("POST", "/mfa/totp", 201, current_password=PASSWORD)
    secret = started["secret"]
    assert f"secret={secret}" in started["otpauth_uri"]
    recovery_codes = (await laptop.call("POST", "/mfa/totp/confirm", 200, code=code(-1)))["recovery_codes"]
    await mobile.log_in(PASSWORD, code(0), trust_device=True)
    assert "new device" in (await laptop.letters(email))[0]["subject"]
    await mobile.log_in(PASSWORD)
    await laptop.call("POST", "/auth/login", 200, login=login, password=PASSWORD)

    # Looks around: sessions and devices in words, one is named, one is ended.
    sessions = (await mobile.call("GET", "/users/me/sessions", 200))["items"]
    assert {session["browser"] for session in sessions} == {"Firefox 140", "Chrome Mobile 141"}
    assert [session["system"] for session in sessions if session["current"]] == ["Android 15"]
    here = next(device for device in (await mobile.call("GET", "/users/me/devices", 200))["items"] if device["current"])
    assert here["trusted_until"] is not None
    await mobile.call("PATCH", f"/users/me/devices/{here['id']}", 200, name="My phone")
    await mobile.call("DELETE", f"/users/me/sessions/{laptop.tokens.session_id if laptop.tokens else ''}", 204)
    await laptop.call("GET", "/users/me", 401)

    # Refreshes; a new password forgets the trust.
    old = mobile.tokens
    assert old is not None
    mobile.keep(await mobile.call("POST", "/auth/refresh", 200, refresh_token=old.refresh))
    await mobile.call("POST", "/users/me/password", 204, current_password=PASSWORD, new_password=SECOND_PASSWORD)
    assert "password was changed" in (await mobile.letters(email))[0]["subject"]
    await mobile.log_in(SECOND_PASSWORD, code(+1))

    # Forgets it; the mailed link sets another one, and is no way around the second factor.
    laptop.tokens = None
    await laptop.call("POST", "/auth/password/forgot", 202, email=email)
    reset_token = await laptop.link_token(email)
    await laptop.call("POST", "/auth/password/reset", 200, token=reset_token, new_password=THIRD_PASSWORD)
    await laptop.call("POST", "/auth/password/reset", 401, token=reset_token, new_password=THIRD_PASSWORD)
    await mobile.call("GET", "/users/me", 401)
    await laptop.log_in(THIRD_PASSWORD, recovery_codes[0])
    assert (await laptop.call("GET", "/mfa", 200))["recovery_codes_left"] == 9

    # Steps up with a recovery code: the same session under a new id.
    before = laptop.tokens
    assert before is not None
    laptop.keep(await laptop.call("POST", "/auth/step-up", 200, code=recovery_codes[1]))
    assert laptop.tokens is not None
    assert laptop.tokens.session_id != before.session_id
    assert (await api.me(before)).status_code == 401

    # Moves to another address, confirmed at both ends.
    new_email = f"{unique('trinity')}@example.com"
    asked = await laptop.call("POST", "/users/me/email", 202, email=new_email, current_password=THIRD_PASSWORD)
    assert sorted(asked["waiting_for"]) == ["new", "old"]
    for address in (email, new_email):
        await laptop.call("POST", "/auth/email/confirm", 200, token=await laptop.link_token(address))
    assert (await laptop.call("GET", "/users/me", 200))["email"] == new_email

    # Reads the history, takes the data along.
    history = (await laptop.call("GET", "/users/me/login-history", 200))["items"]
    assert [entry["succeeded"] for entry in history] == [True] * 5
    export = await laptop.call("GET", "/users/me/export", 200)
    assert export["account"]["email"] == new_email
    assert secret not in str(export)

    # Turns the second factor off, logs out, and is gone.
    await laptop.call("DELETE", "/mfa/totp", 204, current_password=THIRD_PASSWORD, code=recovery_codes[2])
    await laptop.call("POST", "/auth/logout", 204)
    await laptop.call("GET", "/users/me", 401)
    await laptop.log_in(THIRD_PASSWORD)
    await laptop.call("DELETE", "/users/me", 204, current_password=THIRD_PASSWORD)
    gone = await api.http.post(f"{V1}/auth/login", json={"login": login, "password": THIRD_PASSWORD})
    assert error_of(gone) == (401, "invalid_credentials")
    again = await api.http.post(f"{V1}/auth/register", json={"login": login, "email": email, "password": PASSWORD})
    assert again.status_code == 201
    assert tokens_of(await api.http.post(f"{V1}/auth/login", json={"login": login, "password": PASSWORD}))
