"""A real service for the tests of other services: `with running_service() as service:`, without a container."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from auth_service.embedded.server import free_port
from auth_service.seed import DEMO_USERS
from auth_service.testing.processes import own_stores, own_workers

V1 = "/api/v1"
# One address makes all calls of a test run, and nothing has to survive the machine.
FOR_TESTS = {
    "APP_ENV": "test",
    "DRAIN_SECONDS": "0",
    "LOGIN_ADDRESS_FAILURE_LIMIT": "100000",
    **{f"RATE_LIMIT_{name}": "100000/minute" for name in ("LOGIN", "REGISTER", "REFRESH", "TOKEN")},
}


@dataclass(frozen=True)
class TestUser:
    """`log_in` of the service takes it."""

    __test__ = False  # for pytest: it is none

    id: UUID
    login: str
    password: str


@dataclass(frozen=True)
class TestAccount:
    """A service account, for `client_id` and `client_secret` of a client."""

    __test__ = False

    client_id: str
    client_secret: str


class RunningService:
    """Its helpers speak HTTP as the demo superuser; they raise httpx.HTTPStatusError for what the service refuses."""

    def __init__(self, base_url: str, http: httpx.Client) -> None:
        self.base_url = self.issuer = base_url
        self._http = http
        admin = next(user for user in DEMO_USERS if user.role == "superuser")
        self._admin = TestUser(UUID(int=0), admin.login, admin.password)
        self._bearer = f"Bearer {self.log_in(self._admin)}"

    def create_user(self, *roles: str) -> TestUser:
        """Who has these roles, besides that which every user has."""
        login, password = f"user-{secrets.token_hex(6)}", secrets.token_urlsafe(16)
        body = {"login": login, "email": f"{login}@cinema.example", "password": password}
        made = TestUser(UUID(self._call("POST", "/auth/register", body)["id"]), login, password)
        for role in roles:
            self.grant(made.id, role)
        return made

    def log_in(self, user: TestUser) -> str:
        """An access token."""
        return str(self._call("POST", "/auth/login", {"login": user.login, "password": user.password})["access_token"])

    def create_account(self, *scopes: str) -> TestAccount:
        """Without `scopes`: what a client with local=True needs."""
        body = {"name": f"service-{secrets.token_hex(6)}", "scopes": scopes or ("permissions:check", "changes:read")}
        made = self._admin_call("POST", "/services", body)
        return TestAccount(made["client_id"], made["client_secret"])

    def create_permission(self, code: str) -> None:
        """Adds it to the catalogue, where it is not there."""
        answer = self._send("POST", "/permissions", {"code": code, "title": code})
        if answer.status_code != 409:
            answer.raise_for_status()

    def create_role(self, *permissions: str) -> str:
        """A new role's name; permissions that the catalogue lacks are added, but for `resource:*`."""
        for code in permissions:
            if not code.endswith(":*"):
                self.create_permission(code)
        body = {"name": f"role-{secrets.token_hex(6)}", "title": "Of a test", "permissions": permissions, "parents": []}
        return str(self._admin_call("POST", "/roles", body)["name"])

    def grant(self, user_id: UUID, role: str, *, until: datetime | None = None, starts: datetime | None = None) -> None:
        dates = {"valid_until": until, "valid_from": starts}
        body = {name: moment.isoformat() for name, moment in dates.items() if moment is not None}
        self._admin_call("PUT", f"/users/{user_id}/roles/{role}", body)

    def revoke(self, user_id: UUID, role: str) -> None:
        self._admin_call("DELETE", f"/users/{user_id}/roles/{role}")

    def deactivate(self, user_id: UUID) -> None:
        self._admin_call("PATCH", f"/admin/users/{user_id}", {"is_active": False, "reason": "a test"})

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = self._http.request(method, V1 + path, json=body, headers={"Authorization": self._bearer})
        if answer.status_code == 401:  # its token lives for minutes, a test run perhaps for longer
            self._bearer = f"Bearer {self.log_in(self._admin)}"
            answer = self._http.request(method, V1 + path, json=body, headers={"Authorization": self._bearer})
        return answer

    def _admin_call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._send(method, path, body).raise_for_status()
        return answer.json() if answer.content else None

    def _call(self, method: str, path: str, body: Any) -> Any:
        return self._http.request(method, V1 + path, json=body).raise_for_status().json()


@contextmanager
def running_service(*, workers: int = 1, **environment: str) -> Iterator[RunningService]:
    """Starts in some ten seconds, so make it once for a test run; all of it ends with the block.

    `environment`: settings of the service, such as `ACCESS_TOKEN_SECONDS="60"`. Raises NotReady or EmbeddedError.
    """
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    settings = {**FOR_TESTS, "ISSUER": base_url, "SECRET_KEY": secrets.token_urlsafe(48), **environment}
    with ExitStack() as stack:
        stores = stack.enter_context(own_stores(durable=False, **settings))
        stack.enter_context(own_workers(stores, workers=workers, port=port, **settings))
        yield RunningService(
            base_url, stack.enter_context(httpx.Client(base_url=base_url, trust_env=False, timeout=30))
        )
