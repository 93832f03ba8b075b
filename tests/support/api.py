"""The API as a test speaks it: HTTP only, but for the users it starts from."""

import functools
import itertools
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from auth_service.core.connections import Resources
from auth_service.core.passwords import hashing as passwords
from auth_service.models import User, UserRole, new_id
from auth_service.users.identifiers import canonical_email, canonical_login

V1 = "/api/v1"
PASSWORD = "correct horse battery staple"
_numbers = itertools.count(1)


def password_hash() -> str:
    """Of PASSWORD, at the cost that hashes have in this test: a login would replace one of another cost."""
    return _hash_of_password(passwords._context)


@functools.cache
def _hash_of_password(_context: object) -> str:
    return passwords.hash_now(PASSWORD)


def unique(prefix: str) -> str:
    """A name that no other test has, in lower case letters and digits."""
    return f"{prefix}{os.getpid()}x{next(_numbers)}"


@dataclass(frozen=True)
class Account:
    """A user as its owner knows it."""

    id: UUID
    login: str
    email: str
    password: str = PASSWORD


@dataclass(frozen=True)
class Tokens:
    access: str
    refresh: str
    session_id: str
    device_token: str | None = None  # only of a device's first login

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}


def tokens_of(response: httpx.Response) -> Tokens:
    assert response.status_code == 200, response.text
    body = response.json()
    return Tokens(body["access_token"], body["refresh_token"], body["session_id"], body.get("device_token"))


class StoppedClock:
    """A time that a test moves: `fresh.api(clock)` and then `clock.forward(seconds=60)`."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **duration: float) -> None:
        self.now += timedelta(**duration)


class Api:
    """`http` is a plain client on the app's root; the helpers below assert success and return what tests need."""

    def __init__(self, http: httpx.AsyncClient, resources: Resources | None = None, app: FastAPI | None = None) -> None:
        self.http = http
        self._resources = resources
        self._app = app

    @property
    def app(self) -> FastAPI:
        """The one in this process, which has begun."""
        assert self._app is not None
        return self._app

    @property
    def resources(self) -> Resources:
        """Of the app in this process; a service in a process of its own has none here."""
        assert self._resources is not None
        return self._resources

    async def create_user(
        self, *roles: str, login: str | None = None, stored_hash: str | None = None, active: bool = True
    ) -> Account:
        """Straight into the database, with the default role and `roles`: no hash has to be computed."""
        login = login or unique("user")
        email = f"{login}@example.com"
        user = User(
            id=new_id(),
            login=login,
            login_key=canonical_login(login),
            email=email,
            email_key=canonical_email(email)[1],
            password_hash=stored_hash or password_hash(),
            is_active=active,
        )
        now = self.resources.clock()
        async with self.resources.db.begin() as session:
            session.add(user)
            await session.flush()
            for role in {"viewer", *roles}:
                session.add(UserRole(user_id=user.id, role_name=role, valid_from=now, granted_at=now))
        return Account(user.id, login, email)

    async def log_in(self, account: Account, **more: Any) -> Tokens:
        body = {"login": account.login, "password": account.password, **more}
        return tokens_of(await self.http.post(f"{V1}/auth/login", json=body))

    async def log_in_as(self, login: str, password: str) -> httpx.Response:
        return await self.http.post(f"{V1}/auth/login", json={"login": login, "password": password})

    async def as_role(self, *roles: str) -> tuple[Account, Tokens]:
        """A new user with these roles, logged in."""
        account = await self.create_user(*roles)
        return account, await self.log_in(account)

    async def refresh(self, token: str) -> httpx.Response:
        return await self.http.post(f"{V1}/auth/refresh", json={"refresh_token": token})

    async def me(self, tokens: Tokens) -> httpx.Response:
        return await self.http.get(f"{V1}/users/me", headers=tokens.bearer)

    async def check(self, tokens: Tokens, permission: str, user_id: UUID | None = None) -> dict[str, Any]:
        body = {"permission": permission} | ({} if user_id is None else {"user_id": str(user_id)})
        response = await self.http.post(f"{V1}/permissions/check", json=body, headers=tokens.bearer)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def create_service(self, admin: Tokens, scopes: list[str] | None = None) -> tuple[str, str]:
        """(client id, client secret)."""
        body = {"name": unique("service"), "scopes": scopes or ["permissions:check"]}
        response = await self.http.post(f"{V1}/services", json=body, headers=admin.bearer)
        assert response.status_code == 201, response.text
        return response.json()["client_id"], response.json()["client_secret"]

    async def service_token(self, client_id: str, client_secret: str) -> dict[str, str]:
        """The Authorization header of the service."""
        response = await self.http.post(
            f"{V1}/auth/token", auth=(client_id, client_secret), data={"grant_type": "client_credentials"}
        )
        assert response.status_code == 200, response.text
        return {"Authorization": f"Bearer {response.json()['access_token']}"}


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and stable code of an error in our shape."""
    body = response.json()
    assert set(body) - {"fields", "error_description"} == {"error", "detail", "request_id"}, body
    assert body.get("error_description", body["detail"]) == body["detail"]  # of OAuth's endpoints
    return response.status_code, body["error"]
