"""HOT. The check, the batch check and forward authentication before the layers of FastAPI, which cost more than they.

What the cache has is answered earlier still, by hits.py; what is loaded here is put into it.

For plain calls only: one bearer token, no cookie, no Origin, JSON as programs write it. Everything else is for the
ordinary route, which then gets the body once more. What is answered here comes from the same functions and is the same
to the byte: tests/permissions/test_fastpath.py compares the two.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_service.core.connections import Resources
from auth_service.core.http.edge import replayed
from auth_service.core.http.fast_routes import VARY, Headers, json_head, plain_head, refused
from auth_service.permissions.cache import CheckCache, Reply
from auth_service.permissions.callers import caller_of
from auth_service.permissions.checks import answer_checks
from auth_service.permissions.schemas import MAX_CHECKS, BatchAnswer, check_answer, check_body

Check = tuple[str, UUID | None, UUID | None]
ForwardAuth = Callable[..., Awaitable[dict[str, str]]]  # as auth.forward_auth.verify

_CODE = re.compile(r"[A-Za-z0-9_.:*-]{1,128}")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ONE = {"permission", "user_id", "session_id"}
MOST_CODES = 10


@dataclass(frozen=True, slots=True)
class _Route:
    """As the metrics and the log know it."""

    path: str


_CHECK, _BATCH, _VERIFY = _Route("/permissions/check"), _Route("/permissions/check/batch"), _Route("/auth/verify")
_ROUTES = {
    ("POST", "/api/v1/permissions/check"): _CHECK,
    ("POST", "/api/v1/permissions/check/batch"): _BATCH,
    ("GET", "/api/v1/auth/verify"): _VERIFY,
}


class FastPath:
    """Inside the edge, which has checked head and body."""

    def __init__(self, app: ASGIApp, forward_auth: ForwardAuth) -> None:
        self._app = app
        self._forward_auth = forward_auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _ROUTES.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        head = None if route is None else plain_head(scope)
        if route is None or head is None or head.token is None or head.fresh:
            await self._app(scope, receive, send)
            return
        if route is _VERIFY:
            asked: Any = codes_in(scope["query_string"])
        else:
            message = await receive()
            receive = replayed(message, receive)
            asked = None if scope["query_string"] else _asked_in(message, one=route is _CHECK)
        if asked is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        status, headers, body = await self._answer(route, head.token, asked, scope)
        await send({"type": "http.response.start", "status": status, "headers": [*headers, VARY]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, route: _Route, token: str, asked: Any, scope: Scope) -> tuple[int, Headers, bytes]:
        resources: Resources = scope["app"].state.resources
        cache: CheckCache = scope["app"].state.checks
        try:
            if route is not _CHECK:
                return 200, *await self._loaded(route, resources, cache, token, asked)
            async with cache.one_at_a_time((token, asked[0])) as alone:
                if not alone and (reply := kept_reply(cache, token, asked[0])) is not None:
                    resources.metrics.checks.labels(reply.reason).inc()
                    return 200, reply.head, reply.body
                return 200, *await self._loaded(route, resources, cache, token, asked)
        except Exception as error:
            if (refusal := await refused(scope, error)) is None:
                raise
            return refusal

    async def _loaded(
        self, route: _Route, resources: Resources, cache: CheckCache, token: str, asked: Any
    ) -> tuple[Headers, bytes]:
        caller = await caller_of(resources, cache, token)
        if route is _VERIFY:
            names = await self._forward_auth(resources, caller, asked, cache)
            head = [(name.lower().encode(), value.encode()) for name, value in names.items()]
            head.append((b"content-length", b"0"))
            cache.name(token, head)
            return head, b""
        decisions = await answer_checks(resources, caller, asked, cache)
        if route is _CHECK:
            body = check_body(decisions[0])
        else:
            answer = BatchAnswer(results=[check_answer(decision) for decision in decisions])
            body = answer.__pydantic_serializer__.to_json(answer, exclude_none=True)
        return json_head(body), body


def kept_reply(cache: CheckCache, token: str, check: Check) -> Reply | None:
    """What somebody has loaded who was waited for."""
    now = cache.current()
    caller = None if now is None else cache.caller(f"Bearer {token}".encode(), now)
    if now is None or caller is None:
        return None
    code, user, session = check
    kept = cache.find(caller, code, str(user) if user else None, str(session) if session else None, now)
    return None if kept is None else kept.reply


def codes_in(query: bytes) -> list[str] | None:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []
    if len(pairs) > MOST_CODES or not all(name == "permission" and _CODE.fullmatch(code) for name, code in pairs):
        return None
    return [code for _, code in pairs]


def _asked_in(message: Message, *, one: bool) -> list[Check] | None:
    body = message.get("body", b"")
    if message["type"] != "http.request" or message.get("more_body") or not body:
        return None
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    if one:
        if value.get("explain") is False:
            del value["explain"]
        items: Any = [value]
    else:
        items = value.get("checks")
        if value.keys() != {"checks"} or not isinstance(items, list) or not 1 <= len(items) <= MAX_CHECKS:
            return None
    checks = [_check(item) for item in items]
    return None if None in checks else checks  # type: ignore[return-value]


def _check(item: Any) -> Check | None:
    """None for what is wrong, and for what is right in another spelling."""
    if not isinstance(item, dict) or not item.keys() <= _ONE:
        return None
    code, user_id, session_id = item.get("permission"), item.get("user_id"), item.get("session_id")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return None
    for given in (user_id, session_id):
        if given is not None and not (isinstance(given, str) and _ID.fullmatch(given)):
            return None
    return code, None if user_id is None else UUID(user_id), None if session_id is None else UUID(session_id)
