"""Bodies and answers about accounts."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from auth_service.core.passwords.hashing import MAX_LENGTH, MIN_LENGTH, check_rules
from auth_service.core.schemas import NOT_NULL, Answer, Body, Typed
from auth_service.mail.addresses import shown
from auth_service.users.identifiers import MAX_LOGIN, MIN_LOGIN, canonical_email, canonical_login


def _login(value: str) -> str:
    canonical_login(value)
    return value


def _email(value: str) -> str:
    return canonical_email(value)[0]


# The lengths are checked again in canonical form; these stop huge inputs early. The formats stand in the document
# for what no pattern can say: one script, a known domain syntax, a password that is not guessed first.
Login = Annotated[
    str,
    Typed(0, 4 * MAX_LOGIN, format="login"),
    Field(description=f"{MIN_LOGIN} to {MAX_LOGIN} letters of one script, digits, and `.`, `_`, `-` between them."),
    AfterValidator(_login),
]
Email = Annotated[str, Typed(0, 320, format="email"), AfterValidator(_email)]
NewPassword = Annotated[
    str,
    Field(
        max_length=1024,
        description=f"{MIN_LENGTH} to {MAX_LENGTH} characters; not one that is guessed first, nor made of the login.",
        json_schema_extra={"format": "password"},
    ),
    AfterValidator(check_rules),
]
# A typed password is only compared; too long is simply wrong, and costs no hash.
TypedPassword = Annotated[str, Field(min_length=1, max_length=1024)]
MailedText = Annotated[str, Typed(1, 200)]
FullName = Annotated[str, Typed(1, 200)]


# Of what is stored: the domain in the letters that were typed.
ShownEmail = Annotated[str, AfterValidator(shown)]


class RegisterBody(Body):
    login: Login
    email: Email
    password: NewPassword
    full_name: FullName | None = None


class ProfilePatch(Body):
    full_name: FullName | None = None


class ChangePasswordBody(Body):
    current_password: TypedPassword
    new_password: NewPassword


class LoginChangeBody(Body):
    login: Login
    current_password: TypedPassword


class DeleteAccountBody(Body):
    current_password: TypedPassword


class ForgottenPasswordBody(Body):
    email: Email


class ResetPasswordBody(Body):
    """`token`: what stands behind `#token=` in the mailed link."""

    token: MailedText
    new_password: NewPassword


class ConfirmEmailBody(Body):
    """`token`: what stands behind `#token=` in the mailed link."""

    token: MailedText


class EmailChangeBody(Body):
    email: Email
    current_password: TypedPassword


class MailUnderway(Answer):
    detail: str


class ResetAnswer(Answer):
    """Send `device_token` with the next login: it is not that of a stranger then."""

    device_token: Annotated[str | None, NOT_NULL] = None


class EmailChangeAnswer(Answer):
    """`waiting_for`: the ends that have yet to confirm."""

    email: ShownEmail
    waiting_for: list[Literal["old", "new"]]


class ConfirmationAnswer(Answer):
    """`verified`: the account has this address, and its mailbox has confirmed it."""

    email: ShownEmail
    verified: bool
    waiting_for: list[Literal["old", "new"]]


class UserAnswer(Answer):
    id: UUID
    login: str
    email: ShownEmail
    email_verified: bool
    full_name: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime
