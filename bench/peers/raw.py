"""The least that could answer: an ASGI app without a framework.

For the check and for forward authentication it reads the request and sends the bytes that the service answered once,
headers included. For a refresh it also does what no refresh can do without: one script in Redis that does nothing, one
row of Postgres by its primary key, and one ES256 signature with the library that the service signs with.
"""

import hashlib
import json
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk
from redis.asyncio import BlockingConnectionPool, Redis

Headers = list[tuple[bytes, bytes]]
REFRESH = "/api/v1/auth/refresh"
_SCRIPT = "return 1"
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_ROW = "SELECT user_id, generation FROM sessions WHERE id = $1"


class Raw:
    """`recorded`: by path, status, headers and body of the service's answer."""

    def __init__(self, recorded: dict[str, tuple[int, Headers, bytes]]) -> None:
        self._recorded = recorded
        self._pool: Any = None
        self._redis: Any = None
        self._key: Any = None
        self._session = UUID(os.environ["BENCH_SESSION"])
        self._claims = secrets.token_bytes(300)  # as long as those of an access token

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        status, headers, body = self._recorded[scope["path"]]
        if scope["path"] == REFRESH:
            body = await self._refresh(body)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _refresh(self, recorded: bytes) -> bytes:
        await self._redis.evalsha(_SHA, 1, f"bench:{{{self._session}}}")
        await self._pool.fetchrow(_ROW, self._session)
        signature = urlsafe_b64encode(self._key.sign(self._claims)).rstrip(b"=")
        # In the place of the old signature, so the size stays.
        at = recorded.index(b'"access_token":"') + 40
        return recorded[:at] + signature + recorded[at + len(signature) :]

    async def _live(self, receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        await receive()
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key = jwk.construct(pem.decode(), "ES256")
        self._pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10)
        connections = BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=32)
        self._redis = Redis(connection_pool=connections)
        await self._redis.script_load(_SCRIPT)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await self._redis.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def _recorded() -> dict[str, tuple[int, Headers, bytes]]:
    told = json.loads(Path(os.environ["BENCH_ANSWERS"]).read_text(encoding="utf-8"))
    return {
        path: (status, [(name.encode(), value.encode()) for name, value in headers], body.encode())
        for path, (status, headers, body) in told.items()
    }


app = Raw(_recorded()) if "BENCH_ANSWERS" in os.environ else None
