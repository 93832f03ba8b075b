"""Recovery codes: ten, for the day the phone is lost. Pure.

`k7fq-2m9x-…`: 16 characters, 79 bits. The first four only find the code's row, so that one try costs one password
hash and not ten; the other twelve, 59 bits, are kept as a password hash (MFA-5).
"""

import re
import secrets

COUNT = 10
LENGTH, FINDER_LENGTH = 16, 4
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0, 1: they are read as one another
_FORM = re.compile(rf"[{_ALPHABET}]{{{LENGTH}}}")


def new_codes() -> list[str]:
    """As shown to the viewer; their first four characters differ from each other."""
    codes: dict[str, str] = {}
    while len(codes) < COUNT:
        code = "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))
        codes.setdefault(code[:FINDER_LENGTH], code)
    return ["-".join(code[start : start + 4] for start in range(0, LENGTH, 4)) for code in codes.values()]


def is_recovery_code(code: str) -> bool:
    """In upper or lower case, without what stands between its groups."""
    return _FORM.fullmatch(code.lower()) is not None


def split(code: str) -> tuple[str, str]:
    """(finder, secret) of a code for which `is_recovery_code` holds."""
    code = code.lower()
    return code[:FINDER_LENGTH], code[FINDER_LENGTH:]
