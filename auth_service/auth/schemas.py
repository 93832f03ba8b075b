"""Bodies and answers of registration, login and tokens."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool

from auth_service.core.schemas import NOT_NULL, Answer, Body, Typed
from auth_service.mfa.schemas import TypedCode
from auth_service.sessions.schemas import DeviceName
from auth_service.users.schemas import TypedPassword

MAX_TOKEN = 8192
Token = Annotated[str, Field(min_length=1, max_length=MAX_TOKEN)]


class LoginBody(Body):
    """`login`: the login name or the e-mail address. `device_token`: what this device got at its first login."""

    login: Annotated[str, Typed(1, 320)]
    password: TypedPassword
    device_name: DeviceName | None = None
    device_token: Token | None = None


class MfaLoginBody(Body):
    """`code`: from the authenticator app, or a recovery code. `trust_device`: no code is asked on it for 30 days."""

    challenge: Token
    code: TypedCode
    trust_device: StrictBool = False


class StepUpBody(Body):
    """At least one of them; only a code makes the second factor fresh."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    current_password: TypedPassword | None = None
    code: TypedCode | None = None


class RefreshBody(Body):
    """Without the token, as without a body: it is in the cookie."""

    refresh_token: Token | None = None


class LogoutBody(Body):
    refresh_token: Token | None = None


class TokensAnswer(Answer):
    """RFC 6749 section 5.1; `expires_in` in seconds.

    `device_token`, at the first login of a device: keep it and send it with its next logins. `ended_sessions`, at a
    login: how many others had to end because there would have been too many.
    """

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    session_id: UUID
    device_token: Annotated[str | None, NOT_NULL] = None
    ended_sessions: Annotated[int | None, NOT_NULL] = None


class CookieTokensAnswer(Answer):
    """The tokens are in cookies; send `csrf_token` as X-CSRF-Token with whatever is not a GET."""

    token_type: Literal["Cookie"] = "Cookie"  # noqa: S105
    csrf_token: str
    expires_in: int
    session_id: UUID
    ended_sessions: Annotated[int | None, NOT_NULL] = None


class CsrfAnswer(Answer):
    csrf_token: str


class LoginChallenge(Answer):
    """The password was right; now `POST /auth/login/mfa` with this challenge, within `expires_in` seconds."""

    mfa_required: Literal[True] = True
    challenge: str
    expires_in: int
