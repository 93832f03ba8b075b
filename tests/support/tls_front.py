"""What hosters put in front of a store: TLS ends here, and what is inside goes on to the real server as it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # how a client of Postgres asks for TLS


@dataclass
class Front:
    """`encrypted` and `plain` count the connections that got through to the server."""

    inside: SplitResult
    context: ssl.SSLContext | None
    port: int = 0
    encrypted: int = 0
    plain: int = 0

    def url(self, query: str = "", *, host: str = "127.0.0.1", scheme: str = "") -> str:
        user, at, _ = self.inside.netloc.rpartition("@")
        parts = self.inside._replace(netloc=f"{user}{at}{host}:{self.port}", query=query)
        return urlunsplit(parts._replace(scheme=scheme or parts.scheme))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            first = b""
            encrypted = self.context is not None
            if self.inside.scheme.startswith("postgres"):
                first = await reader.readexactly(8)
                encrypted = encrypted and first == SSL_REQUEST
                if encrypted:
                    first = b""
                    writer.write(b"S")
            if encrypted and self.context is not None:
                await writer.start_tls(self.context)
            inner_reader, inner_writer = await asyncio.open_connection(self.inside.hostname, self.inside.port)
            self.encrypted += encrypted
            self.plain += not encrypted
            try:
                inner_writer.write(first)
                await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
            finally:
                inner_writer.transport.abort()
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def front_of(url: str, context: ssl.SSLContext | None = None, socket: Path | None = None) -> AsyncIterator[Front]:
    """On a port of this machine, or on a socket."""
    front = Front(urlsplit(url), context)
    if socket is None:
        server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
        front.port = server.sockets[0].getsockname()[1]
    else:
        server = await asyncio.start_unix_server(front.serve, socket)
    try:
        yield front
    finally:
        server.close()
