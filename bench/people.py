"""Users, sessions and tokens in bulk: written straight into the stores, and signed with the keys of that database.

A login costs a password hash, 40 ms of a core; nothing here hashes more than once.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from auth_service.config import Settings, load_settings
from auth_service.core.connections import open_resources
from auth_service.core.passwords.hashing import hash_now
from auth_service.core.tokens.keys import KeyRing
from auth_service.models import new_id
from auth_service.sessions.client import Client
from auth_service.sessions.refresh_families import _key as family_key
from auth_service.sessions.start import Proof, start_session
from auth_service.testing.processes import OwnStores

PASSWORD = "a password of this benchmark"
CLIENT = Client(ip="127.0.0.1", user_agent="bench", device_name=None, device_token=None)
COPY_SECONDS = 1800
FAMILIES_AT_ONCE = 5000
_USER_COLUMNS = ["id", "login", "login_key", "email", "email_key", "password_hash"]


class People:
    """Of one database."""

    def __init__(self, stores: OwnStores) -> None:
        self.settings: Settings = load_settings(database_url=stores.database_url, redis_url=stores.redis_url)
        self._keys = asyncio.run(self._load_keys())
        self.password_hash = hash_now(PASSWORD)

    async def _load_keys(self) -> KeyRing:
        async with open_resources(self.settings) as resources:
            await resources.keys.load()
            return resources.keys

    def token(self, user: UUID, session: UUID | None = None) -> str:
        """An access token as the service signs it, good for 15 minutes."""
        return self._keys.mint(subject=user, kind="user", session_id=session or new_id(), epoch=0)

    def in_an_hour(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)

    def add_users(self, count: int, *roles: str) -> list[UUID]:
        """Each has one of the roles, in turn."""
        return asyncio.run(self._add_users(count, roles))

    async def _add_users(self, count: int, roles: Sequence[str]) -> list[UUID]:
        users = [new_id() for _ in range(count)]
        connection = await asyncpg.connect(self.settings.asyncpg_dsn, command_timeout=COPY_SECONDS)
        try:
            records = (self._record(user) for user in users)
            await connection.copy_records_to_table("users", records=records, columns=_USER_COLUMNS)
            grants = ((user, roles[number % len(roles)]) for number, user in enumerate(users))
            await connection.copy_records_to_table("user_roles", records=grants, columns=["user_id", "role_name"])
            # Nobody registers beside them, so any look will do: with none, a worker's job works them out meanwhile.
            await connection.execute("UPDATE login_looks l SET look = u.login FROM users u WHERE u.id = l.user_id")
            await connection.execute("ANALYZE users, user_roles, login_looks")
        finally:
            await connection.close()
        return users

    def _record(self, user: UUID) -> tuple[UUID, str, str, str, str, str]:
        login = login_of(user)
        email = f"{login}@cinema.example"
        return user, login, login, email, email, self.password_hash

    def add_roles(self, count: int, code: str) -> list[str]:
        """Names of new roles, each of which has the code and nothing else."""
        return asyncio.run(self._add_roles(count, code))

    async def _add_roles(self, count: int, code: str) -> list[str]:
        names = [f"bench-{number}" for number in range(count)]
        connection = await asyncpg.connect(self.settings.asyncpg_dsn, command_timeout=COPY_SECONDS)
        try:
            roles = ((name, name) for name in names)
            await connection.copy_records_to_table("roles", records=roles, columns=["name", "title"])
            patterns = ((name, code) for name in names)
            await connection.copy_records_to_table(
                "role_permissions", records=patterns, columns=["role_name", "pattern"]
            )
            await connection.execute("ANALYZE roles, role_permissions")
        finally:
            await connection.close()
        return names

    def refresh_tokens(self, users: Sequence[UUID]) -> list[str]:
        """Of a new session for each."""
        return asyncio.run(self._refresh_tokens(users))

    async def _refresh_tokens(self, users: Sequence[UUID]) -> list[str]:
        async with open_resources(self.settings) as resources:
            await resources.keys.load()
            proof = Proof(credentials_version=0)
            return [(await start_session(resources, user, CLIENT, proof)).refresh_token for user in users]

    def add_sessions(self, users: Sequence[UUID], count: int, expires_at: datetime) -> list[UUID]:
        """Rows only, each user in turn: what Redis has of them is `add_families`' matter."""
        return asyncio.run(self._add_sessions(users, count, expires_at))

    async def _add_sessions(self, users: Sequence[UUID], count: int, expires_at: datetime) -> list[UUID]:
        sessions = [new_id() for _ in range(count)]
        connection = await asyncpg.connect(self.settings.asyncpg_dsn, command_timeout=COPY_SECONDS)
        try:
            records = ((one, users[number % len(users)], expires_at) for number, one in enumerate(sessions))
            columns = ["id", "user_id", "expires_at"]
            await connection.copy_records_to_table("sessions", records=records, columns=columns)
            await connection.execute("ANALYZE sessions")
        finally:
            await connection.close()
        return sessions

    def add_families(self, sessions: Sequence[UUID]) -> int:
        """The families of these sessions in Redis; how many bytes it uses more for them."""
        return asyncio.run(self._add_families(sessions))

    async def _add_families(self, sessions: Sequence[UUID]) -> int:
        redis = Redis.from_url(self.settings.redis_url.get_secret_value())
        life = self.settings.session_idle_seconds * 1000
        try:
            before = (await redis.info("memory"))["used_memory"]
            for first in range(0, len(sessions), FAMILIES_AT_ONCE):
                pipeline = redis.pipeline(transaction=False)
                for session in sessions[first : first + FAMILIES_AT_ONCE]:
                    # As a session that has just started leaves it: sessions/refresh_families.py.
                    fields = ("generation", 0, "rotated_at", int(time.time() * 1000))
                    pipeline.execute_command("HSET", family_key(session), *fields)
                    pipeline.pexpire(family_key(session), life)
                await pipeline.execute()
            return int((await redis.info("memory"))["used_memory"] - before)
        finally:
            await redis.aclose()


def login_of(user: UUID) -> str:
    return f"b{user.hex}"
