"""Makes users, roles, sessions and services straight in the database, and their tokens with the service's own keys.

What is made so is new: nobody can have an answer about it in memory.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from auth_service.core.clock import utc_now
from auth_service.core.connections import Resources
from auth_service.core.errors import Unavailable, is_store_failure
from auth_service.core.passwords.hashing import hash_now
from auth_service.models import new_id
from auth_service.sessions.refresh_token import write_refresh_token
from tests.support.api import PASSWORD

TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PATIENCE = 90
Made = TypeVar("Made")


class People:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._hash = hash_now(PASSWORD)
        self.era = 0  # of tokens: those of the one before are not used any more

    async def open(self) -> None:
        """Begins with the service that asks and the admin who changes things."""
        await self._resources.keys.load()
        self.checker_id, self.admin_id = new_id(), new_id()
        await self._service(self.checker_id)
        await self._user(self.admin_id, "superuser")
        self.admin_session, _ = await self.session(str(self.admin_id))
        self.mint_again()

    def mint_again(self) -> None:
        """Tokens of those who stay, with the newest key."""
        self.checker = self.service_token(str(self.checker_id))
        self.admin = self.token(str(self.admin_id), self.admin_session, 0)
        self.era += 1

    def now(self) -> float:
        """By the clock that decisions go by."""
        return utc_now().timestamp()

    async def load_keys(self) -> None:
        await self._surely(self._resources.keys.load)

    async def actor(self, name: str, codes: dict[str, str]) -> None:
        """Its roles and codes; the role has "own", its parent gives "inherited"."""
        role, parent = f"{name}-role", f"{name}-parent"
        for code in codes.values():
            await self._do("INSERT INTO permissions (code, title) VALUES ($1, 'of a trial')", code)
        for one, code in ((role, codes["own"]), (parent, codes["inherited"])):
            await self._do("INSERT INTO roles (name, title) VALUES ($1, 'of a trial')", one)
            await self._do("INSERT INTO role_permissions (role_name, pattern) VALUES ($1, $2)", one, code)
        await self._do("INSERT INTO role_parents (role_name, parent_name) VALUES ($1, $2)", role, parent)

    async def user(self, role: str, *, second_factor: bool) -> str:
        user = new_id()
        await self._user(user, role)
        if second_factor:
            sealed = self._resources.secrets.seal(TOTP_SECRET.encode(), bound_to=f"totp:{user}")
            await self._do(
                "INSERT INTO mfa_totp (user_id, sealed_secret, confirmed_at) VALUES ($1, $2, now())", user, sealed
            )
        return str(user)

    async def session(self, user: str, *, shown: bool = False, generation: int = 0) -> tuple[str, int]:
        """Its id and the user's epoch. It counts as just proven for as long as the trials take."""
        session, now = new_id(), utc_now()
        day = timedelta(days=1)
        epoch = await self._do(
            "INSERT INTO sessions (id, user_id, generation, authenticated_at, second_factor_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $4) ON CONFLICT (id) DO UPDATE SET generation = $3"
            " RETURNING (SELECT epoch FROM users WHERE id = $2)",
            session,
            UUID(user),
            generation,
            now + day,
            now if shown else None,
        )
        return str(session), int(epoch)

    async def service(self) -> str:
        service = new_id()
        await self._service(service)
        return str(service)

    def login_of(self, user: str) -> str:
        return f"trial{UUID(user).hex}"

    def token(self, user: str, session: str, epoch: int) -> str:
        keys = self._resources.keys
        return keys.mint(subject=UUID(user), kind="user", session_id=UUID(session), epoch=epoch)

    def service_token(self, service: str) -> str:
        scopes = ("permissions:check",)
        one = UUID(service)
        return self._resources.keys.mint(subject=one, kind="service", session_id=one, epoch=0, scopes=scopes)

    def refresh_token(self, session: str, generation: int) -> str:
        return write_refresh_token(self._resources.secrets, UUID(session), generation)

    async def _user(self, user: UUID, role: str) -> None:
        login = self.login_of(str(user))
        await self._do(
            "INSERT INTO users (id, login, login_key, email, email_key, password_hash) VALUES ($1, $2, $2, $3, $3, $4)",
            user,
            login,
            f"{login}@example.com",
            self._hash,
        )
        await self._do("INSERT INTO user_roles (user_id, role_name) VALUES ($1, $2)", user, role)

    async def _service(self, service: UUID) -> None:
        await self._do(
            "INSERT INTO service_accounts (id, name, scopes) VALUES ($1, $2, ARRAY['permissions:check'])",
            service,
            f"trial-{service.hex}",
        )

    async def _do(self, statement: str, *values: Any) -> Any:
        """Until it works: what one try has made already, another finds there."""
        whole = statement if "RETURNING" in statement else f"{statement} ON CONFLICT DO NOTHING"

        async def once() -> Any:
            return await self._resources.hot.fetchval(whole, *values)

        return await self._surely(once)

    async def _surely(self, act: Callable[[], Awaitable[Made]]) -> Made:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return await act()
            except Exception as error:
                if not (is_store_failure(error) or isinstance(error, Unavailable)) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
