"""What an account, a login and a worker take: bytes in Postgres and Redis, memory, connections.

    .venv/bin/python -m bench.sizing [--accounts 2000]

Accounts are registered and logged in through the service's own code, without the password hash, on stores of its own.
A row's size has its share of the indexes. Everything is removed at the end.
"""

import argparse
import asyncio

import asyncpg
import httpx
import psutil

from auth_service.config import load_settings
from auth_service.core.connections import Resources, open_resources
from auth_service.sessions.client import Client
from auth_service.sessions.start import Proof, start_session
from auth_service.users.service import add_in, new_user
from bench.own_service import own_service

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
# As long as a real one, and of no password.
HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "a" * 22 + "$" + "b" * 43
LOGINS_EACH = 3
REQUESTS = 5000
TABLES = {
    "account": ("users", "user_roles"),
    "session": ("sessions",),
    "device": ("devices",),
    "login in the history": ("login_history",),
    "event": ("outbox",),
}
_SIZE = "SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree($1::regclass)"
_PLAIN_SIZE = "SELECT pg_total_relation_size($1::regclass)"


async def fill(resources: Resources, accounts: int) -> None:
    for number in range(accounts):
        login = f"viewer-{number}"
        email = f"{login}@cinema.example"
        user = new_user(resources, login=login, email=email, full_name="Анна Каренина", password_hash=HASH)
        async with resources.db.begin() as session:
            await add_in(resources, session, user, {resources.settings.default_role})
        for _ in range(LOGINS_EACH):
            client = Client(ip="203.0.113.7", user_agent=AGENT, device_name="TV", device_token=None)
            await start_session(resources, user.id, client, Proof(credentials_version=0))
        if number % 500 == 499:
            print(f"{number + 1} accounts", flush=True)


async def sizes(connection: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """(bytes, rows) by what is stored."""
    found = {}
    for what, tables in TABLES.items():
        size = 0
        for table in tables:
            size += await connection.fetchval(_SIZE, table) or await connection.fetchval(_PLAIN_SIZE, table)
        found[what] = (size, await connection.fetchval(f"SELECT count(*) FROM {tables[0]}"))  # noqa: S608
    return found


async def connections_of(connection: asyncpg.Connection) -> int:
    count = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth-service'")
    return int(count)


async def used_memory(resources: Resources) -> int:
    info = await resources.redis.info("memory")
    return int(info["used_memory"])


async def measure_worker(base: str, pid: int) -> None:
    process = psutil.Process(pid)
    print(f"a worker at rest: {process.memory_info().rss / 2**20:.0f} MiB")
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
        answer = await http.post(
            "/api/v1/auth/register",
            json={"login": "sizing", "email": "sizing@cinema.example", "password": "a long enough password"},
        )
        answer.raise_for_status()
        login = await http.post("/api/v1/auth/login", json={"login": "sizing", "password": "a long enough password"})
        token = {"Authorization": f"Bearer {login.json()['access_token']}"}

        async def client() -> None:
            for _ in range(REQUESTS // 20):
                check = await http.post("/api/v1/permissions/check", headers=token, json={"permission": "films:watch"})
                check.raise_for_status()

        await asyncio.gather(*(client() for _ in range(20)))
    print(f"the same after {REQUESTS} checks by 20 at once: {process.memory_info().rss / 2**20:.0f} MiB")


async def run(base: str, pid: int, database_url: str, redis_url: str, accounts: int) -> None:
    settings = load_settings(database_url=database_url, redis_url=redis_url)
    connection = await asyncpg.connect(database_url)
    try:
        await measure_worker(base, pid)
        print(f"its connections to Postgres then: {await connections_of(connection)}")
        async with open_resources(settings) as resources:
            await resources.keys.load()
            before, memory = await sizes(connection), await used_memory(resources)
            await fill(resources, accounts)
            after = await sizes(connection)
            taken = await used_memory(resources) - memory
        print(f"{'of each':<24}{'bytes':>8}")
        for what, (size, rows) in after.items():
            more, count = size - before[what][0], rows - before[what][1]
            print(f"{what:<24}{more / count:>8.0f}   ({count} rows)")
        print(f"{'session in Redis':<24}{taken / (accounts * LOGINS_EACH):>8.0f}")
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=2000)
    accounts = min(parser.parse_args().accounts, 20_000)
    with own_service() as service:
        asyncio.run(run(service.base, service.pid, service.database_url, service.redis_url, accounts))


if __name__ == "__main__":
    main()
