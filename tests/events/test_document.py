"""docs/events.md lists every event with its fields, and nothing that is none."""

import re
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, get_args, get_origin
from uuid import UUID

from auth_service.events.kinds import KINDS, Event
from tests.conftest import ROOT

NAMES = {UUID: "id", str: "text", datetime: "time", int: "number", bool: "true or false", NoneType: "null"}


def in_words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(in_words(part) for part in get_args(kind))
    if get_origin(kind) is list:
        return f"list of {in_words(get_args(kind)[0])}"
    return NAMES[kind]


def row_of(event: type[Event]) -> str:
    fields = ", ".join(f"`{name}` {in_words(field.annotation)}" for name, field in event.model_fields.items())
    return f"| `{event.kind}` | {fields} | {' '.join((event.__doc__ or '').split())} |"


def test_the_page_of_events_is_true() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `[a-z_]+` \| `.*\|$", page, re.M)
    assert rows == [row_of(event) for event in KINDS.values()]


def test_each_event_says_what_it_means() -> None:
    assert all(event.__doc__ for event in KINDS.values())
    assert all(re.fullmatch("[a-z_]{1,40}", kind) for kind in KINDS)
    assert len(KINDS) == len({event.__name__ for event in KINDS.values()})
