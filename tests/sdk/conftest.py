"""The client against the shipped app on a socket, and against a planted service."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from auth_service_client import AuthClient
from auth_service_client.testing.plugin import auth  # noqa: F401  the fixture, which pytest finds by itself where the package is installed

from auth_service.config import Settings
from tests.support.api import Api, Tokens
from tests.support.planted_service import Planted, planted_service
from tests.support.served import served


@dataclass(frozen=True)
class Service:
    """The shared app at `base_url`; `client_id` may do what a client needs."""

    api: Api
    base_url: str
    issuer: str
    client_id: str
    client_secret: str
    root: Tokens

    def client(self, **options: object) -> AuthClient:
        return AuthClient(**self.arguments(**options))  # type: ignore[arg-type]

    def arguments(self, **options: object) -> dict[str, object]:
        given = {"url": self.base_url, "client_id": self.client_id, "client_secret": self.client_secret}
        return {**given, "issuer": self.issuer, "timeout": 20.0, **options}


@pytest.fixture(scope="module")
async def service(api: Api, shared_settings: Settings) -> AsyncIterator[Service]:
    _, root = await api.as_role("superuser")
    client_id, client_secret = await api.create_service(root, ["permissions:check", "changes:read"])
    async with served(api.app) as base_url:
        yield Service(api, base_url, shared_settings.issuer, client_id, client_secret, root)


@pytest.fixture
async def planted() -> AsyncIterator[Planted]:
    async with planted_service() as planted:
        yield planted
