"""Browser and system of a User-Agent in words, as people call them. Pure."""

from dataclasses import dataclass

import ua_parser


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
    parsed = ua_parser.parse(user_agent)
    agent, system = parsed.user_agent, parsed.os
    return Words(
        " ".join(part for part in (agent.family, agent.major) if part) if agent else None,
        " ".join(part for part in (system.family, system.major) if part) if system else None,
    )


def warm_up() -> None:
    """Reads the rules, which takes 100 ms: before the first login that is told to its owner, not during it."""
    in_words("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
