"""Bodies and answers of registration, login and tokens."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from auth_service.core.schemas import Answer, Body, PlainText
from auth_service.mfa.schemas import TypedCode
from auth_service.users.schemas import TypedPassword

Token = Annotated[str, Field(min_length=1, max_length=8192)]


class LoginBody(Body):
    """`login`: the login name or the e-mail address."""

    login: Annotated[str, Field(min_length=1, max_length=320)]
    password: TypedPassword
    device_name: Annotated[PlainText, Field(min_length=1, max_length=100)] | None = None


class MfaLoginBody(Body):
    """`code`: from the authenticator app, or a recovery code."""

    challenge: Token
    code: TypedCode


class RefreshBody(Body):
    refresh_token: Token


class LogoutBody(Body):
    refresh_token: Token | None = None


class TokensAnswer(Answer):
    """RFC 6749 section 5.1; `expires_in` in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    session_id: UUID


class MfaRequired(Answer):
    """The password was right; now `POST /auth/login/mfa` with this challenge, within `expires_in` seconds."""

    mfa_required: Literal[True] = True
    challenge: str
    expires_in: int


class ServiceTokenAnswer(Answer):
    """RFC 6749 section 4.4.3: no refresh token."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str
