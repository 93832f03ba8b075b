"""What a check answers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from pydantic import SecretStr

Place = NewType("Place", str)


class Severity(StrEnum):
    """Only a problem makes the exit code 1."""

    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """`setting` is the variable to look at; no text holds its value where that is a secret (AUD-2)."""

    check: str
    setting: str
    problem: str
    fix: str
    severity: Severity = Severity.PROBLEM


def place_of(url: SecretStr) -> Place:
    """The hosts and ports of a URL, one or several, without user and password."""
    rest = url.get_secret_value().partition("://")[2]
    for end in "/?#":
        rest = rest.partition(end)[0]
    return Place(rest.rpartition("@")[2] or "localhost")
