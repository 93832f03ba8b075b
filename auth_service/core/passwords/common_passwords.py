"""The passwords that guessers try first; NOTICE says where the list comes from (PWD-3)."""

import gzip
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("common_passwords.txt.gz")
_APPENDED = "0123456789!"


def is_common(password: str) -> bool:
    """Upper and lower case are one, and digits or `!` at the end do not make a common password another one."""
    known, folded = _list(), password.casefold()
    shortest = len(folded.rstrip(_APPENDED))
    return any(folded[:length] in known for length in range(len(folded), shortest - 1, -1))


@cache
def _list() -> frozenset[str]:
    """Read at the first use, in 10 ms; a file that is missing is an error, never an empty list."""
    return frozenset(gzip.decompress(_FILE.read_bytes()).decode().split("\n"))
