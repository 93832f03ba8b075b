"""What schemathesis loads beside the document: the caller's credentials, and a count of what was asked and answered."""

import atexit
import json
import os
import zlib
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.auths import AuthContext
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.hooks import HookContext
from schemathesis.openapi.checks import RejectedPositiveData

from tests.support.fuzzing.exclusions import UNSAYABLE, is_left_out

V1 = "/api/v1"
# What an account is used up by: it is disabled, gone, or has another password. The next of the pool takes its place.
ENDINGS = {f"{V1}/users/me", f"{V1}/users/me/delete", f"{V1}/users/me/password", f"{V1}/users/me/login"}
ENDINGS |= {f"{V1}/mfa/totp/confirm"}


class Pool:
    """Accounts of one kind, one used after the other; `kind` is anonymous, user or service."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.kind: str = told["kind"]
        self._http = httpx.Client(base_url=told["base_url"], timeout=60, trust_env=False)
        self._accounts = iter(told["accounts"])
        self.login, self.secret = next(self._accounts, ("", ""))
        self._token: str | None = None
        self.used = 1

    def token(self) -> str:
        """An access token of a login of the last minutes; raises where every account is used up."""
        while self._token is None:
            answer = self._http.post(f"{V1}/auth/{'token' if self.kind == 'service' else 'login'}", json=self._body())
            if answer.status_code == 200 and "access_token" in answer.json():
                self._token = answer.json()["access_token"]
            else:
                self.next()
        return self._token

    def _body(self) -> dict[str, str]:
        if self.kind == "service":
            return {"grant_type": "client_credentials", "client_id": self.login, "client_secret": self.secret}
        return {"login": self.login, "password": self.secret}

    def refresh_token(self) -> str:
        return str(self._http.post(f"{V1}/auth/login", json=self._body()).json().get("refresh_token", "none"))

    def forget(self) -> None:
        self._token = None

    def next(self) -> None:
        self.forget()
        account = next(self._accounts, None)
        if account is None:
            raise RuntimeError(f"all {self.used} accounts of the pool are used up: seed more")
        self.login, self.secret = account
        self.used += 1


pool = Pool(json.loads(Path(os.environ["FUZZ_CALLER"]).read_text(encoding="utf-8")))
# Texts of the formats that the document names and that hypothesis would spell in ways beyond ours.
_WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=3, max_size=20)
_TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30)).map(lambda moment: f"{moment.isoformat()}Z")
schemathesis.openapi.format("login", st.builds("{}{}{}".format, _WORDS, st.sampled_from(["", ".", "-", "_"]), _WORDS))
schemathesis.openapi.format("email", st.builds("{}@{}.example.com".format, _WORDS, _WORDS))
schemathesis.openapi.format(
    "password",
    st.text(st.characters(min_codepoint=0xA1, max_codepoint=0x2FF), max_size=64).map("jY7-mqv-Tz0-{}".format),
)
schemathesis.openapi.format("digits", st.from_regex(r"[0-9]{3}[ -]?[0-9]{3}", fullmatch=True))
schemathesis.openapi.format(
    "code", st.from_regex(r"[0-9]{3}[ -]?[0-9]{3}|([a-hj-kmnp-z2-9]{4}-){3}[A-HJ-KMNP-Z2-9]{4}", fullmatch=True)
)
schemathesis.openapi.format("date-time", _TIMES)

phases: Counter[str] = Counter()
answers: dict[str, Counter[str]] = {}


def needs_token(case: Case) -> bool:
    return bool(case.operation.definition.raw.get("security"))


if pool.kind != "anonymous":

    @schemathesis.auth(refresh_interval=None)  # the pool knows better when a token is dead
    class Caller:
        def get(self, case: Case, _context: AuthContext) -> str | None:
            return pool.token() if needs_token(case) else None

        def set(self, case: Case, token: str, _context: AuthContext) -> None:
            case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Right passwords in most of what is meant to be right: no generator guesses them.

    Which ones is decided by what was drawn, since hypothesis repeats what it has drawn and wants the same again.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or not isinstance(case.body, dict):
        return
    if pool.kind == "anonymous" or zlib.crc32(repr(case.body).encode("utf-8", "replace")) % 4 == 0:
        return
    if "current_password" in case.body:
        case.body["current_password"] = pool.secret
    elif case.path == f"{V1}/auth/login" and pool.kind == "user":
        case.body |= {"login": pool.login, "password": pool.secret}
    elif case.path == f"{V1}/auth/token" and pool.kind == "service":
        case.body |= {"client_id": pool.login, "client_secret": pool.secret}
        case.body.pop("scope", None)
    elif case.path in {f"{V1}/auth/refresh", f"{V1}/auth/logout"} and pool.kind == "user":
        case.body["refresh_token"] = pool.refresh_token()


@schemathesis.hook
def after_call(_context: HookContext, case: Case, response: schemathesis.Response) -> None:
    phases[case.meta.phase.name if case.meta else "other"] += 1
    answers.setdefault(case.operation.label, Counter())[str(response.status_code)] += 1
    if pool.kind == "anonymous":
        return
    changed = response.status_code < 300 and case.method != "GET"
    if changed and case.path in ENDINGS and (case.method, case.path) != ("PATCH", f"{V1}/users/me"):
        pool.next()
    elif response.status_code == 401 or (changed and ("logout" in case.path or "sessions" in case.path)):
        pool.forget()


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, case: Case, response: schemathesis.Response) -> bool:
    """False for what stands in exclusions.py: a 422, or AuthZEN's 400, for those fields, a null for nothing, and no
    other failure.
    """
    if isinstance(failure, AcceptedNegativeData):
        return not is_left_out(case.operation.label, case.body)
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in {400, 422}:
        return True
    told = response.json()
    fields = [item["field"] for item in told.get("fields", [])] or ["body"]
    if told["error"] != "validation_error":
        fields = [told["error"]]
    return not all((case.operation.label, field) in UNSAYABLE for field in fields)


@atexit.register
def report() -> None:
    found = {"phases": phases, "answers": answers, "accounts": pool.used}
    Path(os.environ["FUZZ_REPORT"]).write_text(json.dumps(found), encoding="utf-8")
