"""A server in the place of auth-service that answers as a test plants it, and can break off."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

CHECK, BATCH = "/api/v1/permissions/check", "/api/v1/permissions/check/batch"
TOKEN, KEYS = "/api/v1/auth/token", "/.well-known/jwks.json"
GRANTED = {"allowed": True, "reason": "granted"}


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """`cut`: the connection breaks instead, after the head. `seconds` pass before."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    seconds: float = 0.0


Maker = Callable[[Asked], Answer]


class Planted:
    """`plant` what a path answers: the next times, then as always. A token and a check are always answered."""

    def __init__(self) -> None:
        self.base_url = ""
        self.asked: list[Asked] = []
        self.most_at_once: Counter[str] = Counter()
        self._at_once: Counter[str] = Counter()
        self._next: dict[str, deque[Answer]] = {}
        self._tokens = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._always: dict[str, Maker] = {
            TOKEN: self._token,
            CHECK: lambda _asked: Answer(body=GRANTED),
            BATCH: lambda asked: Answer(body={"results": [GRANTED for _ in asked.json["checks"]]}),
        }
        self.token_life = 900

    def plant(self, path: str, *answers: Answer) -> None:
        self._next.setdefault(path, deque()).extend(answers)

    def always(self, path: str, maker: Maker) -> None:
        self._always[path] = maker

    def count(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    def of(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def _token(self, _asked: Asked) -> Answer:
        self._tokens += 1
        return Answer(body={"access_token": f"token-{self._tokens}", "expires_in": self.token_life})

    def close_connections(self) -> None:
        """All that a client keeps for later."""
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        self._writers.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, target.partition("?")[0], headers, body)
        self.asked.append(asked)
        self._at_once[asked.path] += 1
        self.most_at_once[asked.path] = max(self.most_at_once[asked.path], self._at_once[asked.path])
        try:
            planted = self._next.get(asked.path)
            answer = planted.popleft() if planted else self._always[asked.path](asked)
            await asyncio.sleep(answer.seconds)
        finally:
            self._at_once[asked.path] -= 1
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        length = len(content) + 100 if answer.cut else len(content)
        lines = [f"HTTP/1.1 {answer.status} Planted", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()
        return not answer.cut


@asynccontextmanager
async def planted_service() -> AsyncIterator[Planted]:
    planted = Planted()
    server = await asyncio.start_server(planted.serve, "127.0.0.1", 0)
    async with server:
        planted.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield planted
        planted.close_connections()
