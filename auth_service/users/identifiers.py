"""Canonical logins and e-mail addresses: what uniqueness and login go by (REG-2, REG-3). Pure."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from auth_service.core.confusables import mixes_scripts

MIN_LOGIN, MAX_LOGIN = 3, 64
MAX_EMAIL_OCTETS, MAX_LOCAL_OCTETS = 254, 64
_JOINERS = set("._-")


def canonical_login(login: str) -> str:
    """NFKC and case fold; raises ValueError with words for the user.

    Letters of one script, digits, and `.`, `_`, `-` between them; no `@`, so that a login is never an e-mail address.
    """
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", login).casefold())
    if not MIN_LOGIN <= len(key) <= MAX_LOGIN:
        raise ValueError(f"must have {MIN_LOGIN} to {MAX_LOGIN} characters")
    if not all(char in _JOINERS or char.isalpha() or char.isdecimal() or unicodedata.combining(char) for char in key):
        raise ValueError("may have letters, digits, dots, dashes and underscores only")
    if not (key[0].isalnum() and (key[-1].isalnum() or unicodedata.combining(key[-1]))):
        raise ValueError("must begin and end with a letter or a digit")
    if mixes_scripts(key):
        raise ValueError("must not mix letters of different scripts")
    return key


def lookup_key(identifier: str) -> tuple[str, bool]:
    """For a login attempt: the key, and whether it is an e-mail address. Never raises: unknown is just not found."""
    text = identifier.strip()
    if "@" in text:
        try:
            return canonical_email(text)[1], True
        except ValueError:
            return text.lower(), True
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()), False


def canonical_email(email: str) -> tuple[str, str]:
    """The address to write to, and its key: domain in ASCII, all in lower case, dots and plus signs as they are.

    For people it is written by `mail.addresses.shown`.
    """
    try:
        checked = validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None
    local, domain = checked.local_part, checked.ascii_domain.lower()
    if len(local.encode()) > MAX_LOCAL_OCTETS or len(f"{local}@{domain}".encode()) > MAX_EMAIL_OCTETS:
        raise ValueError("must be an e-mail address of at most 254 characters")
    return f"{local}@{domain}", f"{local.lower()}@{domain}"
