"""Head and body of an answer leave in one write, and nothing is held that somebody waits for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from auth_service.core.http.joined_writes import JoinedWrites

writes: list[bytes] = []
heard = asyncio.Event()


class _Noting:
    """A transport that keeps what is written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        writes.append(data)
        self._transport.write(data)


class _Noted(JoinedWrites):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Noting(transport))  # type: ignore[arg-type]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    headers = [] if scope["path"] == "/streamed" else [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/streamed":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await heard.wait()
        await send({"type": "http.response.body", "body": b"second", "more_body": True})
        await heard.wait()
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": b"whole"})


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(_app, port=0, http=_Noted, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        reader, writer = await asyncio.open_connection(host, port)
        try:
            yield reader, writer
        finally:
            writer.close()
    finally:
        await server.shutdown()


@pytest.fixture(autouse=True)
def _nothing_yet() -> None:
    writes.clear()
    heard.clear()


async def test_head_and_body_are_one_write() -> None:
    async with _connected() as (reader, writer):
        for _ in range(2):
            writer.write(b"GET /whole HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await reader.readuntil(b"whole")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(writes) == 2
    assert all(one.startswith(b"HTTP/1.1 200 OK\r\n") and one.endswith(b"\r\n\r\nwhole") for one in writes)


async def test_calls_that_come_at_once_are_answered_in_order() -> None:
    async with _connected() as (reader, writer):
        writer.write(b"GET /whole HTTP/1.1\r\nhost: a\r\n\r\n" * 3)
        for _ in range(3):
            assert (await reader.readuntil(b"whole")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_what_is_streamed_is_not_held() -> None:
    async with _connected() as (reader, writer):
        writer.write(b"GET /streamed HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"first"), 5)
        heard.set()
        await asyncio.wait_for(reader.readuntil(b"second"), 5)
        assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)


async def test_an_answer_is_whole_before_the_connection_closes() -> None:
    async with _connected() as (reader, writer):
        writer.write(b"GET /whole HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nwhole")
