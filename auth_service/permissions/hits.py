"""HOT. Checks that the cache can answer, before all layers; whatever is not a clean hit is for the ordinary way.

A clean hit has one Authorization header, no header that the ordinary way would look at twice, a body as programs write
it, and a caller and an answer that are kept. Its answer is that of the ordinary way, header by header:
tests/permissions/test_hits.py compares them. Hits are counted by plain numbers, and logged only where
LOG_CACHED_CHECKS asks for it.
"""

import re
import secrets
from functools import lru_cache
from itertools import count
from time import perf_counter
from typing import Any

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_service.config import Settings
from auth_service.core.http.cache_control import wants_fresh
from auth_service.core.http.edge import (
    ANSWER_HEADERS,
    BODY_LIMITS,
    HEADER_LIMIT,
    HSTS,
    NO_STORE,
    REQUEST_ID,
    host_check,
    replayed,
)
from auth_service.core.http.fast_routes import VARY, json_head
from auth_service.permissions.cache import ALWAYS, MOST_ASKED, Asked, Caller, CheckCache, Reply
from auth_service.permissions.fastpath import codes_in
from auth_service.permissions.patterns import covers
from auth_service.permissions.schemas import MAX_CHECKS

log = structlog.get_logger(__name__)

CHECK, BATCH, VERIFY = "/api/v1/permissions/check", "/api/v1/permissions/check/batch", "/api/v1/auth/verify"
METHODS = {CHECK: "POST", BATCH: "POST", VERIFY: "GET"}
_COUNTED = {path: (method, path.removeprefix("/api/v1")) for path, method in METHODS.items()}
BATCH_LIMIT = BODY_LIMITS[BATCH]
# Headers that the ordinary way goes by (True), and those whose value changes nothing that the answer shows.
_PLAIN = dict.fromkeys(
    b"accept accept-encoding accept-language cache-control connection forwarded keep-alive pragma priority te"
    b" traceparent tracestate user-agent via x-forwarded-for x-forwarded-host x-forwarded-method x-forwarded-port"
    b" x-forwarded-proto x-forwarded-uri x-original-uri x-real-ip".split(),
    False,
) | dict.fromkeys((b"authorization", b"host", b"content-type", b"content-length", b"x-request-id"), True)
_CODE = rb'"permission": ?"([a-z0-9:*-]{1,128})"'
_ID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_BODY = re.compile(rb'\{%b(?:, ?"user_id": ?"(%b)")?(?:, ?"session_id": ?"(%b)")?\}' % (_CODE, _ID, _ID))
_USER_FIRST = re.compile(rb'\{"user_id": ?"(%b)", ?%b\}' % (_ID, _CODE))
_ITEM = {"permission", "user_id", "session_id"}
LONGEST_NAME = max(map(len, _PLAIN))
LONGEST_QUERY = 2048
MOST_QUERIES = 256
MOST_HEADS = 512


class Hits:
    """Before FastAPI: nothing else has seen the request. `state` is the app's, whose `checks` are the cache."""

    def __init__(self, app: ASGIApp, settings: Settings, state: Any) -> None:
        self._app = app
        self._state = state
        self._logs = settings.log_cached_checks
        start = secrets.randbits(63)  # of this worker's numbers: an id only has to be another one each time
        self._ids = (b"%016x" % number for number in count(start))
        self._heads: dict[str, dict[tuple[tuple[bytes, bytes], ...], tuple[bytes, None]]] = {p: {} for p in METHODS}
        self._is_allowed = host_check(settings)
        self._codes = lru_cache(maxsize=MOST_QUERIES)(codes_in)
        self._tail = [NO_STORE, *([HSTS] if settings.production else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path not in METHODS or scope["type"] != "http" or scope["method"] != METHODS[path]:
            await self._app(scope, receive, send)
            return
        started = perf_counter() if self._logs else 0.0
        given = tuple(scope["headers"])
        known = self._heads[path].get(given)
        head = known or self._head(path, given)
        if head is None or len(scope["query_string"]) > LONGEST_QUERY:
            await self._app(scope, receive, send)
            return
        authorization, request_id = head
        if request_id is None:
            request_id = next(self._ids)
        if path == VERIFY:
            reply = self._reply(scope, path, authorization, None)
        else:
            message = await receive()
            if message.get("more_body"):
                message, receive = await _joined(message, receive)
            reply = self._reply(scope, path, authorization, message)
            if reply is None:
                receive = replayed(message, receive)
        if reply is None:
            await self._app(scope, receive, send)
            return
        if known is None and head[1] is None:
            # A client that asks again and again sends the same head each time; this one was good for an answer.
            _remember(self._heads[path], given, (authorization, None), MOST_HEADS)
        headers = [*reply.head, VARY, *ANSWER_HEADERS, (b"x-request-id", request_id), *self._tail]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        if self._logs:
            ms = round((perf_counter() - started) * 1000, 1)
            log.info("request", request_id=request_id.decode(), method=METHODS[path], path=path, status=200, ms=ms)

    def _head(self, path: str, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[bytes, bytes | None] | None:
        """The Authorization header and the id that the request came with; None for all that is not plain."""
        given: dict[bytes, bytes] = {}
        size = len(path) + LONGEST_QUERY
        for name, value in headers:
            counts = _PLAIN.get(name)
            if counts is None or name in given:
                return None
            if name == b"cache-control" and wants_fresh(value):
                return None
            size += LONGEST_NAME + len(value)  # more than it is
            if counts:
                given[name] = value
        host, authorization = given.get(b"host"), given.get(b"authorization")
        if authorization is None or host is None or size > HEADER_LIMIT:
            return None
        if path == VERIFY:
            fits = b"content-length" not in given and b"content-type" not in given
        else:
            fits = given.get(b"content-type") == b"application/json" and len(given.get(b"content-length", b"")) <= 12
        if not fits or not self._is_allowed(host):
            return None
        request_id = given.get(b"x-request-id")
        return authorization, request_id if request_id and REQUEST_ID.fullmatch(request_id) else None

    def _reply(self, scope: Scope, path: str, authorization: bytes, message: Message | None) -> Reply | None:
        """The lease is looked at here, when all of the request has come, and nothing waits until the answer goes."""
        cache: CheckCache = self._state.checks
        now = cache.current()
        caller = None if now is None else cache.caller(authorization, now)
        if now is None or caller is None:
            return None
        if message is None:
            query = scope["query_string"]
            reply = cache.again(caller.queries.get(query), now) or self._verified(cache, caller, query, now)
        elif message["type"] == "http.request" and not message.get("more_body") and not scope["query_string"]:
            body = message.get("body", b"")
            if path == CHECK:
                again = None if caller.service else cache.again(caller.checks.get(body), now)  # it asks about others
                reply = again or _one(cache, caller, body, now)
            else:
                reply = _batch(cache, caller, body, now)
        else:
            return None
        if reply is not None:
            cache.hits[_COUNTED[path]] += 1
        return reply

    def _verified(self, cache: CheckCache, caller: Caller, query: bytes, now: float) -> Reply | None:
        codes = self._codes(query)
        if codes is None or caller.named is None:
            return None
        until, granted = ALWAYS, 0
        for code in codes:
            if caller.service:
                if not covers(caller.principal.claims.scopes, code):
                    return None
                continue
            kept = cache.find(caller, code, None, None, now)
            if kept is None or not kept.reply.allowed:
                return None  # the ordinary way says why
            until, granted = min(until, kept.until), granted + 1
        if granted:
            cache.decided["granted"] += granted
        _remember(caller.queries, query, Asked(caller.named, until, granted), MOST_ASKED)
        return caller.named


def _remember(known: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    """What is full begins anew: whoever asks again and again is soon back."""
    if len(known) >= most:
        known.clear()
    known[key] = value


async def _joined(message: Message, receive: Receive) -> tuple[Message, Receive]:
    """What has come and what comes as one message, up to what a batch may have; and what gives the rest."""
    chunks, size = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body") and size <= BATCH_LIMIT:
        message = await receive()
        if message["type"] != "http.request":
            return {"type": "http.request", "body": b"".join(chunks), "more_body": True}, replayed(message, receive)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    more = message.get("more_body", False)
    return {"type": "http.request", "body": b"".join(chunks), "more_body": more}, receive


def _one(cache: CheckCache, caller: Caller, body: bytes, now: float) -> Reply | None:
    match = _BODY.fullmatch(body)
    if match is not None:
        code, user, session = match.groups()
    elif (match := _USER_FIRST.fullmatch(body)) is not None:
        user, code = match.groups()
        session = None
    else:
        return None
    kept = cache.find(
        caller,
        code.decode(),
        None if user is None else user.decode(),
        None if session is None else session.decode(),
        now,
    )
    if kept is None:
        return None
    if user is None:
        _remember(caller.checks, body, Asked(kept.reply, kept.until, 0), MOST_ASKED)
    cache.decided[kept.reply.reason] += 1
    return kept.reply


def _batch(cache: CheckCache, caller: Caller, body: bytes, now: float) -> Reply | None:
    items = _items_in(body)
    if items is None:
        return None
    replies = []
    for item in items:
        if not isinstance(item, dict) or not item.keys() <= _ITEM:
            return None
        code, user, session = item.get("permission"), item.get("user_id"), item.get("session_id")
        if not isinstance(code, str) or not isinstance(user, str | None) or not isinstance(session, str | None):
            return None
        kept = cache.find(caller, code, user, session, now)
        if kept is None:
            return None
        replies.append(kept.reply)
    for reply in replies:
        cache.decided[reply.reason] += 1
    answer = b'{"results":[%b]}' % b",".join([reply.body for reply in replies])
    return Reply(True, "", json_head(answer), answer)


def _items_in(body: bytes) -> list[Any] | None:
    if len(body) > BATCH_LIMIT:
        return None
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    # Written anew it is the same: so no name stood there twice, and no number or text in an odd spelling.
    if orjson.dumps(value) != body.replace(b'": ', b'":').replace(b', "', b',"').replace(b"}, {", b"},{"):
        return None
    if not isinstance(value, dict) or value.keys() != {"checks"}:
        return None
    items = value["checks"]
    return items if isinstance(items, list) and 1 <= len(items) <= MAX_CHECKS else None
