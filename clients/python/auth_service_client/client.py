"""AuthClient: verify tokens, check permissions, protect routes. For asyncio; SyncAuthClient is for everybody else."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

import httpx2

from auth_service_client.access_tokens import LEEWAY_SECONDS, BadToken, expired, key_id, read_token
from auth_service_client.answers import NOT_KNOWN, Caller, Decision, Explanation, Grant, Question
from auth_service_client.config import WhenStale, read_config
from auth_service_client.errors import Denied, InvalidRequest, InvalidToken, NotAllowed, Unavailable
from auth_service_client.keys import Keys
from auth_service_client.loads import Loads, key_of
from auth_service_client.memory import Memory
from auth_service_client.patterns import covers
from auth_service_client.service_token import ServiceToken
from auth_service_client.stream import Stream
from auth_service_client.transport import Transport, body_of, not_ours, refusal

log = logging.getLogger("auth_service_client")
CHECK, BATCH, VERIFY = "/api/v1/permissions/check", "/api/v1/permissions/check/batch", "/api/v1/auth/verify"
MOST_IN_A_BATCH = 1000
LONGEST_PERMISSION = 128
MOST_CALLERS = 4096
# What the workers of the service keep may be older than a change that the stream has told; their stores are not.
FRESH = {"Cache-Control": "no-cache"}
UserId = UUID | str
Asked = tuple[UserId, str] | tuple[UserId, str, UserId | None]


class AuthClient:
    """Of one event loop: make it where it is used, or at import, for it connects with the first call.

    `local`: subjects that were asked about are kept in memory, the service tells of every change, and `check` is a
    dictionary look-up. It answers from memory only while it has heard within `staleness` seconds that it knows of all
    changes; otherwise it asks over HTTP, or with `when_stale="deny"` says no. The service account needs the scopes
    permissions:check and changes:read then.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        local: bool = False,
        staleness: float = 1.5,
        when_stale: WhenStale = "ask",
        max_subjects: int = 10_000,
        timeout: float = 3.0,
        retries: int = 2,
        http: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Without arguments from AUTH_SERVICE_URL, AUTH_SERVICE_CLIENT_ID, AUTH_SERVICE_CLIENT_SECRET,
        AUTH_SERVICE_ISSUER and AUTH_SERVICE_AUDIENCE; raises ConfigError. `timeout`: seconds of one call with all its
        tries. `http` is for tests and for proxies.
        """
        self._config = read_config(
            url=url,
            client_id=client_id,
            client_secret=client_secret,
            issuer=issuer,
            audience=audience,
            timeout=timeout,
            retries=retries,
            local=local,
            staleness=staleness,
            when_stale=when_stale,
            max_subjects=max_subjects,
        )
        self._transport = Transport(self._config, http)
        self._token = ServiceToken(self._config, self._transport)
        self._keys = Keys(self._config, self._transport)
        self._callers: dict[str, tuple[str, Caller]] = {}  # by token, with the id of its key
        self._memory = Memory(self._config.staleness, self._config.max_subjects if local else 0)
        self._loads = Loads(self._memory, self._ask_stores if local else self._ask)
        self._stream = Stream(self._memory, self._transport, self._token, self._keys.forget) if local else None
        self._following: asyncio.Task[None] | None = None
        self._closed = False
        self._now = time.time

    async def __aenter__(self) -> Self:
        self._follow()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what goes on in the background, and the connections."""
        self._closed = True
        self._memory.distrust()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._loads.close()
        await self._token.close()
        await self._keys.close()
        await self._transport.close()

    @asynccontextmanager
    async def lifespan(self, _app: Any = None) -> AsyncIterator[None]:
        """For FastAPI(lifespan=auth.lifespan): begins to follow changes at the start, and closes at the end."""
        async with self:
            yield

    @property
    def staleness(self) -> float:
        """Seconds: how old what it knows can be at this moment; infinite where it follows no changes."""
        return self._memory.staleness

    async def ready(self, within: float = 10.0) -> None:
        """Waits so many seconds until answers may come from memory; raises Unavailable, and InvalidRequest without
        local=True.
        """
        if self._stream is None:
            raise InvalidRequest("not_local", "without local=True nothing is kept, so there is nothing to wait for")
        if self._closed:
            raise Unavailable("closed", "the client is closed")
        self._follow()
        until = time.monotonic() + within
        while not self._memory.good:
            if time.monotonic() > until:
                raise Unavailable("no_changes", "the stream of changes does not come; see the log")
            await asyncio.sleep(0.02)

    def known(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Decision | None:
        """HOT. What it knows without asking; None for what it would have to ask. From any thread."""
        key = permission if session_id is None else (permission, str(session_id))
        return self._memory.known(user_id if type(user_id) is str else str(user_id), key)

    async def check(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Decision:
        """May the user do that? Raises Unavailable where nobody knows.

        `session_id`, the user's login: for permissions that ask for a second factor, which are denied without it.
        """
        if self._stream is not None:
            known = self.known(user_id, permission, session_id=session_id)
            if known is not None:
                return known
        return await self._learn(_question(user_id, permission, session_id))

    async def check_many(self, questions: Iterable[Asked]) -> list[Decision]:
        """Of (user id, permission) or (user id, permission, session id), in their order."""
        asked = [_question(*question) for question in questions]
        if self._stream is None:
            return [
                decision
                for first in range(0, len(asked), MOST_IN_A_BATCH)
                for decision in await self._ask(asked[first : first + MOST_IN_A_BATCH])
            ]
        found = [self._memory.known(str(question.user_id), key_of(question)) for question in asked]
        missing = [question for question, known in zip(asked, found, strict=True) if known is None]
        learned = iter(await asyncio.gather(*map(self._learn, missing)))
        return [known if known is not None else next(learned) for known in found]

    async def explain(self, user_id: UserId, permission: str, *, session_id: UserId | None = None) -> Explanation:
        """The decision and the grants that it rests on; always asks the service."""
        asked = _body(_question(user_id, permission, session_id)) | {"explain": True}
        answer = await self._as_service("POST", CHECK, json=asked)
        body = body_of(answer)
        grants = tuple(
            Grant(
                permission=grant["permission"],
                role=grant["role"],
                via=grant["via"],
                valid_from=datetime.fromisoformat(grant["valid_from"]),
                valid_until=_moment(grant.get("valid_until")),
            )
            for grant in body.get("explanation", ())
        )
        return Explanation(_decision(answer, body), grants)

    async def verify(self, token: str | None) -> Caller:
        """Whose access token that is; raises InvalidToken, and Unavailable where nobody knows.

        By the service's public keys, without asking it. With local=True one that was revoked is refused too, within
        `staleness`; without, it is good until it expires, in minutes: use `authorize` where that is too long.
        """
        if token is None:
            raise BadToken("none")
        caller = await self._genuine(token)
        if self._stream is not None and not self._memory.confirms(caller.id, caller.token_id):
            await self._confirm(caller, token)
        return caller

    async def authorize(self, token: str | None, *permissions: str) -> Caller:
        """The caller, who has every one of `permissions`; a service has them as scopes. Knows of logouts at once.

        Raises InvalidToken, Denied with the reason, and Unavailable where nobody knows.
        """
        if token is None:
            raise BadToken("none")
        for permission in permissions:
            _look_at(permission)
        if self._stream is None:
            caller = await self._genuine(token)  # what is no token of ours is no question for the service
            await self._ask_for(token, permissions)
            return caller
        caller = await self.verify(token)
        if caller.is_service:
            for permission in permissions:
                if not covers(caller.scopes, permission):
                    raise Denied("permission_denied", f"The service account lacks the scope {permission}.")
            return caller
        for permission in permissions:
            decision = await self.check(caller.id, permission, session_id=caller.session_id)
            if decision.reason == NOT_KNOWN:
                raise Unavailable(NOT_KNOWN, "What the caller may do is not known now; try again.")
            if not decision:
                code = "step_up_required" if decision.reason == "step_up_required" else "permission_denied"
                raise Denied(code, f"It takes the permission {permission}.", reason=decision.reason)
        return caller

    def require(self, *permissions: str) -> Callable[..., Any]:
        """For FastAPI: `Depends(auth.require("films:watch"))` yields the Caller; 401, 403 with the reason, or 503.

        Raises InvalidRequest at once for what no permission can be.
        """
        from auth_service_client.fastapi import dependency

        for permission in permissions:
            _look_at(permission)
        return dependency(self, permissions)

    def _follow(self) -> None:
        if self._stream is not None and self._following is None and not self._closed:
            self._following = asyncio.create_task(self._stream.run())

    async def _learn(self, question: Question) -> Decision:
        """What is not known is asked, and with local=True kept."""
        if self._stream is not None:
            self._follow()
            if not self._memory.good and self._config.when_stale == "deny":
                return Decision(False, NOT_KNOWN)
        try:
            async with asyncio.timeout(self._config.timeout):  # with the wait for its turn
                return await self._loads.load(question)
        except TimeoutError as error:
            raise Unavailable("unreachable", f"{self._config.url} did not answer in time") from error

    async def _genuine(self, token: str) -> Caller:
        rules = await self._keys.rules()
        kid, caller = self._callers.get(token) or (key_id(token), None)
        key = await self._keys.find(kid)  # which counts only while the service publishes it
        if caller is None:
            caller = read_token(token, key, rules, self._time())
            if len(self._callers) >= MOST_CALLERS:
                self._callers = {}
            self._callers[token] = kid, caller
        elif expired(caller, rules, int(self._time())):
            raise BadToken("expired")
        return caller

    def _time(self) -> float:
        """The service's, where it tells it: this machine's clock may be wrong, and be set."""
        told = self._memory.service_time
        return self._now() if told is None else told

    async def _confirm(self, caller: Caller, token: str) -> None:
        self._follow()
        if not self._memory.good and self._config.when_stale == "deny":
            raise Unavailable(NOT_KNOWN, "Whether the token was revoked is not known now; try again.")
        place = self._memory.place(caller.id)
        await self._ask_for(token, (), FRESH)
        self._memory.keep_token(place, caller.token_id, caller.expires_at + LEEWAY_SECONDS)

    async def _ask_for(self, token: str, permissions: Sequence[str], fresh: dict[str, str] | None = None) -> None:
        """As the caller: is the token alive, and does it have these?"""
        headers = {"Authorization": f"Bearer {token}", **(fresh or {})}
        query = urlencode([("permission", permission) for permission in permissions])
        answer = await self._transport.send("GET", f"{VERIFY}?{query}" if query else VERIFY, headers)
        if answer.status_code == 403:
            error = refusal(answer)
            raise Denied(
                error.code, error.detail, reason=answer.headers.get("x-auth-reason"), request_id=error.request_id
            )
        if answer.status_code != 200:
            raise refusal(answer)

    async def _ask_stores(self, questions: Sequence[Question]) -> list[Decision]:
        return await self._ask(questions, FRESH)

    async def _ask(self, questions: Sequence[Question], fresh: dict[str, str] | None = None) -> list[Decision]:
        if len(questions) == 1:
            answer = await self._as_service("POST", CHECK, fresh, json=_body(questions[0]))
            return [_decision(answer, body_of(answer))]
        checks = [_body(question) for question in questions]
        answer = await self._as_service("POST", BATCH, fresh, json={"checks": checks})
        results = body_of(answer).get("results")
        if not isinstance(results, list) or len(results) != len(questions):
            raise not_ours(answer)
        return [_decision(answer, result) for result in results]

    async def _as_service(
        self, method: str, path: str, headers: dict[str, str] | None = None, **what: Any
    ) -> httpx2.Response:
        """With the service's own token; one that is refused is fetched anew, once. Raises NotAllowed if that is, too:
        never InvalidToken, which is the caller's.
        """
        for again in (True, False):
            token = await self._token.get()
            answer = await self._transport.send(
                method, path, {"Authorization": f"Bearer {token}", **(headers or {})}, **what
            )
            if answer.status_code == 200:
                return answer
            if answer.status_code != 401 or not again:
                break
            self._token.forget(token)
        error = refusal(answer)
        if isinstance(error, InvalidToken):
            error = NotAllowed(error.code, error.detail, request_id=error.request_id)
        raise error


def _question(user_id: UserId, permission: str, session_id: UserId | None = None) -> Question:
    """Raises InvalidRequest: in a batch, one that the service refuses would have all others refused."""
    _look_at(permission)
    return Question(_id(user_id, "user_id"), permission, None if session_id is None else _id(session_id, "session_id"))


def _look_at(permission: str) -> None:
    """Raises InvalidRequest for what no permission can be, such as a list of them."""
    if (
        not isinstance(permission, str)
        or not 1 <= len(permission) <= LONGEST_PERMISSION
        or not permission.isprintable()
    ):
        raise InvalidRequest("bad_permission", "a permission is like films:watch")


def _id(given: UserId, name: str) -> UUID:
    if isinstance(given, UUID):
        return given
    try:
        return UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise InvalidRequest("bad_id", f"{name} is no UUID") from None


def _body(question: Question) -> dict[str, Any]:
    body = {"permission": question.permission, "user_id": str(question.user_id)}
    return body if question.session_id is None else body | {"session_id": str(question.session_id)}


def _decision(answer: httpx2.Response, body: Any) -> Decision:
    try:
        allowed, reason = body["allowed"], body["reason"]
        if type(allowed) is bool and isinstance(reason, str):
            return Decision(allowed, reason, _moment(body.get("valid_until")))
    except (KeyError, TypeError, ValueError):
        pass
    raise not_ours(answer)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
