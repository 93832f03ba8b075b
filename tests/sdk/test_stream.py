"""The stream of changes as the client reads it; what it does to a memory is in test_local.py."""

from collections.abc import AsyncIterator

import pytest
from auth_service_client import Unavailable
from auth_service_client.stream import Event, read_events


async def lines_of(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line


async def events_of(text: str) -> list[Event]:
    return [event async for event in read_events(lines_of(text))]


async def test_events_are_read() -> None:
    text = (
        'event: start\ndata: {"resumed":false}\n\n'
        'id: 0a.1+0\nevent: change\ndata: {"subjects":["x"]}\n\n'
        ": a comment keeps proxies awake\n\n"
        'id:0a.2+0\nevent:beat\ndata:{"at":1.5,\ndata:"time":2}\n\n'
    )
    assert await events_of(text) == [
        Event("start", {"resumed": False}, None),
        Event("change", {"subjects": ["x"]}, "0a.1+0"),
        Event("beat", {"at": 1.5, "time": 2}, "0a.2+0"),
    ]


async def test_an_event_that_was_cut_is_none() -> None:
    assert await events_of('event: change\ndata: {"all":true}') == []


async def test_a_position_is_of_its_event_only() -> None:
    text = "id: 0a.1+0\nevent: beat\ndata: {}\n\nevent: beat\ndata: {}\n\n"
    assert [event.position for event in await events_of(text)] == ["0a.1+0", None]


@pytest.mark.parametrize("data", ["<html>", "{", "\x00"])
async def test_what_is_no_json_ends_it(data: str) -> None:
    with pytest.raises(Unavailable, match="bad_stream"):
        await events_of(f"event: beat\ndata: {data}\n\n")
