"""What an entry of the audit trail changed, in words: for the API, the command line and pages. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

# A grant is of a role, whatever else of it changed.
_ALWAYS = frozenset({"role"})
# Set by people as free text; everything else is a code, a number or a name.
_TEXTS = frozenset({"title", "description"})
_MOMENTS = ("_from", "_until", "_at")
_NO_END = frozenset({"valid_until", "expires_at"})  # which is worth a line
_ARROW, _MINUS = "\u2192", "\u2212"


def moment(at: datetime) -> str:
    """As people read it: in UTC, with seconds only where there are some."""
    at = at.astimezone(UTC)
    seconds = ":%S" if at.second else ""
    return at.strftime(f"%Y-%m-%d %H:%M{seconds} UTC")


@dataclass(frozen=True, slots=True)
class Speech:
    """How it is said: to programs and at the command line as here, on a page in the reader's language.

    `field` of a field's name; `value` of a field's name and what it has, for codes; `was` of what is gone.
    """

    field: Callable[[str], str] = str
    value: Callable[[str, str], str] = lambda name, text: text
    moment: Callable[[datetime], str] = moment
    was: Callable[[str], str] = "was {}".format
    no_end: str = "no end"
    none: str = "none"
    yes: str = "yes"
    no: str = "no"


PLAIN = Speech()


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, speech: Speech = PLAIN) -> list[str]:
    """A line for each part that is not the same, such as `permissions: +films:rate \u2212reviews:write`.

    `before` None: all of it is new; `after` None: all of it is gone. What says nothing (an empty list or text) of
    either has no line.
    """
    old, new = before or {}, after or {}
    return [line for name in {**old, **new} for line in _lines(speech, name, old, new)]


def _lines(speech: Speech, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if name in old and name in new:
        if isinstance(new[name], list | set | frozenset | tuple):
            words = _comings(old[name] or (), new[name])
        elif old[name] != new[name]:
            words = f"{_said(speech, name, old[name])} {_ARROW} {_said(speech, name, new[name])}"
        else:
            words = _said(speech, name, new[name]) if name in _ALWAYS else ""
    else:
        value = new.get(name, old.get(name))
        if not value and not (name in _NO_END and name in new):
            words = ""
        elif isinstance(value, list | set | frozenset | tuple) and name != "changed":
            words = _comings((), value) if name in new else _comings(value, ())
        elif name in new or name in _ALWAYS:
            words = _said(speech, name, value)
        else:
            words = speech.was(_said(speech, name, value))
    if words:
        yield f"{speech.field(name)}: {words}"


def _comings(old: Collection[str], new: Collection[str]) -> str:
    come, gone = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    return " ".join([*(f"+{item}" for item in come), *(f"{_MINUS}{item}" for item in gone)])


def _said(speech: Speech, name: str, value: Any) -> str:
    if value is None:
        return speech.no_end if name in _NO_END else speech.none
    if isinstance(value, bool):
        return speech.yes if value else speech.no
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(speech.field(item) if name == "changed" else str(item) for item in value)
    if name.endswith(_MOMENTS):
        return speech.moment(value if isinstance(value, datetime) else datetime.fromisoformat(value))
    return orjson.dumps(value).decode() if name in _TEXTS else speech.value(name, str(value))
