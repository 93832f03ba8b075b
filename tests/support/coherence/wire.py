"""HTTP/1.1 over one kept connection: as little of it as a million requests need."""

import asyncio
import re
from dataclasses import dataclass

import orjson

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Broken(Exception):
    """The connection ended before the answer was whole: nobody knows what became of the request."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes


def request(method: str, path: str, token: str | None = None, body: object = None) -> bytes:
    """All bytes of it, so that they are made once and sent often."""
    lines = [f"{method} /api/v1{path} HTTP/1.1", "host: localhost"]
    if token is not None:
        lines.append(f"authorization: Bearer {token}")
    text = b"" if body is None else orjson.dumps(body)
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(text)}"]
    return "\r\n".join([*lines, "", ""]).encode() + text


class Line(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiter: asyncio.Future[Answer] | None = None
        self.broken = False

    @property
    def port(self) -> int:
        """Of our own end."""
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def ask(self, sent: bytes) -> asyncio.Future[Answer]:
        assert self._transport is not None
        assert self._waiter is None
        self._waiter = asyncio.get_running_loop().create_future()
        if self.broken:
            self._fail()
        else:
            self._transport.write(sent)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        waiter, self._waiter, self._received = self._waiter, None, b""
        if waiter is not None and not waiter.done():
            waiter.set_result(Answer(int(head[9:12]), head, rest[:size]))

    def connection_lost(self, _error: Exception | None) -> None:
        self.broken = True
        self._fail()

    def close(self) -> None:
        self.broken = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Broken())
        self._waiter = None


async def open_line(port: int) -> Line:
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line
