"""auth-service in memory: the routes that the client asks, over a transport instead of a socket."""

import json
import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2

from auth_service_client.access_tokens import Rules, key_id, read_token
from auth_service_client.answers import Caller, Decision
from auth_service_client.errors import InvalidToken
from auth_service_client.patterns import covers
from auth_service_client.testing.clock import Clock
from auth_service_client.testing.decide import Given, decide, with_second_factor
from auth_service_client.testing.tokens import Signer

ISSUER, AUDIENCE = "http://auth-service.test", "cinema"
_CODE = re.compile(r"[a-z][a-z0-9-]{0,62}:[a-z][a-z0-9-]{0,62}")
Answer = tuple[int, dict[str, Any], dict[str, str]]


class FakeService(httpx2.AsyncBaseTransport):
    """The test says who there is and what they have; every other user is one without grants."""

    def __init__(self) -> None:
        self.clock, self.signer, self.rules = Clock(), Signer(ISSUER, AUDIENCE), Rules(ISSUER, AUDIENCE)
        self.grants: dict[UUID, dict[str, Given]] = {}
        self.inactive: set[UUID] = set()
        self.ended: set[UUID] = set()  # sessions
        self.sessions: dict[UUID, set[UUID]] = {}  # by user
        self.unknown: set[str] = set()
        self.asks_for_second_factor: set[str] = set()
        self.second_factors: dict[tuple[UUID, UUID], datetime] = {}  # by user and session
        self.away = False
        token = {"access_token": "of-the-test", "token_type": "Bearer", "expires_in": 900}
        self._routes: dict[tuple[str, str], Callable[[httpx2.Request, bytes], Answer]] = {
            ("GET", "/.well-known/jwks.json"): lambda *_: (200, self.signer.jwks, {}),
            ("GET", "/.well-known/oauth-authorization-server"): lambda *_: (200, {"issuer": ISSUER}, {}),
            ("POST", "/api/v1/auth/token"): lambda *_: (200, token, {}),
            ("POST", "/api/v1/permissions/check"): self._check,
            ("POST", "/api/v1/permissions/check/batch"): self._check_many,
            ("GET", "/api/v1/auth/verify"): self._verify,
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        status, body, headers = self._answer(request, await request.aread())
        return httpx2.Response(status, headers={"X-Request-ID": "test", **headers}, json=body)

    def decide(self, user_id: UUID, permission: str, session_id: UUID | None) -> Decision:
        if not _CODE.fullmatch(permission) or permission in self.unknown:
            return Decision(False, "unknown_permission")
        if user_id in self.inactive:
            return Decision(False, "user_inactive")
        decision = decide(self.covering(user_id, permission), self.clock.now)
        if permission not in self.asks_for_second_factor:
            return decision
        shown = None if session_id is None else self.second_factors.get((user_id, session_id))
        return with_second_factor(decision, shown, self.clock.now)

    def covering(self, user_id: UUID, permission: str) -> list[Given]:
        return [grant for grant in self.grants.get(user_id, {}).values() if grant.covers(permission)]

    def read(self, token: str) -> Caller:
        """Raises InvalidToken, for one that was logged out too."""
        if key_id(token) != self.signer.kid:
            raise InvalidToken("not_authenticated", "A valid access token is needed.")
        caller = read_token(token, self.signer.key, self.rules, self.clock.timestamp())
        if caller.session_id in self.ended:
            raise InvalidToken("not_authenticated", "A valid access token is needed.")
        return caller

    def _answer(self, request: httpx2.Request, content: bytes) -> Answer:
        if self.away:
            return _refused(503, "temporarily_unavailable", "The test has the service fail.", {"Retry-After": "1"})
        route = self._routes.get((request.method, request.url.path))
        if route is None:
            return _refused(404, "not_found", "The test kit has no such route.", {})
        return route(request, content)

    def _check(self, _request: httpx2.Request, content: bytes) -> Answer:
        return 200, self._checked(json.loads(content)), {}

    def _check_many(self, _request: httpx2.Request, content: bytes) -> Answer:
        return 200, {"results": [self._checked(asked) for asked in json.loads(content)["checks"]]}, {}

    def _verify(self, request: httpx2.Request, _content: bytes) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._verified(token, request.url.params.get_list("permission"))

    def _checked(self, asked: dict[str, Any]) -> dict[str, Any]:
        user_id, session_id = UUID(asked["user_id"]), asked.get("session_id")
        decision = self.decide(user_id, asked["permission"], UUID(session_id) if session_id else None)
        answer: dict[str, Any] = {"allowed": decision.allowed, "reason": decision.reason}
        if decision.valid_until is not None:
            answer["valid_until"] = decision.valid_until.isoformat()
        if asked.get("explain"):
            covering = self.covering(user_id, asked["permission"])
            told = decision.reason not in {"unknown_permission", "user_inactive"}
            answer["explanation"] = [_explained(grant) for grant in covering if told]
        return answer

    def _verified(self, token: str, permissions: Collection[str]) -> Answer:
        try:
            caller = self.read(token)
        except InvalidToken as error:
            return _refused(401, error.code, error.detail, {})
        for permission in permissions:
            if caller.is_service:
                if not covers(caller.scopes, permission):
                    return _refused(403, "permission_denied", f"The service account lacks the scope {permission}.", {})
                continue
            decision = self.decide(caller.id, permission, caller.session_id)
            if not decision:
                code = "step_up_required" if decision.reason == "step_up_required" else "permission_denied"
                return _refused(403, code, "You may not do that.", {"X-Auth-Reason": decision.reason})
        return 200, {}, {}


def _explained(grant: Given) -> dict[str, Any]:
    ends = {} if grant.until is None else {"valid_until": grant.until.isoformat()}
    return {
        "permission": grant.pattern,
        "role": "of-the-test",
        "via": "of-the-test",
        "valid_from": grant.starts.isoformat(),
    } | ends


def _refused(status: int, code: str, detail: str, headers: dict[str, str]) -> Answer:
    return status, {"error": code, "detail": detail, "request_id": "test"}, headers
