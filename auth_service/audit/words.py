"""What an entry of the audit trail changed, in words: for the API, the command line and pages. Pure."""

from collections.abc import Collection, Iterator, Mapping
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


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """A line for each part that is not the same, such as `permissions: +films:rate \u2212reviews:write`.

    `before` None: all of it is new; `after` None: all of it is gone. What says nothing (an empty list or text) of
    either has no line.
    """
    old, new = before or {}, after or {}
    return [line for name in {**old, **new} for line in _lines(name, old, new)]


def _lines(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if name in old and name in new:
        if isinstance(new[name], list | set | frozenset | tuple):
            words = _comings(old[name] or (), new[name])
        elif old[name] != new[name]:
            words = f"{_said(name, old[name])} {_ARROW} {_said(name, new[name])}"
        else:
            words = _said(name, new[name]) if name in _ALWAYS else ""
    else:
        value = new.get(name, old.get(name))
        if not value and not (name in _NO_END and name in new):
            words = ""
        elif isinstance(value, list | set | frozenset | tuple) and name != "changed":
            words = _comings((), value) if name in new else _comings(value, ())
        elif name in new or name in _ALWAYS:
            words = _said(name, value)
        else:
            words = f"was {_said(name, value)}"
    if words:
        yield f"{name}: {words}"


def _comings(old: Collection[str], new: Collection[str]) -> str:
    come, gone = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    return " ".join([*(f"+{item}" for item in come), *(f"{_MINUS}{item}" for item in gone)])


def _said(name: str, value: Any) -> str:
    if value is None:
        return "no end" if name in _NO_END else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if name.endswith(_MOMENTS):
        return moment(value if isinstance(value, datetime) else datetime.fromisoformat(value))
    return orjson.dumps(value).decode() if name in _TEXTS else str(value)


def moment(at: datetime) -> str:
    """As people read it: in UTC, with seconds only where there are some."""
    at = at.astimezone(UTC)
    seconds = ":%S" if at.second else ""
    return at.strftime(f"%Y-%m-%d %H:%M{seconds} UTC")
