"""Bodies and answers of the second factor."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from auth_service.core.schemas import Answer, Body, Typed, without_gaps
from auth_service.mfa.recovery_codes import is_recovery_code
from auth_service.mfa.totp import is_totp_code
from auth_service.users.schemas import TypedPassword


def _code(value: str) -> str:
    code = without_gaps(value)
    if not (is_totp_code(code) or is_recovery_code(code)):
        raise ValueError("must be six digits, or a recovery code")
    return code


def _digits(value: str) -> str:
    code = without_gaps(value)
    if not is_totp_code(code):
        raise ValueError("must be six digits")
    return code


# As a phone or a printed list shows them: `123 456`, `K7FQ 2m9x-…`. What cannot be a code costs no try.
TypedCode = Annotated[
    str,
    Field(
        max_length=100,
        description="Six digits, or a recovery code; spaces and dashes in it do not count.",
        json_schema_extra={"format": "code"},
    ),
    AfterValidator(_code),
]
TypedDigits = Annotated[
    str,
    Field(
        max_length=100,
        description="Six digits; spaces and dashes between them do not count.",
        json_schema_extra={"format": "digits"},
    ),
    AfterValidator(_digits),
]


class StartTotpBody(Body):
    current_password: TypedPassword


class ConfirmTotpBody(Body):
    code: TypedDigits


class SecondFactorBody(Body):
    """Both, so that neither a stolen session nor a stolen phone is enough."""

    current_password: TypedPassword
    code: TypedCode


class ResetSecondFactorBody(Body):
    reason: Annotated[str, Typed(3, 500)]


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


class NewRecoveryCodes(Answer):
    """Shown once."""

    recovery_codes: list[str]
