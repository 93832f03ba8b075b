"""What became of a sign-in, in words, and from where it came."""

from dataclasses import dataclass

from auth_service.models import LoginHistory
from auth_service.pages.catalogue import N_
from auth_service.pages.words import Words
from auth_service.sessions.user_agent import in_words

REASONS = {
    "wrong_password": Words(N_("Wrong password")),
    "locked": Words(N_("Refused after many wrong passwords")),
    "inactive": Words(N_("The account was disabled")),
    "wrong_code": Words(N_("Wrong code")),
    "unknown_login": Words(N_("A login that nobody has")),
}
FAILED = Words(N_("Refused"))
SUCCEEDED = Words(N_("Signed in"))


@dataclass(frozen=True, slots=True)
class Entry:
    row: LoginHistory
    outcome: Words
    browser: str | None
    system: str | None


def entry_of(row: LoginHistory) -> Entry:
    words = in_words(row.user_agent)
    outcome = SUCCEEDED if row.succeeded else REASONS.get(row.reason or "", FAILED)
    return Entry(row, outcome, words.browser, words.system)
