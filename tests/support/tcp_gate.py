"""A TCP gate before a store: shut it or freeze it, and the app behind it sees a store that is down or hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr

from auth_service.config import Settings


class Gate:
    """Open at first; `shut` cuts and refuses connections, `freeze` accepts them and lets nothing through."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()
        self.accepted = 0

    @property
    def url(self) -> str:
        userinfo, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{self._port}"))

    def lead_to(self, url: str) -> None:
        """Before it is opened again: the store came back at another address."""
        self._parts = urlsplit(url)

    async def open(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def freeze(self) -> None:
        self._flowing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.accepted += 1
        try:
            inner_reader, inner_writer = await self._connect()
            try:
                ways = [self._pump(reader, inner_writer), self._pump(inner_reader, writer)]
                await asyncio.gather(*ways)
            finally:
                inner_writer.transport.abort()
        except asyncio.CancelledError:
            pass  # shut
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._parts.hostname, self._parts.port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        if writer.can_write_eof():
            with suppress(OSError):
                writer.write_eof()


@asynccontextmanager
async def gate_to(url: str) -> AsyncIterator[Gate]:
    if "+sentinel:" in url or "+cluster:" in url:
        pytest.skip("a gate stands before one server, and this Redis has several")
    gate = Gate(url)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.shut()


class Gates:
    """One on each way to the same store; they do the same."""

    def __init__(self, *gates: Gate) -> None:
        self._gates = gates

    async def open(self) -> None:
        for gate in self._gates:
            await gate.open()

    async def shut(self) -> None:
        for gate in self._gates:
            await gate.shut()

    def freeze(self) -> None:
        for gate in self._gates:
            gate.freeze()


@asynccontextmanager
async def gated(settings: Settings, store: str = "database_url") -> AsyncIterator[tuple[Gates, Settings]]:
    """The store that the setting `store` names behind gates, and the settings that lead there.

    With a pooler there are two ways to Postgres: what cuts one alone is an outage of the pooler.
    """
    names = [store]
    if store == "database_url" and settings.database_direct_url is not None:
        names.append("database_direct_url")
    async with AsyncExitStack() as stack:
        gates = {
            name: await stack.enter_async_context(gate_to(getattr(settings, name).get_secret_value())) for name in names
        }
        changed = {name: SecretStr(gate.url) for name, gate in gates.items()}
        yield Gates(*gates.values()), settings.model_copy(update=changed)
