"""Bodies and answers of the second factor."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from auth_service.core.schemas import Answer, Body, PlainText
from auth_service.users.schemas import TypedPassword

# A TOTP code or a recovery code, as typed.
TypedCode = Annotated[PlainText, Field(min_length=6, max_length=40)]


class StartBody(Body):
    current_password: TypedPassword


class ConfirmBody(Body):
    code: TypedCode


class SecondFactorBody(Body):
    """Both, so that neither a stolen session nor a stolen phone is enough."""

    current_password: TypedPassword
    code: TypedCode


class ResetBody(Body):
    reason: Annotated[PlainText, Field(min_length=3, max_length=500)]


class MfaState(Answer):
    enabled: bool
    confirmed_at: datetime | None
    recovery_codes_left: int


class Enrolment(Answer):
    """Shown once, while pending. `qr_svg` is an SVG element, `qr_png` a data: URI."""

    secret: str
    otpauth_uri: str
    qr_svg: str
    qr_png: str


class RecoveryCodes(Answer):
    """Shown once."""

    recovery_codes: list[str]
