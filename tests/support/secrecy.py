"""What was secret in a test, and the search for it in every place where it could have been left."""

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import quote

import asyncpg
import psutil
import redis.asyncio as aioredis

from auth_service.models import Base

SHORTEST = 16


@dataclass
class Hoard:
    """`values` are looked for whole, in their secret parts and encoded; `codes` (six digits) in logs and answers."""

    values: dict[str, str] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)

    def keep(self, name: str, value: str) -> str:
        self.values[f"{name} ({len(self.values)})"] = value
        return value

    def keep_code(self, code: str) -> str:
        self.codes.add(code)
        return code

    def needles(self) -> dict[str, str]:
        """By the text that is looked for: the name of the secret."""
        found = {}
        for name, value in self.values.items():
            for part in {value, *parts_of(value)}:
                raw = part.encode()
                encoded = base64.b64encode(raw).decode().rstrip("=")
                # The last characters depend on what follows.
                for text in {part, quote(part, safe=""), encoded[:-2], raw.hex(), json.dumps(part)[1:-1]}:
                    assert len(text) >= SHORTEST, f"{name} would be found by chance"
                    found[text] = name
        return found

    def hits(self, places: dict[str, str]) -> list[tuple[str, str]]:
        """Place and name of each secret that was found."""
        needles = self.needles()
        found = [(place, name) for place, text in places.items() for needle, name in needles.items() if needle in text]
        for place, text in places.items():
            if place.startswith(("log", "answers", "output")):
                bare = re.sub(r'"timestamp": ?"[^"]*"', "", text)
                found += [(place, f"code {c}") for c in self.codes if re.search(rf"(?<![\w.-]){c}(?![\w.-])", bare)]
            if not place.startswith("table"):
                found += [(place, f"a {kind}") for kind in ("$argon2id$", "PRIVATE KEY", "#token=") if kind in text]
        return sorted(set(found))


def parts_of(token: str) -> list[str]:
    """A JWT is secret in each of its parts; what is `id.secret` in its last one."""
    parts = token.split(".")
    return parts if token.startswith("eyJ") and len(parts) == 3 else parts[-1:] if len(parts[-1]) >= SHORTEST else []


async def in_postgres(dsn: str) -> dict[str, str]:
    connection = await asyncpg.connect(dsn)
    try:
        found = {}
        for table in Base.metadata.tables:
            rows = await connection.fetch(f'SELECT t::text, to_jsonb(t)::text FROM "{table}" t')  # noqa: S608
            text = "\n".join(f"{row[0]}\n{row[1]}" for row in rows)
            # What is in a bytea stands there in hexadecimal.
            raw = [value for row in await connection.fetch(f'SELECT * FROM "{table}"') for value in row]  # noqa: S608
            blobs = [value.decode("latin-1") for value in raw if isinstance(value, bytes)]
            found[f"table {table}"] = "\n".join([text, *blobs])
        return found
    finally:
        await connection.close()


async def in_redis(url: str) -> dict[str, str]:
    lines = []
    async with aioredis.Redis.from_url(url, decode_responses=False) as client:
        async for key in client.scan_iter():
            kind = (await client.type(key)).decode()
            reads = {
                "string": client.get,
                "hash": client.hgetall,
                "set": client.smembers,
                "list": lambda name: client.lrange(name, 0, -1),
                "zset": lambda name: client.zrange(name, 0, -1),
            }
            lines.append(f"{key.decode('latin-1')} {await reads[kind](key)!r}")
    return {"redis": "\n".join(lines)}


def in_processes(pid: int) -> dict[str, str]:
    """What others of this machine may see of a process and its children."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {
        f"process {process.pid}": "\n".join([*process.cmdline(), *(f"{k}={v}" for k, v in process.environ().items())])
        for process in family
    }
