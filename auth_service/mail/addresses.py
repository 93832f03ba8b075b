"""E-mail addresses as people read them. Pure.

What is stored, compared and given to a mail server has its domain in ASCII (`xn--…`).
"""

from functools import lru_cache

import idna

from auth_service.core.confusables import mixes_scripts, scripts_of, skeleton

_PREFIX = "xn--"


def shown(address: str) -> str:
    """With its domain in the letters that its owner typed, as far as a browser would show them too."""
    if _PREFIX not in address:
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{_shown_domain(domain)}"


@lru_cache(maxsize=1000)  # 200 µs, and a page of accounts has a hundred of them, of few domains
def _shown_domain(domain: str) -> str:
    labels = domain.split(".")
    scripts = scripts_of(_decoded(labels[-1]))
    return ".".join(_shown_label(label, scripts) for label in labels)


def _shown_label(label: str, scripts_of_top: set[str]) -> str:
    """In ASCII where it mixes scripts, or imitates an ASCII name: аррӏе.com does, соре.рф is at home."""
    text = _decoded(label)
    at_home = scripts_of(text) == scripts_of_top != {"LATIN"}
    if mixes_scripts(text) or (skeleton(text).isascii() and not at_home):
        return label
    return text


def _decoded(label: str) -> str:
    """As it is where it is not what IDNA 2008 makes of a name."""
    if not label.startswith(_PREFIX):
        return label
    try:
        text = idna.ulabel(label)
        return text if idna.alabel(text).decode() == label else label
    except (idna.IDNAError, UnicodeError):
        return label
