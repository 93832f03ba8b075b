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
