"""Three ways to read one's own account for GET /users/me, side by side: ORM, one asyncpg row, a cache in Redis.

    .venv/bin/python -m bench.user_cache [--reads 5000] [--rounds 5]

The cache is measured at its best: always there, never to be dropped. CPU of this process for each read, in turns, so
that a busy machine slows all three; the ratios are to the ORM's.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from auth_service.config import load_settings
from auth_service.core.connections import Resources, open_resources
from auth_service.embedded.postgres import start_postgres
from auth_service.embedded.redis import start_redis
from auth_service.users.repository import Account, find_account, find_by_id
from auth_service.users.service import create_user

Read = Callable[[], Awaitable[object]]
KEY = "bench:{user}:account"


async def cpu_of(read: Read, count: int) -> float:
    """µs of this process' CPU for each read."""
    before = time.process_time()
    for _ in range(count):
        assert await read() is not None
    return (time.process_time() - before) / count * 1e6


async def compare(resources: Resources, reads: int, rounds: int) -> None:
    user = await create_user(resources, login="bench", email="bench@cinema.example", password="a long enough one")
    decode = TypeAdapter(Account).validate_json

    async def by_orm() -> object:
        async with resources.db() as session:
            return await find_by_id(session, user.id)

    async def by_row() -> object:
        return await find_account(resources.hot, user.id)

    async def by_cache() -> Account:
        text = await resources.redis.get(KEY)
        return decode(text)

    await resources.redis.set(KEY, orjson.dumps(asdict(await find_account(resources.hot, user.id)), default=str))
    ways: dict[str, Read] = {"ORM": by_orm, "one row": by_row, "cache in Redis": by_cache}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, read in ways.items():
            costs[name].append(await cpu_of(read, reads))
    base = statistics.median(costs["ORM"])
    print(f"{'way':<16}{'CPU µs/read':>12}{'least':>8}{'ratio':>8}")
    for name, measured in costs.items():
        middle = statistics.median(measured)
        print(f"{name:<16}{middle:>12.0f}{min(measured):>8.0f}{middle / base:>8.2f}")


async def run(reads: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        postgres = start_postgres(Path(folder) / "postgres", durable=True)
        redis = start_redis(Path(folder) / "redis", durable=True)
        try:
            environment = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
            await asyncio.to_thread(
                subprocess.run, [sys.executable, "-m", "auth_service", "migrate"], env=environment, check=True
            )
            settings = load_settings(database_url=postgres.url, redis_url=redis.url)
            async with open_resources(settings) as resources:
                await compare(resources, reads, rounds)
        finally:
            redis.stop()
            postgres.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    asyncio.run(run(min(given.reads, 50_000), min(given.rounds, 20)))


if __name__ == "__main__":
    main()
