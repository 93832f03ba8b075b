"""What is refused, in words for the person at a form. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from auth_service.core.errors import AppError
from auth_service.core.passwords.hashing import MAX_LENGTH, MIN_LENGTH
from auth_service.pages.catalogue import N_
from auth_service.users.identifiers import MAX_LOGIN, MIN_LOGIN


@dataclass(frozen=True, slots=True)
class Words:
    """A text of the catalogue and what stands in its places; a timedelta is put into words."""

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


SUMMARY = Words(N_("Please check what you entered"))
NOTHING_CHANGED = Words(N_("Nothing was changed yet."))
_LOGIN_LENGTH = {"least": MIN_LOGIN, "most": MAX_LOGIN}
_TOO_SHORT = Words(N_("The password needs at least %(least)s characters."), {"least": MIN_LENGTH})
_TOO_LONG = Words(N_("The password may have at most %(most)s characters."), {"most": MAX_LENGTH})
_FILL_IN = Words(N_("Fill this in."))
_CODE = Words(N_("A code has six digits; a recovery code has 16 letters and digits."))
_NO_ADDRESS = Words(N_("This is not an e-mail address. Write it like anna@example.com."))
_LONG = Words(N_("This is too long."))
_UNFIT = Words(N_("This cannot be used. Write something else."))
# By what the validators say, which is a contract with clients of the API.
_BY_MESSAGE = {
    f"must have {MIN_LOGIN} to {MAX_LOGIN} characters": Words(
        N_("A login has %(least)s to %(most)s characters."), _LOGIN_LENGTH
    ),
    "may have letters, digits, dots, dashes and underscores only": Words(
        N_("A login has only letters, digits, dots, dashes and underscores.")
    ),
    "must begin and end with a letter or a digit": Words(N_("A login begins and ends with a letter or a digit.")),
    "must not mix letters of different scripts": Words(N_("A login does not mix letters of different alphabets.")),
    "must be an e-mail address": _NO_ADDRESS,
    "must be an e-mail address of at most 254 characters": _NO_ADDRESS,
    f"must have at least {MIN_LENGTH} characters": _TOO_SHORT,
    f"must have at most {MAX_LENGTH} characters": _TOO_LONG,
    "is one of the passwords that are guessed first, perhaps with digits or ! appended": Words(
        N_("This password is one of those that are guessed first. Take a few words that nobody would put together.")
    ),
    f"must have at least {MIN_LENGTH} characters besides the login, the e-mail address and our name": Words(
        N_("This password is mostly your login, your address or our name. Take something that nobody knows.")
    ),
    "must be six digits, or a recovery code": _CODE,
    "valid_until must lie after valid_from, or after now without it": Words(
        N_("The end must lie after the beginning, and after now.")
    ),
    "must be a time such as 2030-01-31T12:00:00Z": Words(
        N_("This is not a date and time. Write it like 2030-01-31T12:00.")
    ),
    "give users or a filter, one of the two": Words(N_("Give names, or say who matches: one of the two.")),
    "dates are for a grant; to end grants later, grant the role again with valid_until": Words(
        N_("Dates are for a grant. To end grants later, grant the role again with an end.")
    ),
    "ends_since must not lie after ends_until": Words(N_("The beginning must not lie after the end.")),
    "since must not lie after until": Words(N_("The beginning must not lie after the end.")),
    "There is no user, service or operator of this name or id.": Words(
        N_("There is no user, service or operator of this name. Somebody who was deleted is found by id.")
    ),
    "There is nothing of this name or id that could be changed.": Words(
        N_("There is nothing of this name that could be changed. What was deleted is found by id.")
    ),
    "must be six digits": Words(N_("The code has six digits.")),
}
_BY_TYPE = {"missing": _FILL_IN, "string_too_short": _FILL_IN, "string_too_long": _LONG}
_BY_CODE = {
    "invalid_credentials": Words(
        N_(
            "The login or the password is wrong. After many wrong tries an account is closed for a while; a new"
            " password by mail opens it."
        )
    ),
    "wrong_password": Words(N_("This is not your current password.")),
    "password_changed": Words(N_("Your password was changed meanwhile. Sign in again.")),
    "login_taken": Words(N_("This login is taken, or looks like one that is.")),
    "email_taken": Words(N_("This address belongs to an account already.")),
    "email_verified": Words(N_("Your address is confirmed already.")),
    "wrong_code": Words(N_("The code is wrong, or was used before. Wait for the next one.")),
    "invalid_code": Words(N_("The code is wrong, or was used before. Wait for the next one.")),
    "no_enrolment": Words(N_("This took longer than 15 minutes. Start again.")),
    "mfa_enabled": Words(N_("Two-step sign-in is on already.")),
    "mfa_not_enabled": Words(N_("Two-step sign-in is off.")),
    "invalid_mail_token": Words(
        N_("This link no longer works: it was used, it is too old, or a newer mail has replaced it.")
    ),
    "last_superuser": Words(N_("This is the last superuser. Appoint another one first.")),
    "would_shut_out": Words(N_("Nobody else could administer this service. Appoint another administrator first.")),
    "account_disabled": Words(N_("The account is disabled. Enable it first.")),
    "not_known_then": Words(
        N_("What was then is not known: the audit trail does not tell of it. Ask about another moment.")
    ),
    "effect_busy": Words(N_("Others are having this worked out just now. Try again in some seconds.")),
    "effect_timeout": Words(N_("This concerns too many people to be worked out now. Try again in a minute.")),
    "csrf_refused": Words(N_("This form came from another page, so nothing was done. Open the page and try again.")),
    "permission_denied": Words(
        N_("This takes a permission that your roles do not give. Somebody who administers roles can grant you one.")
    ),
    "exceeds_own_permissions": Words(
        N_("You can only manage what you hold yourself, and for as long as you hold it. Ask somebody who holds more.")
    ),
    "precondition_failed": Words(
        N_("Somebody else changed it in this moment, so nothing was done. Open the page again to see what is there.")
    ),
    "role_exists": Words(N_("There is a role of this name already.")),
    "role_in_use": Words(
        N_("Users have or had this role, or new ones get it, or a role inherits from it. Take it from them first.")
    ),
    "role_built_in": Words(N_("This role is built in and cannot be changed.")),
    "role_cycle": Words(N_("A role cannot inherit from itself, and there are at most ten roles in a row.")),
    "permission_exists": Words(N_("There is such a permission already.")),
    "permission_in_use": Words(N_("A role or a service names this permission. Take it from them first.")),
    "permission_built_in": Words(N_("This service itself asks for this permission, so it cannot be deleted.")),
    "service_exists": Words(N_("There is a service of this name already.")),
    "too_many_webhooks": Words(N_("There are 50 webhooks already. Delete one that nobody needs.")),
    "job_finished": Words(N_("This job has finished, so there is nothing to cancel.")),
    "validation_error": Words(
        N_("Something here does not fit: an end must lie after its start, and all that is named must be there still.")
    ),
    "not_found": Words(N_("There is nothing at this address.")),
    "mail_not_configured": Words(N_("This service sends no mail yet. Ask our support.")),
    "temporarily_unavailable": Words(N_("We cannot answer at the moment. Nothing was changed. Try again in a minute.")),
    "busy": Words(N_("Many people are here at once. Try again in a few seconds.")),
}
_BESIDE = {
    "login_taken": "login",
    "email_taken": "email",
    "wrong_password": "current_password",
    "role_exists": "name",
    "service_exists": "name",
    "permission_exists": "code",
    "wrong_code": "code",
    "invalid_code": "code",
}
_ANYTHING = Words(N_("This did not work. Try again."))


def field_words(kind: str, message: str, name: str) -> Words:
    """Of one of pydantic's errors: its type, the words of our validator, and the field."""
    if kind == "string_too_long" and name in {"login", "full_name"}:
        return _LONG
    return _BY_TYPE.get(kind) or _BY_MESSAGE.get(message, _UNFIT)


def refusal_words(error: AppError) -> Words:
    """With how long to wait, where the refusal says so."""
    if error.status == 429:
        wait = timedelta(seconds=int(error.headers.get("Retry-After", "60")))
        return Words(N_("Too many attempts. Wait %(wait)s and try again."), {"wait": wait})
    return _BY_MESSAGE.get(error.detail) or _BY_CODE.get(error.code, _ANYTHING)


def field_beside(error: AppError) -> str | None:
    """The field that the refusal is about; None where it is about all of the form."""
    return _BESIDE.get(error.code)
