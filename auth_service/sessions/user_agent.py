"""Browser and system of a User-Agent in words, as people call them. Pure."""

import re
from dataclasses import dataclass

import ua_parser

# Some rules of the parser take any text for a name, and the words stand in mails about security: a few short words
# make no sentence, and no link or telephone number.
_NAME = re.compile(r"(?=.{1,30}$)[A-Za-z][A-Za-z0-9+-]*(?:[ /][A-Za-z][A-Za-z0-9+-]*){0,3}")
_MOST = 256
_VERSION = re.compile(r"[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Words:
    """None where the User-Agent does not tell."""

    browser: str | None
    system: str | None

    def __str__(self) -> str:
        return " on ".join(part for part in (self.browser, self.system) if part) or "an unknown program"


def in_words(user_agent: str | None) -> Words:
    """Such as Firefox 130 on Windows 10. What it says is the client's own claim."""
    if not user_agent:
        return Words(None, None)
    parsed = ua_parser.parse(user_agent[:_MOST])  # some rules take long over long texts
    agent, system = parsed.user_agent, parsed.os
    return Words(
        _words(agent.family, agent.major) if agent else None,
        _words(system.family, system.major) if system else None,
    )


def _words(name: str, version: str | None) -> str | None:
    if not _NAME.fullmatch(name):
        return None
    return f"{name} {version}" if version and _VERSION.fullmatch(version) else name


def warm_up() -> None:
    """Reads the rules, which takes 100 ms: before the first login that is told to its owner, not during it."""
    in_words("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
