"""A real receiver of webhooks: an HTTP server in this process that answers what a test wants."""

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Arrived:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def kind(self) -> str:
        return str(self.event["type"]).removeprefix("auth.")

    @property
    def key(self) -> str:
        return str(self.event["subject"])

    def verified_by(self, secret: str) -> bool:
        """By an implementation that is not ours."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


@dataclass
class Receiver:
    """`statuses` are given in turn, then `status`; `more` are lines for the head of each answer."""

    port: int = 0
    scheme: str = "http"
    arrived: list[Arrived] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)
    status: int = 204
    refuses: Callable[[Arrived], bool] = lambda _arrived: False
    seconds: float = 0.0
    more: str = ""
    answer: bytes = b""
    most_at_once: int = 0
    at_once: int = 0
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?path=secret"

    @property
    def ids(self) -> list[str]:
        return [item.id for item in self.arrived]

    def first_of(self, key: str) -> list[Arrived]:
        """Those of a key in the order of their first arrival, each once."""
        found: dict[str, Arrived] = {}
        for item in self.arrived:
            if item.key == key:
                found.setdefault(item.id, item)
        return list(found.values())

    async def until(self, happened: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"only {[item.kind for item in self.arrived]}"
            await asyncio.sleep(0.02)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                item = Arrived(first.split()[1], headers, await reader.readexactly(int(headers["content-length"])))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(self.seconds)
                self.at_once -= 1
                self.arrived.append(item)
                status = self.statuses.popleft() if self.statuses else 500 if self.refuses(item) else self.status
                length = f"Content-Length: {len(self.answer)}\r\n" if status != 204 else ""
                writer.write(f"HTTP/1.1 {status} x\r\n{length}{self.more}\r\n".encode())
                writer.write(self.answer if status != 204 else b"")
                await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(scheme="http" if tls is None else "https")
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
