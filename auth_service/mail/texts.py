"""What each mail says: plain text in plain words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MailKind(StrEnum):
    """Links come in the fact `link`; the facts that each text takes stand in braces."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105
    EMAIL_CHANGE_OLD = "email_change_old"
    EMAIL_CHANGE_NEW = "email_change_new"
    EMAIL_CHANGED = "email_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    NEW_DEVICE = "new_device"
    MANY_FAILURES = "many_failures"
    MFA_ENABLED = "mfa_enabled"
    MFA_DISABLED = "mfa_disabled"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    RECOVERY_CODE_USED = "recovery_code_used"


@dataclass(frozen=True, slots=True)
class Letter:
    """`to` is an address that we have on record, never one that a request named (REG-3)."""

    to: str
    subject: str
    text: str


_NOT_YOU = "If this was not you, set a new password at once: {base}"
_TEXTS: dict[MailKind, tuple[str, str]] = {
    MailKind.VERIFY_EMAIL: (
        "Confirm your e-mail address",
        "{hello},\n\nopen this link within 24 hours to confirm that this address is yours:\n\n{link}\n\n"
        "If you have no account here, ignore this mail.",
    ),
    MailKind.RESET_PASSWORD: (
        "Set a new password",
        "{hello},\n\nopen this link within 30 minutes to set a new password:\n\n{link}\n\n"
        "It works once. If you did not ask for it, ignore this mail: nothing has changed.",
    ),
    MailKind.EMAIL_CHANGE_OLD: (
        "Confirm the change of your e-mail address",
        "{hello},\n\nyour account is to have another e-mail address: {new_email}\n\n"
        "Open this link within 24 hours to agree:\n\n{link}\n\n"
        "The change also has to be confirmed from the new address.\n" + _NOT_YOU,
    ),
    MailKind.EMAIL_CHANGE_NEW: (
        "Confirm your new e-mail address",
        "{hello},\n\nopen this link within 24 hours to confirm that this address is yours:\n\n{link}\n\n"
        "If you have no account here, ignore this mail.",
    ),
    MailKind.EMAIL_CHANGED: (
        "Your e-mail address was changed",
        "{hello},\n\nyour account now has the e-mail address {new_email}.\n\n" + _NOT_YOU,
    ),
    MailKind.PASSWORD_CHANGED: (
        "Your password was changed",
        "{hello},\n\nthe password of your account was changed {when}. Other devices were logged out.\n\n" + _NOT_YOU,
    ),
    MailKind.NEW_DEVICE: (
        "A login from a new device",
        "{hello},\n\nsomebody logged in to your account {when} with {device}, from the address {ip}.\n\n" + _NOT_YOU,
    ),
    MailKind.MANY_FAILURES: (
        "Many wrong passwords for your account",
        "{hello},\n\nsomebody has been trying passwords for your account. Devices that you have used before "
        "still let you in; for a login from any other one, set a new password first: {base}",
    ),
    MailKind.MFA_ENABLED: (
        "Two-step login is on",
        "{hello},\n\nsince {when} a login to your account asks for a code of your authenticator app. "
        "Other devices were logged out.\n\n" + _NOT_YOU,
    ),
    MailKind.MFA_DISABLED: (
        "Two-step login is off",
        "{hello},\n\nsince {when} a login to your account asks for the password alone. "
        "Other devices were logged out.\n\n" + _NOT_YOU,
    ),
    MailKind.RECOVERY_CODES_RENEWED: (
        "New recovery codes",
        "{hello},\n\nyou made new recovery codes {when}; the old ones no longer work.\n\n" + _NOT_YOU,
    ),
    MailKind.RECOVERY_CODE_USED: (
        "A recovery code was used",
        "{hello},\n\na recovery code of your account was used {when}.\n\n" + _NOT_YOU,
    ),
}


def write_letter(kind: MailKind, to: str, facts: Mapping[str, str]) -> Letter:
    """Raises KeyError for a missing fact: a mistake of ours."""
    subject, text = _TEXTS[kind]
    return Letter(to, subject, text.format_map(facts) + "\n")
